-- Passwords that are being replaced. Types and units as in V1.

-- The number of the last change of the tenant's password, and how far it is; NULL where it is done.
ALTER TABLE instance_secrets ADD COLUMN change_serial BIGINT NOT NULL DEFAULT 0;
ALTER TABLE instance_secrets ADD COLUMN change_stride TEXT;

-- What engines may still have beside the wanted password, sealed; each with the change that was to
-- replace it.
CREATE TABLE former_passwords (
    instance TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    serial BIGINT NOT NULL,
    password BYTEA NOT NULL,
    PRIMARY KEY (instance, serial)
);
