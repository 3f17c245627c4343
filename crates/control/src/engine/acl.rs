//! Users and what they may run, on engines that have users (6.0 and later).
//!
//! Guarantees: nobody gets in without a password; a tenant has what a class of harmless commands
//! contains and nothing that a later engine adds outside of them; ourkv's own two users have
//! random secrets, and passwords stand here only as SHA-256.
//!
//! What a tenant may not run is section 5 of the vendor's command list: persistence, replication,
//! CONFIG, MODULE, DEBUG, ACL, CLUSTER, and what could cut ourkv or the replica off
//! (`CLIENT KILL`, `CLIENT PAUSE`). MONITOR is allowed: from 6.0 on it shows neither admin
//! commands nor passwords (tried on 6.0.9, 6.2.14 and 7.0.15).

use std::fmt::Write as _;

use ourkv_domain::secret::Secret;
use sha2::{Digest, Sha256};

use super::launch::{hex, is_plain_word};
use super::{Binary, Unwritable};
use crate::substrate::Unit;

/// The user of ourkv's own admin connections.
pub const ADMIN: &str = "cp_admin";
/// The user of the replication link.
pub const REPLICATION: &str = "cp_repl";

/// Classes of commands that stay within the instance's data.
const CLASSES: [&str; 16] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "connection",
    "transaction",
    "scripting",
];

/// Harmless commands that are in no class above, or in the excluded ones.
const BESIDE_THE_CLASSES: [&str; 17] = [
    "command",
    "echo",
    "flushall",
    "flushdb",
    "info",
    "keys",
    "latency",
    "memory",
    "monitor",
    "ping",
    "role",
    "select",
    "slowlog|get",
    "slowlog|len",
    "sort",
    "swapdb",
    "time",
];

/// A user with its rules, word by word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// What replaces all rules that it had.
    pub rules: Vec<String>,
}

/// The `user` lines of an engine's configuration.
pub fn lines(unit: &Unit, binary: &Binary) -> Result<String, Unwritable> {
    let secrets = [&unit.secrets.admin, &unit.secrets.replication];
    let passwords = unit.secrets.known().chain(secrets);
    let mut words = passwords.map(Secret::expose).chain([unit.id.as_str()]);
    if !words.all(is_plain_word) {
        return Err(Unwritable { setting: "user" });
    }
    let mut lines = String::new();
    let mut user = |name: &str, rules: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(lines, "user {name} reset {rules}");
    };
    for User { name, rules } in tenant(unit, binary) {
        user(&name, &rules.join(" "));
    }
    let everything = if binary.level() >= (6, 2) { "~* &* +@all" } else { "~* +@all" };
    user(ADMIN, &format!("on {} {everything}", hash(unit.secrets.admin.expose())));
    user(
        REPLICATION,
        &format!("on {} -@all +psync +replconf +ping", hash(unit.secrets.replication.expose())),
    );
    Ok(lines)
}

/// The tenant's users, by whose names it logs in, with every password that is to let it in.
pub fn tenant(unit: &Unit, binary: &Binary) -> Vec<User> {
    if unit.secrets.password.is_none() {
        // Off, and without any password: neither a login nor the lack of one gets in.
        return vec![User { name: "default".into(), rules: vec!["off".into()] }];
    }
    let rules = tenant_rules(unit, binary);
    let names = ["default", unit.id.as_str()];
    names.map(|name| User { name: name.into(), rules: rules.clone() }).into()
}

/// What the tenant may run. A password has two forms, for the two ways of `AUTH` with one argument:
/// `password` and `instance-id:password`.
fn tenant_rules(unit: &Unit, binary: &Binary) -> Vec<String> {
    let mut rules: Vec<String> = vec!["on".into()];
    for password in unit.secrets.accepted() {
        let with_id = Secret::from(format!("{}:{}", unit.id, password.expose()));
        rules.extend([hash(password.expose()), hash(with_id.expose())]);
    }
    rules.push("~*".into());
    if binary.level() >= (6, 2) {
        rules.push("&*".into());
    }
    rules.push("-@all".into());
    let mut add = |sign: char, rule: &str| rules.push(format!("{sign}{rule}"));
    for class in CLASSES {
        add('+', &format!("@{class}"));
    }
    add('-', "@admin");
    add('-', "@dangerous");
    for command in BESIDE_THE_CLASSES {
        add('+', command);
    }
    for (sign, rule) in by_version(binary.level()) {
        add(sign, rule);
    }
    for command in unit.parameters.disabled_commands() {
        for command in with_twin(command, binary.level()) {
            add('-', command);
        }
    }
    rules
}

/// Rules that depend on the version: from 7.0 on a subcommand can be taken away, before it can
/// only be given; and a command that an engine does not know is an error.
fn by_version(level: (u16, u16)) -> Vec<(char, &'static str)> {
    let mut rules: Vec<(char, &'static str)> =
        vec![('-', "acl"), ('-', "cluster"), ('-', "module"), ('-', "config"), ('+', "wait")];
    if level >= (7, 0) {
        rules.extend([
            ('+', "sort_ro"),
            ('+', "restore"),
            ('+', "client|list"),
            ('-', "client|reply"),
            ('-', "script|debug"),
        ]);
        return rules;
    }
    rules.extend([('-', "client"), ('-', "script")]);
    rules.extend(
        ["client|list", "client|id", "client|getname", "client|setname", "client|caching"]
            .into_iter()
            .chain(["client|tracking", "client|getredir"])
            .chain(["script|load", "script|exists", "script|flush", "script|kill"])
            .map(|command| ('+', command)),
    );
    if level >= (6, 2) {
        rules.extend([('+', "restore"), ('+', "client|info"), ('+', "client|trackinginfo")]);
    }
    rules
}

/// A command taken away takes its read-only twin with it, on engines that have one: a rule about
/// an unknown command is an error.
fn with_twin(command: &'static str, level: (u16, u16)) -> Vec<&'static str> {
    match command {
        "eval" if level >= (7, 0) => vec!["eval", "eval_ro"],
        "evalsha" if level >= (7, 0) => vec!["evalsha", "evalsha_ro"],
        _ => vec![command],
    }
}

/// A password as an ACL takes it without knowing it.
fn hash(password: &str) -> String {
    format!("#{}", hex(&Sha256::digest(password.as_bytes())))
}
