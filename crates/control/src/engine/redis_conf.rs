//! The configuration of a Redis or Valkey engine, as text for its standard input.
//!
//! Guarantees: every value is typed or checked, so no value can break out of its line; the text
//! is the same for the same unit, member and engine. It holds secrets and is never written to a
//! file or an argument.
//!
//! Paths are relative: the working directory is the member's own.

use std::fmt::Write as _;

use ourkv_domain::instance::NodeType;
use ourkv_domain::secret::Secret;

use super::launch::is_plain_word;
use super::{Binary, DATABASES, Launch, RESERVED_CONNECTIONS, Unwritable, acl, rename};
use crate::substrate::{Member, Unit};

/// The socket of ourkv's own connections, in the member's directory.
pub const ADMIN_SOCKET: &str = "admin.sock";

/// From this version on the address that an engine follows from is a setting of its own.
const BINDS_SOURCE_SINCE: (u16, u16) = (7, 0);

const MB: i64 = 1024 * 1024;

/// A setting whose value is compared with what the engine says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As the engine names it.
    pub name: &'static str,
    /// Its value; may consist of several words, or of none.
    pub value: String,
}

impl Setting {
    fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: value.into() }
    }

    /// Whether the engine's answer means this value. Engines print limits with all their classes,
    /// and event flags in an order and with an abbreviation of their own.
    pub fn is_met_by(&self, answer: &str) -> bool {
        match self.name {
            "client-output-buffer-limit" => answer.contains(&self.value),
            "notify-keyspace-events" => same_flags(&self.value, answer),
            _ => self.value == answer,
        }
    }
}

/// How the engine is called.
pub fn launch(unit: &Unit, member: Member, binary: &Binary) -> Result<Launch, Unwritable> {
    Ok(Launch {
        arguments: vec!["-".into()],
        // Not read by the engine: it tells an operator whose engine this is, and leaves room for
        // the title that it shows in process lists.
        environment: vec![("OURKV_INSTANCE", unit.id.as_str().into())],
        input: Some(text(unit, member, binary)?),
    })
}

/// The same for an engine that is to load `dump.rdb`, although it will append to a file later: the
/// last line about a setting counts.
pub fn loading_a_dump(launch: Launch) -> Launch {
    let input = launch.input.map(|text| Secret::from(format!("{}appendonly no\n", text.expose())));
    Launch { input, ..launch }
}

/// The whole configuration.
pub fn text(unit: &Unit, member: Member, binary: &Binary) -> Result<Secret, Unwritable> {
    let mut lines = Lines::default();
    lines.place(unit, member, binary)?;
    for setting in settings(unit, binary) {
        lines.set(setting.name, &setting.value)?;
    }
    lines.persistence_and_noise(unit, binary)?;
    if unit.node_type == NodeType::MasterSlave {
        lines.replication(unit, member, binary)?;
    }
    if binary.has_acl() {
        lines.0.push_str(&acl::lines(unit, binary)?);
    } else {
        lines.fence(unit, binary)?;
    }
    Ok(Secret::from(lines.0))
}

/// Limits and parameters that the engine must confirm after its start.
pub fn settings(unit: &Unit, binary: &Binary) -> Vec<Setting> {
    let level = binary.level();
    let hz_is_set = unit.parameters.get("hz").is_some();
    let clients = unit.connections.saturating_add(RESERVED_CONNECTIONS);
    let mut settings = vec![
        Setting::new("maxmemory", unit.capacity_mb.saturating_mul(MB).to_string()),
        Setting::new("maxclients", clients.to_string()),
        Setting::new("databases", DATABASES),
        Setting::new("appendonly", if keeps_data(unit) { "yes" } else { "no" }),
    ];
    settings.extend(bounds_of_clients(unit, level));
    if !hz_is_set {
        settings.push(Setting::new("hz", idle_hz(unit, level)));
    }
    settings.extend(
        unit.parameters
            .directives(level)
            .into_iter()
            .filter(|directive| hz_is_set || directive.name != "hz")
            .map(|directive| Setting::new(directive.name, directive.value)),
    );
    settings
}

/// What clients may make the engine keep for them beside the data: no single one more than its
/// class, as no answer is larger than all data, and where the engine can, not all together either.
/// Without this, whoever asks and does not read takes the machine's memory and not the class's.
fn bounds_of_clients(unit: &Unit, level: (u16, u16)) -> Vec<Setting> {
    let most = unit.capacity_mb.saturating_mul(MB);
    let mut bounds = vec![Setting::new("client-output-buffer-limit", format!("normal {most} 0 0"))];
    if level >= (7, 0) {
        bounds.push(Setting::new("maxmemory-clients", most.to_string()));
    }
    bounds
}

/// Whether the data outlives the engine.
pub fn keeps_data(unit: &Unit) -> bool {
    unit.node_type == NodeType::MasterSlave && unit.parameters.appendonly() != Some(false)
}

/// Idle engines cost next to nothing at 1 Hz. Before 6.2 a first synchronisation waits for this
/// clock, so a pair keeps the engine's usual one.
fn idle_hz(unit: &Unit, level: (u16, u16)) -> &'static str {
    if level < (6, 2) && unit.node_type == NodeType::MasterSlave { "10" } else { "1" }
}

/// A configuration that grows line by line.
#[derive(Default)]
struct Lines(String);

impl Lines {
    /// One line; the value is split at blanks, and an empty one is written as `""`.
    fn set(&mut self, name: &'static str, value: &str) -> Result<(), Unwritable> {
        if !value.split(' ').all(is_plain_word) && !value.is_empty() {
            return Err(Unwritable { setting: name });
        }
        let value = if value.is_empty() { "\"\"" } else { value };
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{name} {value}");
        Ok(())
    }

    /// One line whose value is one word, as a password is: an empty one would mean that none is
    /// needed.
    fn secret(&mut self, name: &'static str, value: &Secret) -> Result<(), Unwritable> {
        if !is_plain_word(value.expose()) {
            return Err(Unwritable { setting: name });
        }
        self.set(name, value.expose())
    }

    fn all(&mut self, settings: &[(&'static str, &str)]) -> Result<(), Unwritable> {
        settings.iter().try_for_each(|(name, value)| self.set(name, value))
    }

    /// Where it listens. A replica has no address until it is promoted.
    fn place(&mut self, unit: &Unit, member: Member, binary: &Binary) -> Result<(), Unwritable> {
        // A replica, too: engines follow from the first address that they are bound to, and only
        // the instance's own is let in whatever its whitelist says.
        let ip = unit.address.ip().to_string();
        self.set("bind", &ip)?;
        if binary.level() >= BINDS_SOURCE_SINCE {
            self.set("bind-source-addr", &ip)?;
        }
        if member == unit.lead.master {
            self.set("port", &unit.address.port().to_string())?;
        } else {
            self.set("port", "0")?;
        }
        if binary.level() >= (3, 2) {
            // The only listener without TLS is the tenant's own address, and it asks for a login.
            self.set("protected-mode", "no")?;
        }
        self.all(&[
            ("unixsocket", ADMIN_SOCKET),
            ("unixsocketperm", "600"),
            ("dir", "."),
            ("tcp-keepalive", "300"),
        ])
    }

    fn persistence_and_noise(&mut self, unit: &Unit, binary: &Binary) -> Result<(), Unwritable> {
        let level = binary.level();
        self.all(&[("daemonize", "no"), ("logfile", ""), ("save", "")])?;
        if keeps_data(unit) {
            self.set("appendfsync", "everysec")?;
        }
        if level >= (3, 2) {
            self.set("supervised", "no")?;
        }
        if level >= (4, 0) {
            self.set("always-show-logo", "no")?;
        }
        if level >= (6, 2) {
            // Crash reports hold arguments of clients; payloads of RESTORE come from tenants.
            self.all(&[
                ("crash-log-enabled", "no"),
                ("crash-memcheck-enabled", "no"),
                ("acl-pubsub-default", "resetchannels"),
                ("sanitize-dump-payload", "clients"),
            ])?;
        }
        if level >= (7, 0) {
            // `local` would mean every client here: all of them come from loopback.
            self.all(&[
                ("enable-debug-command", "no"),
                ("enable-module-command", "no"),
                ("enable-protected-configs", "no"),
            ])?;
        }
        Ok(())
    }

    /// Both members know how to log in as a replica, so that they can change roles.
    fn replication(
        &mut self,
        unit: &Unit,
        member: Member,
        binary: &Binary,
    ) -> Result<(), Unwritable> {
        let level = binary.level();
        let (replica, replicaof) =
            if level >= (5, 0) { ("replica", "replicaof") } else { ("slave", "slaveof") };
        // A replica may lag by a quarter of the data before it has to start over.
        let hard = (unit.capacity_mb / 4).max(256).saturating_mul(MB);
        let limit = format!("{replica} {hard} {} 60", hard / 4);
        self.set("client-output-buffer-limit", &limit)?;
        if level >= (6, 2) {
            self.all(&[("repl-diskless-sync", "yes"), ("repl-diskless-sync-delay", "0")])?;
        }
        if binary.has_acl() {
            self.set("masteruser", acl::REPLICATION)?;
            self.secret("masterauth", &unit.secrets.replication)?;
        } else {
            self.secret("masterauth", rename::password(&unit.secrets))?;
        }
        if !keeps_data(unit) && level >= (6, 0) {
            // What a replica was given would come back when it is the master and starts again.
            self.set("rdb-del-sync-files", "yes")?;
        }
        if member == unit.lead.master {
            return Ok(());
        }
        let master = format!("{} {}", unit.address.ip(), unit.address.port());
        self.set(replicaof, &master)
    }

    /// Before 6.0: one password, and secret names for what tenants may not run.
    fn fence(&mut self, unit: &Unit, binary: &Binary) -> Result<(), Unwritable> {
        self.secret("requirepass", rename::password(&unit.secrets))?;
        for command in rename::fenced(unit, binary) {
            let name = rename::secret_name(command, &unit.secrets);
            self.set("rename-command", &format!("{command} {}", name.expose()))?;
        }
        Ok(())
    }
}

/// Compares `notify-keyspace-events` flags. `A` stands for all classes of events, which are more
/// in newer engines; so the classes of the oldest one count as `A`.
fn same_flags(wanted: &str, answer: &str) -> bool {
    const CLASSES: &str = "g$lshzxe";
    let means = |flags: &str, flag: char| {
        flags.contains(flag) || (CLASSES.contains(flag) && flags.contains('A'))
    };
    CLASSES.chars().chain("KE".chars()).all(|flag| means(wanted, flag) == means(answer, flag))
}

#[cfg(test)]
mod tests;
