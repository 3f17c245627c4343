//! The settings of the program: defaults, then a TOML file, then `OURKV_*` variables, then flags.
//!
//! Every value is parsed while it is read, so an error names its key and where the value came
//! from, and nothing later meets a wrong one. A key that does not exist is refused; a variable
//! that names no key is not ours and is ignored. A value that may hold a password is never part
//! of an error.

mod backup;
mod database;
mod dns;
mod engines;
mod limits;
mod log;
mod network;
mod sources;
mod substrate;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Toml};
use serde::Deserialize;

pub use backup::{Backup, BackupPlace, Bucket, BucketKey};
pub use database::Database;
pub use dns::{Dns, DnsListen};
pub use engines::{Confine, Engines};
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use network::{Network, Whitelist};
pub use sources::{Environment, Flags};
pub use substrate::Substrate;

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where everything that this node owns is kept.
    pub data_dir: PathBuf,
    /// What is remembered, and where.
    pub database: Database,
    /// Where engines run.
    pub substrate: Substrate,
    /// The DNS server.
    pub dns: Dns,
    /// Names and addresses of instances.
    pub network: Network,
    /// The installed engines.
    pub engines: Engines,
    /// What is done with backups.
    pub backup: Backup,
    /// What one client may take.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
}

/// The settings as they are read, before the defaults that depend on the user's home.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default = "default_listen")]
    listen: SocketAddr,
    data_dir: Option<PathBuf>,
    #[serde(default)]
    database: Database,
    #[serde(default)]
    substrate: Substrate,
    #[serde(default)]
    dns: Dns,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    engines: engines::Raw,
    #[serde(default)]
    backup: backup::Raw,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    log: Log,
}

/// The settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file does not exist.
    #[error("there is no configuration file {0}")]
    NoFile(PathBuf),
    /// A value is wrong.
    #[error("{key} (from {source_name}): {problem}")]
    Value {
        /// The key, dotted.
        key: String,
        /// A file, a variable or the command line.
        source_name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No directory was named and there is no home to keep one in.
    #[error("HOME is not set, so {0} has no default; set it")]
    Homeless(&'static str),
}

impl Config {
    /// Reads the settings. `file` must exist if it is given.
    pub fn load(
        file: Option<&Path>,
        environment: Environment,
        flags: Flags,
    ) -> Result<Self, ConfigError> {
        let (home, variables) = (environment.home(), environment.clone());
        let mut figment = Figment::new();
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError::NoFile(file.to_owned()));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let raw = figment.merge(environment).merge(flags).extract::<Raw>();
        let raw = raw.map_err(|error| sources::explain(&error))?;
        Self::complete(raw, home.as_deref(), &variables)
    }

    fn complete(
        raw: Raw,
        home: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let under_home =
            |key, rest: &str| home.map(|home| home.join(rest)).ok_or(ConfigError::Homeless(key));
        let data_dir = match raw.data_dir {
            Some(dir) => dir,
            None => under_home("data_dir", "data")?,
        };
        let backup = raw.backup.complete(&data_dir, environment);
        Ok(Self {
            listen: raw.listen,
            data_dir,
            backup: backup.map_err(|problem| ConfigError::Value {
                key: "backup".into(),
                source_name: "the settings and AWS_*".into(),
                problem: problem.to_string(),
            })?,
            database: raw.database,
            substrate: raw.substrate,
            dns: raw.dns,
            network: raw.network,
            engines: {
                let dir = raw.engines.dir.clone().map(Ok);
                let dir = dir.unwrap_or_else(|| under_home("engines.dir", "engines"))?;
                raw.engines.complete(dir)
            },
            limits: raw.limits,
            log: raw.log,
        })
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 2015))
}

#[cfg(test)]
mod tests;
