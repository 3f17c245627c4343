//! The section `engines`: the installed engines, and what they are confined to.

use std::path::PathBuf;

use clap::ValueEnum;
use ourkv_control::substrate::local::confine::{self, Confinement, FIRST_USER, LAST_FIRST_USER};
use serde::{Deserialize, Serialize};

/// The installed engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engines {
    /// Holds `NAME-VERSION/redis-server` beside what the PATH offers; `make engines` fills it.
    pub dir: PathBuf,
    /// How much engines are confined.
    pub confine: Confine,
    /// The first of the user ids that engines run as, where they have users of their own.
    pub first_user: u32,
}

/// How much engines are confined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confine {
    /// As much as the machine allows
    #[default]
    Auto,
    /// In full, or the server does not start
    Require,
    /// Not at all
    Off,
}

impl Engines {
    /// The same for whoever starts engines.
    pub fn confinement(&self) -> Confinement {
        let confine = match self.confine {
            Confine::Auto => confine::Confine::Auto,
            Confine::Require => confine::Confine::Require,
            Confine::Off => confine::Confine::Off,
        };
        Confinement { confine, first_user: self.first_user }
    }
}

/// The section as it is read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) dir: Option<PathBuf>,
    confine: Confine,
    #[serde(deserialize_with = "first_user")]
    first_user: u32,
}

impl Default for Raw {
    fn default() -> Self {
        Self { dir: None, confine: Confine::default(), first_user: FIRST_USER }
    }
}

impl Raw {
    /// Adds what depends on the user's home.
    pub(super) fn complete(self, dir: PathBuf) -> Engines {
        Engines { dir, confine: self.confine, first_user: self.first_user }
    }
}

fn first_user<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let first = u32::deserialize(deserializer)?;
    if (1..=LAST_FIRST_USER).contains(&first) {
        return Ok(first);
    }
    let problem = format!("must be a user id from 1 to {LAST_FIRST_USER}");
    Err(serde::de::Error::custom(problem))
}
