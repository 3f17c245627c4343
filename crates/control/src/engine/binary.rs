//! One installed engine.

use std::path::PathBuf;

use ourkv_domain::backup::{EngineKind, EngineStamp};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

use super::patched;

/// Major, minor, patch.
pub type Version = (u16, u16, u16);

/// What an engine is by descent.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Display,
    EnumString,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// redis-server.
    Redis,
    /// valkey-server, which grew out of Redis 7.2.
    Valkey,
    /// memcached.
    Memcached,
}

impl From<EngineKind> for Kind {
    fn from(kind: EngineKind) -> Self {
        match kind {
            EngineKind::Redis => Self::Redis,
            EngineKind::Valkey => Self::Valkey,
        }
    }
}

/// An engine that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// What is executed. The name matters: Debian's redis-server is a link to another program
    /// that looks at the name it was called by.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// What it calls itself.
    pub version: Version,
    /// Whether the distribution keeps it patched.
    pub from_distribution: bool,
}

impl Binary {
    /// The Redis version whose settings, commands and data files it shares (major, minor).
    pub fn level(&self) -> (u16, u16) {
        match self.kind {
            Kind::Valkey => (7, 2),
            Kind::Redis | Kind::Memcached => (self.version.0, self.version.1),
        }
    }

    /// Whether it reads the data files of another engine: one of its own kind that is not newer,
    /// and Valkey those of the Redis that it grew out of.
    pub fn reads(&self, kind: Kind, version: Version) -> bool {
        let heir = (kind, self.kind) == (Kind::Redis, Kind::Valkey)
            && (version.0, version.1) <= self.level();
        heir || (self.kind == kind && self.version >= version)
    }

    /// What data is marked with that it wrote; a cache writes none.
    pub fn stamp(&self) -> Option<EngineStamp> {
        let kind = match self.kind {
            Kind::Redis => EngineKind::Redis,
            Kind::Valkey => EngineKind::Valkey,
            Kind::Memcached => return None,
        };
        Some(EngineStamp { kind, version: self.version })
    }

    /// Whether it is known to be free of the escapes out of Lua, or kept so by the distribution.
    pub fn is_patched(&self) -> bool {
        self.from_distribution || self.missing_fix().is_none()
    }

    /// What an engine of this version lacks when nobody patched it.
    pub fn missing_fix(&self) -> Option<&'static str> {
        if self.from_distribution { None } else { patched::missing_fix(self.kind, self.version) }
    }

    /// Whether it has users and passwords of their own (ACL).
    pub fn has_acl(&self) -> bool {
        self.level() >= (6, 0)
    }
}

impl std::fmt::Display for Binary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (major, minor, patch) = self.version;
        write!(f, "{} {major}.{minor}.{patch}", self.kind)
    }
}
