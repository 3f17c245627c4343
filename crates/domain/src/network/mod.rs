//! Networks: clouds, subnets, address pools and the names of endpoints.

pub mod block;
pub mod domain;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::ids::{AccountId, NodeId, RegionId, VSwitchId, VpcId, ZoneId};

/// A virtual private cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vpc {
    /// Its id.
    pub id: VpcId,
    /// Whose it is.
    pub account: AccountId,
    /// Where it is.
    pub region: RegionId,
    /// The block that its vSwitches lie in.
    pub cidr: Ipv4Net,
    /// What the operator calls it.
    pub name: String,
}

/// A subnet of a VPC in one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VSwitch {
    /// Its id.
    pub id: VSwitchId,
    /// The cloud that it is part of.
    pub vpc: VpcId,
    /// Whose it is.
    pub account: AccountId,
    /// Where it is.
    pub zone: ZoneId,
    /// The block that its addresses come from.
    pub cidr: Ipv4Net,
    /// What the operator calls it.
    pub name: String,
}

/// What an operator set for one zone; absent means the catalogue's word holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ZoneState {
    /// Memory that may be sold in the zone, in MB; `None` for no limit.
    pub quota_mb: Option<i64>,
    /// Memory that is sold, in MB.
    pub used_mb: i64,
    /// Whether instances may hang on a VPC here; `None` for the catalogue's word.
    pub vpc: Option<bool>,
}

/// Where addresses come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pool {
    /// The shared classic network of one node.
    Classic,
    /// The addresses that one node serves; those which it can't serve get another one from here.
    Serving,
    /// A subnet.
    VSwitch(VSwitchId),
}

impl Pool {
    /// The key of the pool in the store: a subnet belongs to its owner wherever it is served, the
    /// other two belong to one node.
    pub fn key(&self, node: &NodeId) -> String {
        match self {
            Self::Classic => format!("classic/{node}"),
            Self::Serving => format!("served/{node}"),
            Self::VSwitch(id) => id.to_string(),
        }
    }
}

/// Which addresses serve themselves. What does not is served by one of [`Pool::Serving`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostAddresses {
    /// Those of 127.0.0.0/8, which Linux answers on without any setup.
    #[default]
    LoopbackOnly,
    /// All: the others are added to the machine. An operator must ask for this, as an address may
    /// belong to somebody else on the machine's network.
    Any,
}

impl HostAddresses {
    /// Whether an instance with this address can be served at it.
    pub fn serve(self, ip: Ipv4Addr) -> bool {
        ip.is_loopback() || self == Self::Any
    }
}

/// The first and last address of a block that an instance may have: like the vendor, not the
/// network address and not the last four of the block (the top ones serve the platform).
pub fn usable(cidr: Ipv4Net) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (first, last) = (u32::from(cidr.network()) + 1, u32::from(cidr.broadcast()));
    let last = last.checked_sub(4)?;
    (first <= last).then(|| (Ipv4Addr::from(first), Ipv4Addr::from(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_out_the_ends_of_a_block() {
        let ends = usable("172.16.0.0/24".parse().unwrap()).unwrap();
        assert_eq!(ends, ([172, 16, 0, 1].into(), [172, 16, 0, 251].into()));
        assert_eq!(usable("10.0.0.0/30".parse().unwrap()), None);
    }
}
