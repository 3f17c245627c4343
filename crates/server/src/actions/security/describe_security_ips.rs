//! DescribeSecurityIps: the whitelist of an instance, group by group.
//!
//! The default group comes first: clients that look for a group and do not find it take the first
//! one. Groups with the attribute `hidden` are listed, too; only the vendor's console hides them.

use async_trait::async_trait;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::security::Whitelist;
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use crate::actions::instance::{NoInstance, instance_id, visible};
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter};

/// The action.
pub struct DescribeSecurityIps;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    security_ip_groups: SecurityIpGroups,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SecurityIpGroups {
    security_ip_group: Vec<SecurityIpGroup>,
}

#[derive(Debug, Serialize)]
struct SecurityIpGroup {
    #[serde(rename = "SecurityIpGroupName")]
    name: String,
    #[serde(rename = "SecurityIpGroupAttribute")]
    attribute: String,
    #[serde(rename = "SecurityIpList")]
    list: String,
}

#[async_trait]
impl Endpoint for DescribeSecurityIps {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "DescribeSecurityIps",
        summary: "Says from which addresses an instance can be reached.",
        effect: Effect::Read,
        parameters: &[Parameter::required("InstanceId", "The instance.")],
        faults: &[NoInstance::FAULTS],
    };
    type Request = InstanceId;
    type Response = Response;

    fn parse(params: &Params) -> Result<InstanceId, Fault> {
        instance_id(params)
    }

    async fn run(ctx: &Ctx, id: InstanceId) -> Result<Response, Failure> {
        let account = ctx.caller.account.clone();
        let work = move |tx: &mut ourkv_store::Tx<'_>| {
            visible(tx, &account, &id)?.ok_or(NoInstance::NotFound)?;
            Ok(tx.whitelist(&id)?)
        };
        Ok(Response::of(&ctx.look_up(work).await?))
    }
}

impl Response {
    fn of(whitelist: &Whitelist) -> Self {
        let groups = whitelist.groups().map(|(name, group)| SecurityIpGroup {
            name: name.to_string(),
            attribute: group.attribute.to_string(),
            list: group.list.to_string(),
        });
        Self { security_ip_groups: SecurityIpGroups { security_ip_group: groups.collect() } }
    }
}
