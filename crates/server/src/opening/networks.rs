//! The networks that are there from the start, so that a first call works without any setup.

use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::ids::{AccountId, NodeId};
use ourkv_domain::mint::Mint;
use ourkv_domain::network::block::LoopbackBlock;
use ourkv_domain::network::{Pool, VSwitch, Vpc, usable};
use ourkv_store::{StoreError, Tx};

/// A VPC with its vSwitches, ready to be written.
#[derive(Clone)]
pub(super) struct DefaultNetwork {
    vpc: Vpc,
    vswitches: Vec<VSwitch>,
}

/// One VPC for each region, one vSwitch for each of its zones. Regions share the block; a zone's
/// place in its region picks the vSwitch, so no two zones of a region share one.
pub(super) fn defaults(
    catalogue: &Catalogue,
    block: LoopbackBlock,
    mint: &Mint,
    account: &AccountId,
) -> Vec<DefaultNetwork> {
    let mut next = 0;
    let regions = catalogue.regions().iter().map(|region| {
        let vpc = Vpc {
            id: mint.vpc(region),
            account: account.clone(),
            region: region.id.clone(),
            cidr: block.default_vpc(),
            name: "default".into(),
        };
        let vswitches = region.zones.iter().map_while(|zone| {
            let cidr = block.default_vswitch(next)?;
            next += 1;
            Some(VSwitch {
                id: mint.vswitch(region),
                vpc: vpc.id.clone(),
                account: account.clone(),
                zone: zone.id.clone(),
                cidr,
                name: format!("default {}", zone.id),
            })
        });
        let vswitches = vswitches.collect();
        DefaultNetwork { vpc, vswitches }
    });
    regions.collect()
}

/// Writes the networks and the pools of their addresses.
pub(super) fn write(
    tx: &mut Tx<'_>,
    networks: &[DefaultNetwork],
    node: &NodeId,
) -> Result<(), StoreError> {
    for network in networks {
        tx.insert_vpc(&network.vpc)?;
        for vswitch in &network.vswitches {
            tx.insert_vswitch(vswitch)?;
            add_pool(tx, &Pool::VSwitch(vswitch.id.clone()), vswitch.cidr, node)?;
        }
    }
    Ok(())
}

/// Writes the two pools that belong to the node alone, unless they are there.
pub(super) fn write_pools_of_node(
    tx: &mut Tx<'_>,
    block: LoopbackBlock,
    node: &NodeId,
) -> Result<(), StoreError> {
    add_pool(tx, &Pool::Classic, block.classic(), node)?;
    add_pool(tx, &Pool::Serving, block.serving(), node)
}

fn add_pool(
    tx: &mut Tx<'_>,
    pool: &Pool,
    cidr: ipnet::Ipv4Net,
    node: &NodeId,
) -> Result<(), StoreError> {
    match usable(cidr) {
        Some((first, last)) => tx.ensure_pool(&pool.key(node), first, last),
        None => Ok(()),
    }
}
