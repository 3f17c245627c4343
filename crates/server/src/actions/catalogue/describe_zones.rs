//! DescribeZones: every zone, or those of one region.

use async_trait::async_trait;
use ourkv_domain::ids::RegionId;
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::Language;
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, refusals};

/// The action.
pub struct DescribeZones;

/// Its parameters.
#[derive(Debug)]
pub struct Request {
    region: Option<RegionId>,
    language: Language,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    zones: Zones,
}

#[derive(Debug, Serialize)]
struct Zones {
    #[serde(rename = "KVStoreZone")]
    zones: Vec<KvStoreZone>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KvStoreZone {
    zone_id: String,
    zone_name: String,
    region_id: String,
    is_rds: bool,
    switch_network: bool,
    disabled: bool,
}

refusals! {
    /// What it refuses.
    pub enum Refusal {
        /// No such region.
        UnknownRegion = 404 "InvalidRegion.NotFound" "The specified region does not exist.",
    }
}

#[async_trait]
impl Endpoint for DescribeZones {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "DescribeZones",
        summary: "Lists the zones.",
        effect: Effect::Read,
        parameters: &[
            Parameter::optional("RegionId", "Only the zones of this region."),
            Parameter::optional("AcceptLanguage", "zh-CN (default) or en-US."),
        ],
        faults: &[Refusal::FAULTS],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        let region = params.get("RegionId").map(RegionId::parse).transpose();
        let region = region.map_err(|_| Refusal::UnknownRegion)?;
        Ok(Request { region, language: Language::asked_for(params) })
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        let catalogue = ctx.platform.catalogue;
        if request.region.as_ref().is_some_and(|region| catalogue.region(region).is_none()) {
            return Err(Refusal::UnknownRegion.into());
        }
        let asked = |region: &RegionId| request.region.as_ref().is_none_or(|id| id == region);
        let regions = catalogue.regions().iter().filter(|region| asked(&region.id));
        let zones = regions.flat_map(|region| {
            region.zones.iter().map(move |zone| KvStoreZone {
                zone_id: zone.id.to_string(),
                zone_name: match request.language {
                    Language::Chinese => zone.name.clone(),
                    Language::English => zone.name_en.clone(),
                },
                region_id: region.id.to_string(),
                is_rds: true,
                switch_network: zone.vpc,
                disabled: false,
            })
        });
        Ok(Response { zones: Zones { zones: zones.collect() } })
    }
}
