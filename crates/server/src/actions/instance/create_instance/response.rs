//! The answer of CreateInstance: the page's result table, in the order of its sample.

use ourkv_domain::instance::Instance;
use serde::{Deserialize, Serialize};

use crate::actions::instance::described::{end_time, name, network_ids};

/// Twenty fields; the gateway adds the twenty-first, `RequestId`. What an instance does not have
/// (an end, a VPC) is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    charge_type: String,
    config: String,
    instance_id: String,
    user_name: String,
    zone_id: String,
    instance_status: String,
    port: u16,
    #[serde(rename = "QPS")]
    qps: i64,
    region_id: String,
    capacity: i64,
    connection_domain: String,
    instance_name: String,
    bandwidth: i64,
    connections: i64,
    network_type: String,
    node_type: String,
    private_ip_addr: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v_switch_id: Option<String>,
}

impl Response {
    /// The answer for a new instance.
    pub(super) fn of(instance: &Instance) -> Self {
        let (vpc_id, v_switch_id) = network_ids(instance);
        Self {
            charge_type: instance.charge.kind().to_string(),
            config: instance.parameters.to_config_json(),
            instance_id: instance.id.to_string(),
            user_name: instance.id.to_string(),
            zone_id: instance.zone.to_string(),
            instance_status: "Creating".into(),
            port: instance.endpoint.port,
            qps: instance.spec.qps,
            region_id: instance.region.to_string(),
            capacity: instance.spec.capacity_mb,
            connection_domain: instance.endpoint.domain.clone(),
            instance_name: name(instance),
            bandwidth: instance.spec.bandwidth_mbps,
            connections: instance.spec.connections,
            network_type: instance.endpoint.network.kind().to_string(),
            node_type: instance.spec.node_type.to_string(),
            private_ip_addr: instance.endpoint.private_ip.to_string(),
            end_time: end_time(instance),
            vpc_id,
            v_switch_id,
        }
    }
}
