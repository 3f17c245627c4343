//! Which rows of the store belong into the manifest of an instance.
//!
//! A table with rows of instances belongs into [`PARTS`], or into the list of those that are lost
//! with the store, in the tests of manifests.

/// Rows of one table that belong to an instance.
pub(crate) struct Part {
    pub(crate) table: &'static str,
    /// Which rows; `$1` is the instance.
    pub(crate) rows: &'static str,
    /// Columns that change by themselves: alone they are no reason to write a manifest anew.
    pub(crate) changing: &'static [&'static str],
    /// Whether other instances have the same rows.
    pub(crate) shared: bool,
}

/// What is in a manifest, in an order in which it can be put back.
pub(crate) const PARTS: &[Part] = &[
    Part {
        table: "accounts",
        rows: "id IN (SELECT account FROM instances WHERE id = $1) \
               OR id = (SELECT id FROM accounts ORDER BY created_at, id LIMIT 1) ORDER BY id",
        changing: &["balance", "arrears_since"],
        shared: true,
    },
    Part {
        table: "access_keys",
        rows: "account IN (SELECT account FROM instances WHERE id = $1) \
               OR account = (SELECT id FROM accounts ORDER BY created_at, id LIMIT 1) ORDER BY id",
        changing: &[],
        shared: true,
    },
    Part {
        table: "vpcs",
        rows: "id IN (SELECT vpc FROM instances WHERE id = $1)",
        changing: &[],
        shared: true,
    },
    Part {
        table: "vswitches",
        rows: "id IN (SELECT vswitch FROM instances WHERE id = $1)",
        changing: &[],
        shared: true,
    },
    Part {
        table: "pools",
        rows: "name IN (SELECT pool FROM addresses WHERE instance = $1) ORDER BY name",
        changing: &["next_ip"],
        shared: true,
    },
    Part {
        table: "zones",
        rows: "id IN (SELECT zone FROM instances WHERE id = $1)",
        changing: &["used_mb"],
        shared: true,
    },
    Part {
        table: "instances",
        rows: "id = $1",
        changing: &["trouble", "observed_generation", "observed_since", "status"],
        shared: false,
    },
    Part { table: "instance_secrets", rows: "instance = $1", changing: &[], shared: false },
    Part {
        table: "former_passwords",
        rows: "instance = $1 ORDER BY serial",
        changing: &[],
        shared: false,
    },
    Part {
        table: "security_ips",
        rows: "instance = $1 ORDER BY name",
        changing: &[],
        shared: false,
    },
    Part {
        table: "addresses",
        rows: "instance = $1 ORDER BY pool, ip",
        changing: &[],
        shared: false,
    },
    Part { table: "backup_policies", rows: "instance = $1", changing: &["next_at"], shared: false },
    Part { table: "meters", rows: "instance = $1", changing: &["metered_until"], shared: false },
    Part {
        table: "backups",
        rows: "instance = $1 AND state = 'Success' ORDER BY id",
        changing: &["verified_at", "trial_note"],
        shared: false,
    },
];

impl Part {
    pub(crate) fn is_changing(&self, column: &str) -> bool {
        self.changing.contains(&column)
    }
}
