//! Fencing on engines without users (before 6.0): one password, and new names for commands.
//!
//! Guarantees: the commands below can be run only by who knows the instance's admin secret, also
//! from Lua. In a pair, SYNC, PSYNC and REPLCONF keep their names, as replicas send these and no
//! others; a tenant of an old pair can therefore read its own data as a replica does.
//!
//! A command is renamed as a whole: CLIENT, SCRIPT and SLOWLOG cannot be left to tenants in part.
//! CLIENT is taken away (CLIENT KILL cuts the replica off). So are SLOWLOG and, on 2.8, MONITOR,
//! because they show the secret names (tried on 2.8.17 and 5.0.7). SCRIPT stays, and with it
//! SCRIPT DEBUG.

use ourkv_domain::instance::Secrets;
use ourkv_domain::secret::Secret;
use sha2::{Digest, Sha256};

use super::launch::hex;
use super::{Binary, Version};
use crate::substrate::{Member, Unit};

/// Fenced commands and the first version that has them: naming an unknown one is an error.
const FENCED: [(&str, Version); 19] = [
    ("bgrewriteaof", (2, 8, 0)),
    ("bgsave", (2, 8, 0)),
    ("client", (2, 8, 0)),
    ("config", (2, 8, 0)),
    ("debug", (2, 8, 0)),
    ("lastsave", (2, 8, 0)),
    ("migrate", (2, 8, 0)),
    ("monitor", (2, 8, 0)),
    // Payloads are not checked before 6.2, and a false one ends the engine, or worse.
    ("restore", (2, 8, 0)),
    ("save", (2, 8, 0)),
    ("shutdown", (2, 8, 0)),
    ("slaveof", (2, 8, 0)),
    ("slowlog", (2, 8, 0)),
    ("pfdebug", (2, 8, 9)),
    ("pfselftest", (2, 8, 9)),
    ("cluster", (3, 0, 0)),
    ("restore-asking", (3, 0, 0)),
    ("module", (4, 0, 0)),
    ("replicaof", (5, 0, 0)),
];

/// What replicas send; fenced where there is none.
const REPLICATION: [&str; 3] = ["psync", "replconf", "sync"];

/// The commands that get a secret name on this engine.
pub fn fenced(unit: &Unit, binary: &Binary) -> Vec<&'static str> {
    let mut commands: Vec<_> = FENCED
        .iter()
        .filter(|(_, since)| binary.version >= *since)
        .map(|(command, _)| *command)
        .collect();
    if !unit.members().contains(&Member::Second) {
        commands.extend(REPLICATION);
    }
    commands.extend(unit.parameters.disabled_commands());
    commands
}

/// The names of commands on one engine.
#[derive(Debug, Clone)]
pub enum Names {
    /// Each is called what it is called.
    Plain,
    /// Fenced commands have secret names, drawn from this.
    Fenced(Secret),
}

impl Names {
    /// The names on this engine of an instance.
    pub fn on(binary: &Binary, secrets: &Secrets) -> Self {
        if binary.has_acl() { Self::Plain } else { Self::Fenced(secrets.admin.clone()) }
    }

    /// The name of a command that tenants may not run.
    pub fn of(&self, command: &str) -> String {
        match self {
            Self::Plain => command.to_owned(),
            Self::Fenced(admin) => name_from(command, admin).expose().to_owned(),
        }
    }
}

/// The name of a fenced command, the same on both members of a pair. It is drawn from the admin
/// secret and does not give it away.
pub fn secret_name(command: &str, secrets: &Secrets) -> Secret {
    name_from(command, &secrets.admin)
}

fn name_from(command: &str, admin: &Secret) -> Secret {
    let digest =
        Sha256::new().chain_update(b"rename-command\0").chain_update(admin.expose()).finalize();
    let prefix = hex(&digest[..16]);
    Secret::from(format!("{prefix}-{command}"))
}

/// Every password that such an engine may have, the wanted one first.
pub fn passwords(secrets: &Secrets) -> Vec<&Secret> {
    let mut all: Vec<_> = secrets.known().collect();
    // Before its tenant got a password, or beside one that is being replaced, it had this one.
    if secrets.password.is_none() || secrets.change.is_some() {
        all.push(&secrets.admin);
    }
    all
}

/// The one password of such an engine: the tenant's, or one that only ourkv knows.
pub fn password(secrets: &Secrets) -> &Secret {
    secrets.password.as_ref().unwrap_or(&secrets.admin)
}
