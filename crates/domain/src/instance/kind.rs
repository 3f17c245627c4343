//! The closed lists of the CreateInstance page: instance type, node type, engine version.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// What kind of engine an instance is (CreateInstance page, row InstanceType).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
pub enum InstanceType {
    /// redis-server or a compatible engine.
    #[default]
    Redis,
    /// memcached.
    Memcache,
}

impl InstanceType {
    /// The documented service port: 6379 or 11211.
    pub fn port(self) -> u16 {
        match self {
            Self::Redis => 6379,
            Self::Memcache => 11211,
        }
    }
}

/// One engine or a pair of them (CreateInstance page, row NodeType).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
pub enum NodeType {
    /// One engine; no persistence is promised.
    #[strum(serialize = "STAND_ALONE")]
    #[serde(rename = "STAND_ALONE")]
    StandAlone,
    /// A master and a replica with a live link.
    #[default]
    #[strum(serialize = "MASTER_SLAVE")]
    #[serde(rename = "MASTER_SLAVE")]
    MasterSlave,
}

impl NodeType {
    /// The word of the query actions, which differs from the word of CreateInstance.
    pub fn described(self) -> &'static str {
        match self {
            Self::StandAlone => "single",
            Self::MasterSlave => "double",
        }
    }
}

/// A level of compatibility (CreateInstance page, row EngineVersion); which binary serves it is
/// decided where binaries are known.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
pub enum EngineVersion {
    /// Redis 2.8, the documented default.
    #[default]
    #[strum(serialize = "2.8")]
    #[serde(rename = "2.8")]
    V2_8,
    /// Redis 4.0.
    #[strum(serialize = "4.0")]
    #[serde(rename = "4.0")]
    V4_0,
    /// Redis 5.0.
    #[strum(serialize = "5.0")]
    #[serde(rename = "5.0")]
    V5_0,
}

impl EngineVersion {
    /// Major and minor number.
    pub fn number(self) -> (u16, u16) {
        match self {
            Self::V2_8 => (2, 8),
            Self::V4_0 => (4, 0),
            Self::V5_0 => (5, 0),
        }
    }
}

/// How an instance is paid for (CreateInstance page, row ChargeType).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
pub enum ChargeType {
    /// By the month, in advance.
    PrePaid,
    /// By the hour, afterwards.
    #[default]
    PostPaid,
}

/// Which kind of network an instance hangs on (CreateInstance page, row NetworkType).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
pub enum NetworkType {
    /// The shared classic network.
    #[default]
    #[strum(serialize = "CLASSIC")]
    #[serde(rename = "CLASSIC")]
    Classic,
    /// A virtual private cloud.
    #[strum(serialize = "VPC")]
    #[serde(rename = "VPC")]
    Vpc,
}
