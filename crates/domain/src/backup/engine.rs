//! Which engine wrote a set of data: an older one may not be able to read it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// A line of engines that write the same format.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "lowercase")]
pub enum EngineKind {
    /// Redis.
    Redis,
    /// Valkey, which parted from Redis at 7.2.
    Valkey,
}

/// An engine and its exact version; written `redis 7.0.15`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EngineStamp {
    /// Which engine.
    pub kind: EngineKind,
    /// Major, minor and patch number.
    pub version: (u16, u16, u16),
}

/// The text does not name an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an engine and its version")]
pub struct MalformedStamp;

impl fmt::Display for EngineStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.version;
        write!(f, "{} {major}.{minor}.{patch}", self.kind)
    }
}

impl FromStr for EngineStamp {
    type Err = MalformedStamp;

    fn from_str(text: &str) -> Result<Self, MalformedStamp> {
        let (kind, version) = text.split_once(' ').ok_or(MalformedStamp)?;
        let numbers: Result<Vec<u16>, _> = version.split('.').map(str::parse).collect();
        let numbers = numbers.map_err(|_| MalformedStamp)?;
        let [major, minor, patch] = numbers[..] else { return Err(MalformedStamp) };
        let kind = kind.parse().map_err(|_| MalformedStamp)?;
        Ok(Self { kind, version: (major, minor, patch) })
    }
}

impl TryFrom<String> for EngineStamp {
    type Error = MalformedStamp;

    fn try_from(text: String) -> Result<Self, MalformedStamp> {
        text.parse()
    }
}

impl From<EngineStamp> for String {
    fn from(stamp: EngineStamp) -> Self {
        stamp.to_string()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_stamp_is_written_as_it_is_read() {
        for text in ["redis 7.0.15", "valkey 8.1.0"] {
            let stamp: EngineStamp = text.parse().unwrap();
            assert_eq!(stamp.to_string(), text);
            let json = serde_json::to_string(&stamp).unwrap();
            assert_eq!(serde_json::from_str::<EngineStamp>(&json).unwrap(), stamp);
        }
    }

    #[rstest]
    #[case("")]
    #[case("redis")]
    #[case("redis 7.0")]
    #[case("redis 7.0.15.1")]
    #[case("Redis 7.0.15")]
    #[case("keydb 6.3.4")]
    #[case("redis 7.0.99999")]
    fn refuses(#[case] text: &str) {
        assert!(text.parse::<EngineStamp>().is_err());
    }
}
