-- Backups, restores and the journal of instances. Types and units as in V1.

-- Which set of data is in force (0: begun empty), the highest serial that was given to one, and
-- the restore that is to be done, if any.
ALTER TABLE instances ADD COLUMN dataset BIGINT NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN datasets BIGINT NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN restore_serial BIGINT;
ALTER TABLE instances ADD COLUMN restore_backup BIGINT;
ALTER TABLE instances ADD COLUMN restore_requested_at BIGINT;

DROP INDEX instances_unsettled;
CREATE INDEX instances_unsettled ON instances (node) WHERE
    (observed_generation < generation OR intent = 'Delete'
     OR (intent = 'Run' AND phase <> 'Normal')
     OR (intent = 'Run' AND restore_serial IS NOT NULL)
     OR (intent = 'Stop' AND phase <> 'Inactive'));
CREATE INDEX instances_restoring ON instances (restore_backup)
    WHERE restore_backup IS NOT NULL;

-- Backups outlive their instances and say themselves what those were.
CREATE TABLE backups (
    id BIGINT NOT NULL PRIMARY KEY,
    job BIGINT NOT NULL,
    instance TEXT NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (id),
    region TEXT NOT NULL,
    node TEXT NOT NULL,
    instance_type TEXT NOT NULL,
    node_type TEXT NOT NULL,
    version TEXT NOT NULL,
    class TEXT NOT NULL,
    capacity_mb BIGINT NOT NULL,
    mode TEXT NOT NULL,
    last BIGINT NOT NULL,
    retention_days BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    stage TEXT,
    percent BIGINT,
    started_at BIGINT,
    ended_at BIGINT,
    reason TEXT,
    bytes BIGINT,
    keys BIGINT,
    expiring BIGINT,
    digest TEXT,
    expires_at BIGINT,
    engine TEXT,
    verified_at BIGINT,
    trial_note TEXT,
    -- Its place in lists: when it was begun, or what comes nearest to that.
    listed_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX backups_job ON backups (job);
CREATE INDEX backups_instance ON backups (instance, listed_at);
CREATE INDEX backups_state ON backups (node, state, verified_at);
CREATE INDEX backups_expiry ON backups (node, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE backup_policies (
    instance TEXT NOT NULL PRIMARY KEY REFERENCES instances (id) ON DELETE CASCADE,
    -- The name of the window column: WINDOW is a word of SQL.
    hours TEXT NOT NULL,
    days TEXT NOT NULL,
    retention_days BIGINT NOT NULL,
    next_at BIGINT NOT NULL
);

-- What was there before has the default policy. Its first backup is not due at once but when the
-- schedule has been reckoned: a time further away than any schedule reaches asks for that.
INSERT INTO backup_policies (instance, hours, days, retention_days, next_at)
SELECT id, '18:00Z-19:00Z', 'Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday', 7,
       253370764800000
FROM instances
WHERE instance_type = 'Redis';

-- What happened to instances, numbered for each in the order in which it did.
CREATE TABLE events (
    instance TEXT NOT NULL,
    number BIGINT NOT NULL,
    happened_at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (instance, number)
);
CREATE INDEX events_time ON events (happened_at);
