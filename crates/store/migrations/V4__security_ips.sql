-- Who may reach instances. Types and units as in V1.

-- The groups of an instance's whitelist. One that never changed it has no row: its default group
-- is 127.0.0.1, as that of every instance of before.
CREATE TABLE security_ips (
    instance TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    attribute TEXT NOT NULL,
    ips TEXT NOT NULL,
    PRIMARY KEY (instance, name)
);

-- Which addresses a machine serves outside of its own block.
CREATE INDEX instances_serving ON instances (node, serving_ip);
