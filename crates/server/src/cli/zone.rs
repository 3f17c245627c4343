//! `ourkv zone`: what can be sold where.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use ourkv_domain::catalogue::{Catalogue, Region, Zone as Known};
use ourkv_domain::ids::{RegionId, ZoneId};
use ourkv_domain::network::ZoneState;
use ourkv_store::Tx;
use serde::Serialize;

use super::Context;

/// Manage zones: stock and VPC support
#[derive(Debug, Subcommand)]
pub(super) enum Zone {
    /// List the zones
    Ls(Ls),
    /// Change what is given and leave the rest
    Set(Set),
}

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// Only the zones of this region
    #[arg(long, value_name = "REGION")]
    region: Option<RegionId>,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// Id of the zone
    zone: ZoneId,
    /// Memory that may be sold there in all, MB, or `none` for no limit
    #[arg(long, value_name = "N|none", value_parser = quota)]
    quota_mb: Option<Quota>,
    /// Whether instances may be put into VPCs there; `default` is the catalogue's word
    #[arg(long, value_name = "on|off|default", value_parser = support)]
    vpc: Option<Support>,
}

/// Types of their own, as clap reads an `Option` inside as a flag that may be absent.
#[derive(Debug, Clone, Copy)]
struct Quota(Option<i64>);

#[derive(Debug, Clone, Copy)]
struct Support(Option<bool>);

#[derive(Serialize)]
struct Row {
    zone: ZoneId,
    region: RegionId,
    quota_mb: Option<i64>,
    used_mb: i64,
    vpc: bool,
}

impl Zone {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Ls(ls) => ls.run(context).await,
            Self::Set(set) => set.run(context).await,
        }
    }
}

impl Ls {
    async fn run(self, context: &Context) -> anyhow::Result<()> {
        let catalogue = Catalogue::builtin();
        let regions: Vec<_> = match &self.region {
            None => catalogue.regions().iter().collect(),
            Some(id) => vec![catalogue.region(id).with_context(|| format!("no region {id}"))?],
        };
        let opened = context.open().await?;
        let read = move |tx: &mut Tx<'_>| {
            let zones = regions
                .iter()
                .flat_map(|region| region.zones.iter().map(move |zone| (*region, zone)));
            let rows =
                zones.map(|(region, zone)| Ok(Row::of(region, zone, &tx.zone_state(&zone.id)?)));
            rows.collect::<anyhow::Result<Vec<_>>>()
        };
        context.output.list(&opened.store.read(read).await?)
    }
}

impl Set {
    async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Some((region, zone)) = Catalogue::builtin().zone(&self.zone) else {
            bail!("there is no zone {}; `ourkv zone ls` lists them", self.zone);
        };
        let opened = context.open().await?;
        let (quota, vpc) = (self.quota_mb.map(|quota| quota.0), self.vpc.map(|vpc| vpc.0));
        let change = move |tx: &mut Tx<'_>| {
            tx.set_zone(&zone.id, quota, vpc)?;
            anyhow::Ok(tx.zone_state(&zone.id)?)
        };
        let state = opened.store.write(change).await?;
        context.output.show(&Row::of(region, zone, &state))
    }
}

impl Row {
    fn of(region: &Region, zone: &Known, state: &ZoneState) -> Self {
        Self {
            zone: zone.id.clone(),
            region: region.id.clone(),
            quota_mb: state.quota_mb,
            used_mb: state.used_mb,
            vpc: state.vpc.unwrap_or(zone.vpc),
        }
    }
}

fn quota(text: &str) -> Result<Quota, String> {
    match text {
        "none" => Ok(Quota(None)),
        number => match number.parse() {
            Ok(number) if number >= 0 => Ok(Quota(Some(number))),
            _ => Err("must be a number of MB, or `none`".into()),
        },
    }
}

fn support(text: &str) -> Result<Support, String> {
    match text {
        "on" => Ok(Support(Some(true))),
        "off" => Ok(Support(Some(false))),
        "default" => Ok(Support(None)),
        _ => Err("must be `on`, `off` or `default`".into()),
    }
}
