//! `ourkv vpc`: virtual private clouds, and the service that offers them.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use ipnet::Ipv4Net;
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::ids::{AccountId, RegionId, VpcId};
use ourkv_domain::network::Vpc as Stored;
use ourkv_store::{Removal, Tx};
use serde::Serialize;

use super::account::Which;
use super::{Context, output};

/// Manage VPCs
#[derive(Debug, Subcommand)]
pub(super) enum Vpc {
    /// List the VPCs
    Ls,
    /// Make a VPC; `ourkv vswitch create` then gives it addresses
    Create(Create),
    /// Remove a VPC without vSwitches
    Rm(Rm),
    /// Take the VPC service down, or bring it up: while it is down nothing is created in a VPC
    Service(Service),
}

#[derive(Debug, Clone, Args)]
pub(super) struct Create {
    /// Where it is
    #[arg(long)]
    region: RegionId,
    /// The block that its vSwitches lie in
    #[arg(long, value_name = "CIDR", default_value = "172.16.0.0/12")]
    cidr: Ipv4Net,
    /// What to call it
    #[arg(long, default_value = "")]
    name: String,
    #[command(flatten)]
    owner: Which,
}

#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Id of the VPC
    id: VpcId,
}

#[derive(Debug, Args)]
pub(super) struct Service {
    /// What it should be
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// Instances can be created in VPCs
    Up,
    /// They can't
    Down,
}

#[derive(Serialize)]
struct Row {
    id: VpcId,
    region: RegionId,
    cidr: Ipv4Net,
    name: String,
    account: AccountId,
}

impl Vpc {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Ls => list(context).await,
            Self::Create(create) => create.run(context).await,
            Self::Rm(Rm { id }) => remove(context, id).await,
            Self::Service(Service { state }) => set_service(context, state).await,
        }
    }
}

async fn list(context: &Context) -> anyhow::Result<()> {
    let opened = context.open().await?;
    let vpcs = opened.store.read(|tx| anyhow::Ok(tx.vpcs(None)?)).await?;
    let mut rows: Vec<_> = vpcs.into_iter().map(Row::of).collect();
    rows.sort_by(|a, b| (&a.region, &a.id).cmp(&(&b.region, &b.id)));
    context.output.list(&rows)
}

impl Create {
    async fn run(self, context: &Context) -> anyhow::Result<()> {
        let region = Catalogue::builtin().region(&self.region);
        let region = region.with_context(|| format!("there is no region {}", self.region))?;
        let opened = context.open().await?;
        let id = opened.mint.vpc(region);
        let insert = move |tx: &mut Tx<'_>| {
            let vpc = Stored {
                id: id.clone(),
                account: self.owner.find(tx)?.id,
                region: self.region.clone(),
                cidr: self.cidr.trunc(),
                name: self.name.clone(),
            };
            tx.insert_vpc(&vpc)?;
            anyhow::Ok(vpc)
        };
        let vpc = opened.store.write(insert).await?;
        context.output.show(&Row::of(vpc))
    }
}

async fn remove(context: &Context, id: VpcId) -> anyhow::Result<()> {
    let opened = context.open().await?;
    let gone = id.clone();
    match opened.store.write(move |tx| anyhow::Ok(tx.delete_vpc(&gone)?)).await? {
        Removal::Removed => output::say(&format!("removed {id}")),
        Removal::Missing => bail!("there is no VPC {id}; `ourkv vpc ls` lists them"),
        Removal::InUse => bail!("{id} has vSwitches; remove them first"),
    }
    Ok(())
}

async fn set_service(context: &Context, state: State) -> anyhow::Result<()> {
    let opened = context.open().await?;
    let up = state == State::Up;
    opened.store.write(move |tx| anyhow::Ok(tx.set_vpc_service(up)?)).await?;
    let word = if up { "up" } else { "down" };
    output::say(&format!("the VPC service is {word}"));
    Ok(())
}

impl Row {
    fn of(vpc: Stored) -> Self {
        let Stored { id, account, region, cidr, name } = vpc;
        Self { id, region, cidr, name, account }
    }
}
