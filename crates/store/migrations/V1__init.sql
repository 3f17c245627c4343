-- One schema for SQLite and PostgreSQL. Types are BIGINT, TEXT and BYTEA only: times are
-- milliseconds since 1970 (UTC), addresses the 32-bit number, booleans 0 and 1, money micro-CNY.
-- Ids are minted by the caller, so nothing here counts by itself.

CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    balance BIGINT NOT NULL,
    real_name BIGINT NOT NULL,
    payment_method BIGINT NOT NULL,
    finance BIGINT NOT NULL,
    postpaid_quota BIGINT NOT NULL,
    postpaid_quota_per_region BIGINT NOT NULL,
    arrears_since BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE access_keys (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    secret BYTEA NOT NULL,
    active BIGINT NOT NULL,
    calls_per_second BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE nonces (
    digest BYTEA NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX nonces_expiry ON nonces (expires_at);

CREATE TABLE tokens (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    action TEXT NOT NULL,
    token TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    answer TEXT,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, action, token)
);
CREATE INDEX tokens_expiry ON tokens (expires_at);

CREATE TABLE vpcs (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    region TEXT NOT NULL,
    cidr TEXT NOT NULL,
    name TEXT NOT NULL
);
CREATE INDEX vpcs_account ON vpcs (account);

CREATE TABLE vswitches (
    id TEXT NOT NULL PRIMARY KEY,
    vpc TEXT NOT NULL REFERENCES vpcs (id),
    account TEXT NOT NULL REFERENCES accounts (id),
    zone TEXT NOT NULL,
    cidr TEXT NOT NULL,
    name TEXT NOT NULL
);
CREATE INDEX vswitches_vpc ON vswitches (vpc);

-- A stretch of addresses; next_ip is where the search for a free one begins.
CREATE TABLE pools (
    name TEXT NOT NULL PRIMARY KEY,
    first_ip BIGINT NOT NULL,
    last_ip BIGINT NOT NULL,
    next_ip BIGINT NOT NULL
);

CREATE TABLE addresses (
    pool TEXT NOT NULL,
    ip BIGINT NOT NULL,
    instance TEXT NOT NULL,
    PRIMARY KEY (pool, ip)
);
CREATE INDEX addresses_instance ON addresses (instance);

CREATE TABLE zones (
    id TEXT NOT NULL PRIMARY KEY,
    quota_mb BIGINT,
    used_mb BIGINT NOT NULL,
    vpc BIGINT
);

CREATE TABLE instances (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    node TEXT NOT NULL,
    nonce TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    name TEXT,
    -- The name in lower case, for searches: the databases disagree on how to lower a letter.
    search_name TEXT,
    region TEXT NOT NULL,
    zone TEXT NOT NULL,
    class TEXT NOT NULL,
    instance_type TEXT NOT NULL,
    node_type TEXT NOT NULL,
    version TEXT NOT NULL,
    capacity_mb BIGINT NOT NULL,
    bandwidth_mbps BIGINT NOT NULL,
    connections BIGINT NOT NULL,
    qps BIGINT NOT NULL,
    network TEXT NOT NULL,
    vpc TEXT REFERENCES vpcs (id),
    vswitch TEXT REFERENCES vswitches (id),
    private_ip BIGINT NOT NULL,
    serving_ip BIGINT NOT NULL,
    port BIGINT NOT NULL,
    domain TEXT NOT NULL,
    parameters TEXT NOT NULL,
    charge TEXT NOT NULL,
    charge_end BIGINT,
    auto_renew BIGINT,
    intent TEXT NOT NULL,
    generation BIGINT NOT NULL,
    phase TEXT NOT NULL,
    trouble TEXT,
    observed_generation BIGINT NOT NULL,
    observed_since BIGINT NOT NULL,
    -- The word shown to the owner, made of intent and phase; NULL when it is gone for them.
    status TEXT
);
CREATE INDEX instances_owner ON instances (account, region, created_at);
CREATE INDEX instances_node ON instances (node);
CREATE INDEX instances_unsettled ON instances (node) WHERE
    (observed_generation < generation OR intent = 'Delete'
     OR (intent = 'Run' AND phase <> 'Normal')
     OR (intent = 'Stop' AND phase <> 'Inactive'));
CREATE INDEX instances_end ON instances (charge_end);
CREATE INDEX instances_vpc ON instances (vpc);
CREATE INDEX instances_vswitch ON instances (vswitch);
CREATE UNIQUE INDEX instances_domain ON instances (domain);

CREATE TABLE living_postpaid (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    many BIGINT NOT NULL,
    PRIMARY KEY (account, region)
);

CREATE TABLE instance_secrets (
    instance TEXT NOT NULL PRIMARY KEY REFERENCES instances (id) ON DELETE CASCADE,
    password BYTEA,
    admin BYTEA NOT NULL,
    replication BYTEA NOT NULL
);

CREATE TABLE coupons (
    no TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    amount BIGINT NOT NULL,
    min_spend BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_by TEXT
);
CREATE INDEX coupons_account ON coupons (account);

-- Orders and the ledger outlive their instances.
CREATE TABLE orders (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    instance TEXT NOT NULL,
    kind TEXT NOT NULL,
    amount BIGINT NOT NULL,
    discount BIGINT NOT NULL,
    coupon TEXT,
    business_info TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX orders_account ON orders (account, created_at);

CREATE TABLE meters (
    instance TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    opened_at BIGINT NOT NULL,
    metered_until BIGINT NOT NULL,
    hourly_price BIGINT NOT NULL,
    closed_at BIGINT
);
CREATE INDEX meters_until ON meters (metered_until);

CREATE TABLE ledger (
    instance TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (id),
    amount BIGINT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (instance, starts_at)
);

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Values sealed with the key of this database; they tell a wrong key file at once.
CREATE TABLE seals (
    name TEXT NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL
);

CREATE TABLE audit (
    request_id TEXT NOT NULL,
    called_at BIGINT NOT NULL,
    action TEXT NOT NULL,
    account TEXT,
    access_key TEXT,
    source TEXT NOT NULL,
    parameters TEXT NOT NULL,
    status BIGINT NOT NULL,
    code TEXT
);
CREATE INDEX audit_time ON audit (called_at);
