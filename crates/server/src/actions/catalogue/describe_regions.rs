//! DescribeRegions: every region with its zones.
//!
//! Each region stands in the list once; the vendor may repeat one with a second list of zones.

use async_trait::async_trait;
use ourkv_domain::catalogue::region::Region;
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::Language;
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter};

/// The action.
pub struct DescribeRegions;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    region_ids: RegionIds,
}

#[derive(Debug, Serialize)]
struct RegionIds {
    #[serde(rename = "KVStoreRegion")]
    regions: Vec<KvStoreRegion>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KvStoreRegion {
    region_id: String,
    local_name: String,
    region_endpoint: String,
    zone_ids: String,
    zone_id_list: ZoneIdList,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ZoneIdList {
    zone_id: Vec<String>,
}

#[async_trait]
impl Endpoint for DescribeRegions {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "DescribeRegions",
        summary: "Lists the regions and their zones.",
        effect: Effect::Read,
        parameters: &[Parameter::optional("AcceptLanguage", "zh-CN (default) or en-US.")],
        faults: &[],
    };
    type Request = Language;
    type Response = Response;

    fn parse(params: &Params) -> Result<Language, Fault> {
        Ok(Language::asked_for(params))
    }

    async fn run(ctx: &Ctx, language: Language) -> Result<Response, Failure> {
        let regions = ctx.platform.catalogue.regions().iter();
        let regions = regions.map(|region| describe(region, language)).collect();
        Ok(Response { region_ids: RegionIds { regions } })
    }
}

fn describe(region: &Region, language: Language) -> KvStoreRegion {
    let zones: Vec<_> = region.zones.iter().map(|zone| zone.id.to_string()).collect();
    let name = match language {
        Language::Chinese => &region.name_zh,
        Language::English => &region.name_en,
    };
    KvStoreRegion {
        region_id: region.id.to_string(),
        local_name: name.clone(),
        region_endpoint: region.endpoint(),
        zone_ids: zones.join(","),
        zone_id_list: ZoneIdList { zone_id: zones },
    }
}
