//! The loopback block of one node, and what is carved out of it.
//!
//! Linux answers on every 127.x.y.z without any setup, so each instance can have an address of
//! its own at the documented port. Each node takes one /16 of 127.16.0.0 – 127.239.0.0 by its id,
//! so that two nodes on one machine rarely meet; where they do, the engine's start reports the
//! address as taken.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};

use crate::ids::NodeId;

/// A /16 and its three parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopbackBlock(Ipv4Net);

/// The block is not a /16 of 127.0.0.0/8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address block must be a /16 of 127.0.0.0/8, such as 127.42.0.0/16")]
pub struct NotLoopback;

impl LoopbackBlock {
    /// The block that a node takes where none is configured.
    pub fn of(node: &NodeId) -> Self {
        let digest = Sha256::digest(node.as_str());
        let second = 16 + digest[0] % 224;
        Self(net(Ipv4Addr::new(127, second, 0, 0), 16))
    }

    /// A configured block.
    pub fn parse(text: &str) -> Result<Self, NotLoopback> {
        let block: Ipv4Net = text.parse().map_err(|_| NotLoopback)?;
        if block.prefix_len() == 16 && block.network().is_loopback() && block.trunc() == block {
            Ok(Self(block))
        } else {
            Err(NotLoopback)
        }
    }

    /// All of it.
    pub fn net(self) -> Ipv4Net {
        self.0
    }

    /// The first quarter: the classic network.
    pub fn classic(self) -> Ipv4Net {
        net(self.at(0), 18)
    }

    /// The second quarter: the default VPC of every region shares it.
    pub fn default_vpc(self) -> Ipv4Net {
        net(self.at(64), 18)
    }

    /// A default vSwitch: the `index`-th /25 of the second quarter, 128 of them.
    pub fn default_vswitch(self, index: usize) -> Option<Ipv4Net> {
        let start = u32::from(self.at(64)) + u32::try_from(index).ok()?.checked_mul(128)?;
        (index < 128).then(|| net(Ipv4Addr::from(start), 25))
    }

    /// The second half: serves for addresses that this machine can't.
    pub fn serving(self) -> Ipv4Net {
        net(self.at(128), 17)
    }

    fn at(self, third: u8) -> Ipv4Addr {
        let [first, second, ..] = self.0.network().octets();
        Ipv4Addr::new(first, second, third, 0)
    }
}

impl std::fmt::Display for LoopbackBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn net(address: Ipv4Addr, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(address, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_do_not_overlap() {
        let block = LoopbackBlock::parse("127.42.0.0/16").unwrap();
        let parts = [block.classic(), block.default_vpc(), block.serving()];
        for (i, a) in parts.iter().enumerate() {
            for b in &parts[i + 1..] {
                assert!(!a.contains(b) && !b.contains(a), "{a} {b}");
            }
        }
        let last = block.default_vswitch(127).unwrap();
        assert!(block.default_vpc().contains(&last));
        assert_eq!(block.default_vswitch(128), None);
    }

    #[test]
    fn takes_only_a_16_of_loopback() {
        for text in ["127.42.0.0/17", "127.42.1.0/16", "10.1.0.0/16", "x"] {
            assert_eq!(LoopbackBlock::parse(text), Err(NotLoopback), "{text}");
        }
    }

    #[test]
    fn a_node_always_takes_the_same_block() {
        let node = NodeId::parse("node-a").unwrap();
        assert_eq!(LoopbackBlock::of(&node), LoopbackBlock::of(&node));
    }
}
