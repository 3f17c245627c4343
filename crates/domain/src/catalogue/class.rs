//! Instance classes: what a class code stands for.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::instance::{EngineVersion, InstanceType, NodeType};

/// How the engines of an instance are arranged, with the words of the query actions.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// One shard without a proxy.
    Standard,
    /// Several shards behind a proxy.
    Cluster,
    /// One shard with read replicas behind a proxy.
    RwSplit,
}

/// Whether an instance of a class can be created here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// It runs.
    Runs,
    /// The class is known, its architecture is not built yet.
    NotYet,
}

/// One instance class; a line of the data file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// E.g. `redis.master.2xlarge.default`.
    pub code: String,
    /// The kind of engine.
    pub instance_type: InstanceType,
    /// One node or two (per shard).
    pub node_type: NodeType,
    /// The arrangement of the engines.
    pub architecture: Architecture,
    /// Memory of the whole instance, MB.
    pub capacity_mb: i64,
    /// Bandwidth in each direction, MB/s.
    pub bandwidth_mbps: i64,
    /// Client connections allowed at a time.
    pub connections: i64,
    /// Requests per second, a reference value.
    pub qps: i64,
    /// Number of shards; for `redis.shard.with.proxy.*` the smallest, since the request may ask
    /// for more.
    pub shards: u32,
    /// The engine versions that the class exists for.
    pub versions: Vec<EngineVersion>,
    /// Price of an hour in micro-CNY at a price level of 100 percent.
    pub hourly_price: i64,
    /// Whether it can be created here.
    pub availability: Availability,
    /// Whether `Capacity` without `InstanceClass` may resolve to this class.
    pub by_capacity: bool,
}

impl Class {
    /// Whether the class exists for that engine version.
    pub fn fits(&self, version: EngineVersion) -> bool {
        self.versions.contains(&version)
    }
}
