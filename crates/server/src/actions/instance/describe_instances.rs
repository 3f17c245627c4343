//! DescribeInstances: a page of the caller's instances, filtered.
//!
//! Sorted by creation, newest first. Filters are joined by "and". Deleted instances are gone at
//! once, whatever of their engines is still being taken down. `SearchKey` is a part of the id or
//! of the name.

use async_trait::async_trait;
use ourkv_domain::catalogue::Architecture;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{EngineVersion, Instance};
use ourkv_store::{Filter, Page};
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::described::Described;
use crate::actions::parameter::{node_type, word};
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, refusals};

/// Most ids in one request.
const MOST_IDS: usize = 30;

/// Most tags in one request.
const MOST_TAGS: usize = 5;

/// Entries on a page where the caller names no number.
const DEFAULT_PAGE: i64 = 30;

/// Most entries on a page.
const LARGEST_PAGE: i64 = 50;

/// The action.
pub struct DescribeInstances;

/// Its parameters.
#[derive(Debug)]
pub struct Request {
    filter: Filter,
    expired: Option<bool>,
    nothing: bool,
    page: Page,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    instances: Instances,
    page_number: i64,
    page_size: i64,
    total_count: i64,
}

#[derive(Debug, Serialize)]
struct Instances {
    #[serde(rename = "KVStoreInstance")]
    instances: Vec<KvStoreInstance>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KvStoreInstance {
    #[serde(flatten)]
    described: Described,
    user_name: String,
    edition_type: &'static str,
    is_rds: bool,
    has_renew_change_order: bool,
}

refusals! {
    /// What it refuses.
    pub enum Refusal {
        /// More than 30 ids, or a text that is none.
        MalformedIds = 400 "InvalidInstanceIds.Malformed"
            "The Specified parameter \"InstanceIds\" is not valid.",
    }
}

#[async_trait]
impl Endpoint for DescribeInstances {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "DescribeInstances",
        summary: "Lists the caller's instances.",
        effect: Effect::Read,
        parameters: &[
            Parameter::optional("RegionId", "Only of this region."),
            Parameter::optional("InstanceIds", "Only these, at most 30, joined by commas."),
            Parameter::optional("InstanceStatus", "Only of this status, e.g. Normal."),
            Parameter::optional("ChargeType", "Only PrePaid or PostPaid."),
            Parameter::optional("NetworkType", "Only CLASSIC or VPC."),
            Parameter::optional("EngineVersion", "Only of this version."),
            Parameter::optional("InstanceClass", "Only of this class."),
            Parameter::optional("InstanceType", "Only Redis or Memcache."),
            Parameter::optional("ArchitectureType", "Only standard, cluster or rwsplit."),
            Parameter::optional("EditionType", "Only Community or Enterprise."),
            Parameter::optional("NodeType", "Only double or single."),
            Parameter::optional("VpcId", "Only on this VPC."),
            Parameter::optional("VSwitchId", "Only on this vSwitch."),
            Parameter::optional("ZoneId", "Only of this zone."),
            Parameter::optional("PrivateIp", "Only the one at this address."),
            Parameter::optional("SearchKey", "Only with this in the id or the name."),
            Parameter::optional("ResourceGroupId", "Only of this group; no instance is in one."),
            Parameter::optional("GlobalInstance", "true: only global ones; there are none."),
            Parameter::optional("Tag.N.Key", "Only with these tags; no instance has any."),
            Parameter::optional("Expired", "true: only expired ones; false: only others."),
            Parameter::optional("PageNumber", "From 1 (default)."),
            Parameter::optional("PageSize", "At most 50; 30 by default."),
        ],
        faults: &[Refusal::FAULTS],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        Ok(Request {
            filter: filter(params)?,
            expired: params.parse_bool("Expired")?,
            nothing: asks_for_what_does_not_run(params)? || asks_for_what_is_not_kept(params)?,
            page: page(params)?,
        })
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        ctx.instances_are_seen().await;
        let Request { mut filter, expired, nothing, page } = request;
        filter.account = Some(ctx.caller.account.clone());
        filter.expired = expired.map(|expired| (expired, ctx.now));
        let searches = filter.search.is_some();
        let (instances, total_count) = if nothing {
            (Vec::new(), 0)
        } else {
            let work = move |tx: &mut ourkv_store::Tx<'_>| {
                Ok((tx.instances(&filter, Some(page))?, tx.count_instances(&filter)?))
            };
            // A search looks into every instance of the account, everything else into an index.
            if searches { ctx.read(work).await? } else { ctx.look_up(work).await? }
        };
        let instances = instances.iter().filter_map(describe).collect();
        Ok(Response {
            instances: Instances { instances },
            page_number: page.number,
            page_size: page.size,
            total_count,
        })
    }
}

fn describe(instance: &Instance) -> Option<KvStoreInstance> {
    Some(KvStoreInstance {
        described: Described::new(instance, instance.status()?),
        user_name: instance.id.to_string(),
        edition_type: "Community",
        is_rds: true,
        has_renew_change_order: false,
    })
}

fn filter(params: &Params) -> Result<Filter, Fault> {
    let text = |name| params.get(name).map(str::to_owned);
    Ok(Filter {
        region: word(params, "RegionId")?,
        ids: ids(params)?,
        status: word(params, "InstanceStatus")?,
        charge: word(params, "ChargeType")?,
        network: word(params, "NetworkType")?,
        version: params.get("EngineVersion").and_then(|version| version.parse().ok()),
        class: text("InstanceClass"),
        instance_type: word(params, "InstanceType")?,
        node_type: node_type(params)?,
        vpc: word(params, "VpcId")?,
        vswitch: word(params, "VSwitchId")?,
        zone: word(params, "ZoneId")?,
        private_ip: word(params, "PrivateIp")?,
        search: text("SearchKey"),
        ..Filter::default()
    })
}

fn ids(params: &Params) -> Result<Vec<InstanceId>, Fault> {
    let Some(list) = params.get("InstanceIds") else {
        return Ok(Vec::new());
    };
    let ids: Result<Vec<_>, _> = list.split(',').map(|id| InstanceId::parse(id.trim())).collect();
    match ids {
        Ok(ids) if ids.len() <= MOST_IDS => Ok(ids),
        _ => Err(Refusal::MalformedIds.into()),
    }
}

/// Whether the filters name an architecture, an edition or an engine version of which nothing can
/// exist here; clients of later days ask for them.
fn asks_for_what_does_not_run(params: &Params) -> Result<bool, Fault> {
    let architecture = match params.get("ArchitectureType") {
        Some("SplitRW") => Some(Architecture::RwSplit),
        _ => word(params, "ArchitectureType")?,
    };
    let enterprise = match params.get("EditionType") {
        None | Some("Community") => false,
        Some("Enterprise") => true,
        Some(_) => return Err(Fault::malformed("EditionType")),
    };
    let version = params.get("EngineVersion").map(str::parse::<EngineVersion>);
    Ok(enterprise
        || version.is_some_and(|known| known.is_err())
        || architecture.is_some_and(|asked| asked != Architecture::Standard))
}

/// Whether the filters name a tag, a resource group or a global instance: no instance has any, so
/// none is found. Leaving such a filter out would show what was not asked for.
fn asks_for_what_is_not_kept(params: &Params) -> Result<bool, Fault> {
    let tags = params.objects("Tag")?;
    if tags.len() > MOST_TAGS {
        return Err(Fault::malformed("Tag"));
    }
    let tagged = tags.iter().any(|tag| tag.get("Key").is_some());
    if tagged {
        params.required("RegionId")?;
    }
    let global = params.parse_bool("GlobalInstance")?.unwrap_or(false);
    Ok(tagged || global || params.get("ResourceGroupId").is_some())
}

fn page(params: &Params) -> Result<Page, Fault> {
    let number = params.parse_int("PageNumber")?.unwrap_or(1);
    let size = params.parse_int("PageSize")?.unwrap_or(DEFAULT_PAGE);
    if !(1..=i64::from(i32::MAX)).contains(&number) {
        return Err(Fault::malformed("PageNumber"));
    }
    if !(1..=LARGEST_PAGE).contains(&size) {
        return Err(Fault::malformed("PageSize"));
    }
    Ok(Page { number, size })
}
