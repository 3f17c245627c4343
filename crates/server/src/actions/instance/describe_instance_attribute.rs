//! DescribeInstanceAttribute: everything about one instance.
//!
//! The list has exactly one entry. `StatusReason` is ours: why an instance does not answer.

use async_trait::async_trait;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Instance, InstanceType, NodeType, Phase, Status};
use ourkv_domain::security::Whitelist;
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::described::Described;
use super::{NoInstance, instance_id, visible};
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter};

/// The action.
pub struct DescribeInstanceAttribute;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    instances: Instances,
}

#[derive(Debug, Serialize)]
struct Instances {
    #[serde(rename = "DBInstanceAttribute")]
    instances: [DbInstanceAttribute; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DbInstanceAttribute {
    #[serde(flatten)]
    described: Described,
    engine: String,
    real_instance_class: String,
    replication_mode: &'static str,
    availability_value: &'static str,
    maintain_start_time: &'static str,
    maintain_end_time: &'static str,
    vpc_auth_mode: &'static str,
    #[serde(rename = "SecurityIPList")]
    security_ip_list: String,
    is_order_completed: bool,
    #[serde(rename = "IsSupportTDE")]
    is_support_tde: bool,
    instance_release_protection: bool,
    has_renew_change_order: &'static str,
    zone_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
}

#[async_trait]
impl Endpoint for DescribeInstanceAttribute {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "DescribeInstanceAttribute",
        summary: "Describes one instance in full.",
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
        ctx.instances_are_seen().await;
        let account = ctx.caller.account.clone();
        let work = move |tx: &mut ourkv_store::Tx<'_>| {
            let found = visible(tx, &account, &id)?.ok_or(NoInstance::NotFound)?;
            Ok((found, tx.whitelist(&id)?))
        };
        let (instance, whitelist) = ctx.look_up(work).await?;
        let status = instance.status().ok_or(NoInstance::NotFound)?;
        let described = describe(&instance, status, &whitelist);
        Ok(Response { instances: Instances { instances: [described] } })
    }
}

fn describe(instance: &Instance, status: Status, whitelist: &Whitelist) -> DbInstanceAttribute {
    DbInstanceAttribute {
        described: Described::new(instance, status),
        engine: instance.spec.instance_type.to_string(),
        real_instance_class: instance.spec.class.clone(),
        replication_mode: match (instance.spec.instance_type, instance.spec.node_type) {
            (InstanceType::Redis, NodeType::MasterSlave) => "master-slave",
            (InstanceType::Redis, NodeType::StandAlone) | (InstanceType::Memcache, _) => "single",
        },
        availability_value: if instance.observed.phase == Phase::Normal {
            "100.0%"
        } else {
            "0.0%"
        },
        maintain_start_time: "18:00Z",
        maintain_end_time: "22:00Z",
        vpc_auth_mode: "Open",
        security_ip_list: all_entries(whitelist),
        is_order_completed: true,
        is_support_tde: false,
        instance_release_protection: false,
        has_renew_change_order: "false",
        zone_type: "singlezone",
        status_reason: instance.observed.phase.trouble().map(str::to_owned),
    }
}

/// The entries of all groups, joined by commas.
fn all_entries(whitelist: &Whitelist) -> String {
    let lists = whitelist.groups().map(|(_, group)| group.list.to_string());
    lists.collect::<Vec<_>>().join(",")
}
