//! `ourkv vswitch`: subnets of VPCs, which addresses come from.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use ipnet::Ipv4Net;
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::ids::{NodeId, VSwitchId, VpcId, ZoneId};
use ourkv_domain::network::{Pool, VSwitch as Stored, usable};
use ourkv_store::{Removal, Tx};
use serde::Serialize;

use super::{Context, output};

/// Manage vSwitches
#[derive(Debug, Subcommand)]
pub(super) enum Vswitch {
    /// List the vSwitches
    Ls(Ls),
    /// Make a vSwitch in a VPC
    Create(Create),
    /// Remove a vSwitch that nothing hangs on
    Rm(Rm),
}

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// Only those of this VPC
    #[arg(long, value_name = "ID")]
    vpc: Option<VpcId>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Create {
    /// Id of the VPC
    #[arg(long, value_name = "ID")]
    vpc: VpcId,
    /// Where it is: a zone of the VPC's region
    #[arg(long)]
    zone: ZoneId,
    /// Its addresses: a part of the VPC's block that no other vSwitch has
    #[arg(long, value_name = "CIDR")]
    cidr: Ipv4Net,
    /// What to call it
    #[arg(long, default_value = "")]
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Id of the vSwitch
    id: VSwitchId,
}

#[derive(Serialize)]
struct Row {
    id: VSwitchId,
    vpc: VpcId,
    zone: ZoneId,
    cidr: Ipv4Net,
    name: String,
}

impl Vswitch {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Ls(ls) => ls.run(context).await,
            Self::Create(create) => create.run(context).await,
            Self::Rm(Rm { id }) => remove(context, id).await,
        }
    }
}

impl Ls {
    async fn run(self, context: &Context) -> anyhow::Result<()> {
        let opened = context.open().await?;
        let read = move |tx: &mut Tx<'_>| anyhow::Ok(tx.vswitches(self.vpc.as_ref())?);
        let mut rows: Vec<_> = opened.store.read(read).await?.into_iter().map(Row::of).collect();
        rows.sort_by(|a, b| (&a.zone, &a.id).cmp(&(&b.zone, &b.id)));
        context.output.list(&rows)
    }
}

impl Create {
    async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Some((region, _)) = Catalogue::builtin().zone(&self.zone) else {
            bail!("there is no zone {}; `ourkv zone ls` lists them", self.zone);
        };
        let opened = context.open().await?;
        let (id, node) = (opened.mint.vswitch(region), opened.node.clone());
        let insert = move |tx: &mut Tx<'_>| {
            let vpc = tx.vpc(&self.vpc)?;
            let vpc = vpc.with_context(|| format!("there is no VPC {}", self.vpc))?;
            if vpc.region != region.id {
                bail!("{} is in {}, the zone in {}", vpc.id, vpc.region, region.id);
            }
            let vswitch = Stored {
                id: id.clone(),
                vpc: vpc.id.clone(),
                account: vpc.account.clone(),
                zone: self.zone.clone(),
                cidr: self.cidr.trunc(),
                name: self.name.clone(),
            };
            let neighbours = tx.vswitches(Some(&vpc.id))?;
            check_block(vswitch.cidr, vpc.cidr, &neighbours)?;
            add(tx, &vswitch, &node)?;
            Ok(vswitch)
        };
        let vswitch = opened.store.write(insert).await?;
        context.output.show(&Row::of(vswitch))
    }
}

fn add(tx: &mut Tx<'_>, vswitch: &Stored, node: &NodeId) -> anyhow::Result<()> {
    let (first, last) = usable(vswitch.cidr)
        .with_context(|| format!("{} has no address to give; use a /29 or more", vswitch.cidr))?;
    tx.insert_vswitch(vswitch)?;
    tx.ensure_pool(&Pool::VSwitch(vswitch.id.clone()).key(node), first, last)?;
    Ok(())
}

/// A vSwitch lies in the block of its VPC and shares no address with another one.
fn check_block(cidr: Ipv4Net, vpc: Ipv4Net, neighbours: &[Stored]) -> anyhow::Result<()> {
    if !vpc.contains(&cidr) {
        bail!("{cidr} is not inside {vpc}, the block of the VPC");
    }
    let overlaps = |other: &&Stored| other.cidr.contains(&cidr) || cidr.contains(&other.cidr);
    match neighbours.iter().find(overlaps) {
        Some(other) => bail!("{cidr} overlaps {} of {}", other.cidr, other.id),
        None => Ok(()),
    }
}

async fn remove(context: &Context, id: VSwitchId) -> anyhow::Result<()> {
    let opened = context.open().await?;
    let gone = id.clone();
    match opened.store.write(move |tx| anyhow::Ok(tx.delete_vswitch(&gone)?)).await? {
        Removal::Removed => output::say(&format!("removed {id}")),
        Removal::Missing => bail!("there is no vSwitch {id}; `ourkv vswitch ls` lists them"),
        Removal::InUse => bail!("instances hang on {id}; delete them first"),
    }
    Ok(())
}

impl Row {
    fn of(vswitch: Stored) -> Self {
        let Stored { id, vpc, zone, cidr, name, account: _ } = vswitch;
        Self { id, vpc, zone, cidr, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn neighbour(cidr: &str) -> Stored {
        Stored {
            id: VSwitchId::parse("vsw-a").unwrap(),
            vpc: VpcId::parse("vpc-a").unwrap(),
            account: ourkv_domain::ids::AccountId::parse("1").unwrap(),
            zone: ZoneId::parse("cn-hongkong-b").unwrap(),
            cidr: net(cidr),
            name: String::new(),
        }
    }

    #[test]
    fn refuses_a_block_outside_of_the_vpc() {
        assert!(check_block(net("10.1.0.0/24"), net("10.0.0.0/16"), &[]).is_err());
        assert!(check_block(net("10.0.0.0/8"), net("10.0.0.0/16"), &[]).is_err());
    }

    #[test]
    fn refuses_overlapping_cidr() {
        let vpc = net("10.0.0.0/16");
        let others = [neighbour("10.0.4.0/24")];
        for cidr in ["10.0.4.0/24", "10.0.4.128/25", "10.0.0.0/20"] {
            assert!(check_block(net(cidr), vpc, &others).is_err(), "{cidr}");
        }
        assert!(check_block(net("10.0.5.0/24"), vpc, &others).is_ok());
    }
}
