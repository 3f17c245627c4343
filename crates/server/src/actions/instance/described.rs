//! How the query actions describe an instance: what DescribeInstances and
//! DescribeInstanceAttribute have in common.

use ourkv_domain::instance::{Charge, Instance, Network, NodeType, Status};
use serde::Serialize;

use crate::actions::time;

/// What both actions say of an instance. What it does not have is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    instance_id: String,
    instance_name: String,
    instance_status: &'static str,
    instance_class: String,
    instance_type: String,
    engine_version: String,
    region_id: String,
    zone_id: String,
    charge_type: String,
    network_type: String,
    node_type: &'static str,
    architecture_type: &'static str,
    package_type: &'static str,
    connection_domain: String,
    connection_mode: &'static str,
    private_ip: String,
    port: u16,
    config: String,
    capacity: i64,
    bandwidth: i64,
    connections: i64,
    #[serde(rename = "QPS")]
    qps: i64,
    create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v_switch_id: Option<String>,
    shard_count: i64,
    replica_count: i64,
    tags: Tags,
}

/// No instance has tags yet; clients read the empty list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    tag: [Tag; 0],
}

#[derive(Debug, Serialize)]
struct Tag {}

impl Described {
    /// Describes `instance`, whose status is `status`.
    pub(super) fn new(instance: &Instance, status: Status) -> Self {
        let (vpc_id, v_switch_id) = network_ids(instance);
        let spec = &instance.spec;
        Self {
            instance_id: instance.id.to_string(),
            instance_name: name(instance),
            instance_status: status.into(),
            instance_class: spec.class.clone(),
            instance_type: spec.instance_type.to_string(),
            engine_version: spec.version.to_string(),
            region_id: instance.region.to_string(),
            zone_id: instance.zone.to_string(),
            charge_type: instance.charge.kind().to_string(),
            network_type: instance.endpoint.network.kind().to_string(),
            node_type: spec.node_type.described(),
            architecture_type: "standard",
            package_type: "standard",
            connection_domain: instance.endpoint.domain.clone(),
            connection_mode: "Standard",
            private_ip: instance.endpoint.private_ip.to_string(),
            port: instance.endpoint.port,
            config: instance.parameters.to_config_json(),
            capacity: spec.capacity_mb,
            bandwidth: spec.bandwidth_mbps,
            connections: spec.connections,
            qps: spec.qps,
            create_time: time::seconds(instance.created_at),
            end_time: end_time(instance),
            vpc_id,
            v_switch_id,
            shard_count: 1,
            replica_count: match spec.node_type {
                NodeType::StandAlone => 0,
                NodeType::MasterSlave => 1,
            },
            tags: Tags { tag: [] },
        }
    }
}

/// The name that the caller gave; the id where none was given.
pub(super) fn name(instance: &Instance) -> String {
    match &instance.name {
        Some(name) => name.as_str().to_owned(),
        None => instance.id.to_string(),
    }
}

/// The ids of its VPC and vSwitch, if it hangs on one.
pub(super) fn network_ids(instance: &Instance) -> (Option<String>, Option<String>) {
    match &instance.endpoint.network {
        Network::Classic => (None, None),
        Network::Vpc { vpc, vswitch } => (Some(vpc.to_string()), Some(vswitch.to_string())),
    }
}

/// When its paid time ends, if it is paid for in advance.
pub(super) fn end_time(instance: &Instance) -> Option<String> {
    match instance.charge {
        Charge::PostPaid => None,
        Charge::PrePaid { end, .. } => Some(time::seconds(end)),
    }
}
