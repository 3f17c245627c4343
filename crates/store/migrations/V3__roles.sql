-- Which engine of an instance is the master, and which control plane acts for a machine. Types and
-- units as in V1.

-- The master, the number of the decision that made it so, and the planned switch, if any.
ALTER TABLE instances ADD COLUMN master TEXT NOT NULL DEFAULT 'first';
ALTER TABLE instances ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN switch_to TEXT;
ALTER TABLE instances ADD COLUMN switch_requested_at BIGINT;

DROP INDEX instances_unsettled;
CREATE INDEX instances_unsettled ON instances (node) WHERE
    (observed_generation < generation OR intent = 'Delete'
     OR (intent = 'Run' AND phase <> 'Normal')
     OR (intent = 'Run' AND restore_serial IS NOT NULL)
     OR (intent = 'Run' AND switch_to IS NOT NULL)
     OR (intent = 'Stop' AND phase <> 'Inactive'));

-- Who acts for a machine: the run of a control plane that claimed it last.
CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    holder TEXT NOT NULL,
    claimed_at BIGINT NOT NULL
);
