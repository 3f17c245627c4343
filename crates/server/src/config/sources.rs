//! Where settings come from: the environment and the command line. The file is figment's own.

use std::path::PathBuf;

use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::{ConfigError, Confine, LogFormat};

/// Every key that a variable may set: `dns.listen` is `OURKV_DNS_LISTEN`.
const KEYS: &[&str] = &[
    "listen",
    "data_dir",
    "database",
    "substrate",
    "dns.listen",
    "network.domain_suffix",
    "network.address_block",
    "network.host_addresses",
    "network.whitelist",
    "engines.dir",
    "engines.confine",
    "engines.first_user",
    "backup.url",
    "backup.endpoint",
    "backup.region",
    "backup.allow_http",
    "backup.access_key_id",
    "backup.secret_access_key",
    "backup.session_token",
    "backup.final",
    "backup.prove",
    "backup.link_seconds",
    "backup.public_url",
    "backup.per_day",
    "backup.saves",
    "limits.connections",
    "limits.header_seconds",
    "limits.body_seconds",
    "limits.stall_seconds",
    "limits.shutdown_seconds",
    "log.format",
    "log.level",
];

/// Keys, or sections with a dot, that take a number, and keys that take yes or no.
const NUMBERS: &[&str] =
    &["engines.first_user", "limits.", "backup.link_seconds", "backup.per_day", "backup.saves"];
const SWITCHES: &[&str] =
    &["network.host_addresses", "backup.allow_http", "backup.final", "backup.prove"];

const ENVIRONMENT: &str = "the environment";
const COMMAND_LINE: &str = "the command line";

/// The variables of the process, as an argument: tests have their own.
#[derive(Debug, Clone, Default)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// The variables of this process; those that are not UTF-8 can't be settings.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// These variables and no others.
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self(variables.iter().map(owned).collect())
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, value)| own == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// Where a user's data is kept: below `$XDG_DATA_HOME` or `~/.local/share`.
    pub(super) fn home(&self) -> Option<PathBuf> {
        let share = match self.get("XDG_DATA_HOME") {
            Some(dir) => PathBuf::from(dir),
            None => PathBuf::from(self.get("HOME")?).join(".local/share"),
        };
        Some(share.join("ourkv"))
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named(ENVIRONMENT)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let set = KEYS.iter().filter_map(|key| {
            let text = self.get(&variable(key))?;
            Some((*key, value(key, text)))
        });
        Ok(tree(set))
    }
}

/// The settings that were given as flags.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--database`
    pub database: Option<String>,
    /// `--substrate`
    pub substrate: Option<String>,
    /// `--dns`
    pub dns: Option<String>,
    /// `--address-block`
    pub address_block: Option<String>,
    /// `--host-addresses`
    pub host_addresses: bool,
    /// `--confine`
    pub confine: Option<Confine>,
    /// `--whitelist`
    pub whitelist: Option<String>,
    /// `--backup-url`
    pub backup_url: Option<String>,
    /// `--no-final-backup`
    pub no_final_backup: bool,
    /// `--log-format`
    pub log_format: Option<LogFormat>,
}

impl Provider for Flags {
    fn metadata(&self) -> Metadata {
        Metadata::named(COMMAND_LINE)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let data_dir = self.data_dir.as_ref().map(Value::serialize).transpose()?;
        let log_format = self.log_format.map(Value::serialize).transpose()?;
        let confine = self.confine.map(Value::serialize).transpose()?;
        let given = [
            ("listen", text(&self.listen)),
            ("data_dir", data_dir),
            ("database", text(&self.database)),
            ("substrate", text(&self.substrate)),
            ("dns.listen", text(&self.dns)),
            ("network.address_block", text(&self.address_block)),
            ("network.host_addresses", self.host_addresses.then(|| Value::from(true))),
            ("engines.confine", confine),
            ("network.whitelist", text(&self.whitelist)),
            ("backup.url", text(&self.backup_url)),
            ("backup.final", self.no_final_backup.then(|| Value::from(false))),
            ("log.format", log_format),
        ];
        Ok(tree(given.into_iter().filter_map(|(key, value)| Some((key, value?)))))
    }
}

/// Text, except where the key takes something else and the text is that.
fn value(key: &str, text: &str) -> Value {
    match (text.parse::<u64>(), text.parse::<bool>()) {
        (Ok(number), _) if NUMBERS.iter().any(|start| key.starts_with(start)) => {
            Value::from(number)
        }
        (_, Ok(on)) if SWITCHES.contains(&key) => Value::from(on),
        _ => Value::from(text),
    }
}

/// Says which key is wrong, where its value came from and what is the matter.
pub(super) fn explain(error: &figment::Error) -> ConfigError {
    let key = error.path.join(".");
    let source_name = match &error.metadata {
        Some(from) if from.name == ENVIRONMENT && KEYS.contains(&key.as_str()) => variable(&key),
        Some(from) => match &from.source {
            Some(source) => source.to_string(),
            None => from.name.to_string(),
        },
        None => "the settings".into(),
    };
    let key = if key.is_empty() { "settings".into() } else { key };
    ConfigError::Value { key, source_name, problem: error.kind.to_string() }
}

fn variable(key: &str) -> String {
    format!("OURKV_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// One dictionary out of dotted keys.
fn tree(values: impl Iterator<Item = (&'static str, Value)>) -> Map<Profile, Dict> {
    let mut all = Dict::new();
    for (key, value) in values {
        let (first, rest) = key.split_once('.').unwrap_or((key, ""));
        if rest.is_empty() {
            all.insert(first.into(), value);
            continue;
        }
        let nested = nest(rest, value).into_dict().unwrap_or_default();
        match all.get_mut(first) {
            Some(Value::Dict(_, section)) => section.extend(nested),
            _ => {
                all.insert(first.into(), Value::from(nested));
            }
        }
    }
    Profile::Default.collect(all)
}
