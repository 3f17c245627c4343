//! What can be bought, and where: instance classes, regions and zones.
//!
//! The tables are data files beside the sources (`data/classes.json`, `data/regions.json`), read
//! once and never changed. What an operator may change about a zone (its stock, whether it offers
//! VPCs) is state and lives in the store; the catalogue knows only what is true everywhere.
//!
//! Hourly prices of the families for which the vendor prints none (`redis.sharding.*`,
//! `memcache.*`, `*.ce`, `special1x`/`special2x`, zone recovery, most enterprise classes) are
//! estimates scaled by capacity.

pub mod class;
pub mod region;

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::ids::{RegionId, ZoneId};
use crate::instance::{InstanceType, NodeType};

pub use class::{Architecture, Availability, Class};
pub use region::{Region, Zone};

/// The tables, indexed.
#[derive(Debug)]
pub struct Catalogue {
    regions: Vec<Region>,
    classes: Vec<Class>,
    /// Class code to its place in `classes`.
    codes: HashMap<String, usize>,
}

impl Catalogue {
    /// The catalogue that is part of the program.
    pub fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<Catalogue> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            Self::read(
                include_str!("../../data/regions.json"),
                include_str!("../../data/classes.json"),
            )
            .expect("the embedded tables are the ones that the tests of this module read")
        })
    }

    fn read(regions: &str, classes: &str) -> Result<Self, serde_json::Error> {
        let regions: Vec<Region> = serde_json::from_str(regions)?;
        let classes: Vec<Class> = serde_json::from_str(classes)?;
        let codes =
            classes.iter().enumerate().map(|(at, class)| (class.code.clone(), at)).collect();
        Ok(Self { regions, classes, codes })
    }

    /// Every region, in the order in which `DescribeRegions` lists them.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The region of that id.
    pub fn region(&self, id: &RegionId) -> Option<&Region> {
        self.regions.iter().find(|region| region.id == *id)
    }

    /// The zone of that id and the region it belongs to.
    pub fn zone(&self, id: &ZoneId) -> Option<(&Region, &Zone)> {
        self.regions.iter().find_map(|region| region.zone(id).map(|zone| (region, zone)))
    }

    /// Every class, including those that cannot be created here.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The class of exactly that code.
    pub fn class(&self, code: &str) -> Option<&Class> {
        self.codes.get(code).map(|at| &self.classes[*at])
    }

    /// The class that `Capacity` (MB) alone stands for; only an exact match counts.
    ///
    /// Redis pairs go from `redis.master.*.default` over to the first-generation clusters at
    /// 131072 MB. Memcache has one family, so the node type does not matter for it.
    pub fn by_capacity(
        &self,
        capacity_mb: i64,
        instance_type: InstanceType,
        node_type: NodeType,
    ) -> Option<&Class> {
        self.classes.iter().find(|class| {
            class.by_capacity
                && class.capacity_mb == capacity_mb
                && class.instance_type == instance_type
                && (class.node_type == node_type || instance_type == InstanceType::Memcache)
        })
    }
}

#[cfg(test)]
mod tests;
