//! `ourkv ls`: the instances.

use clap::Args;
use ourkv_domain::ids::{AccountId, InstanceId, NodeId, ZoneId};
use ourkv_domain::instance::{Instance, Status};
use ourkv_store::{Filter, Tx};
use serde::Serialize;

use super::Context;

/// List the instances of every account
#[derive(Debug, Args)]
pub(super) struct Ls {}

#[derive(Serialize)]
struct Row {
    id: InstanceId,
    name: Option<String>,
    /// `Deleting` is for operators only: its owner does not see the instance any more.
    status: String,
    engine: String,
    class: String,
    zone: ZoneId,
    address: String,
    served_at: String,
    charge: String,
    account: AccountId,
    trouble: Option<String>,
}

impl Ls {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let opened = context.open().await?;
        let node = opened.node.clone();
        let instances = opened.store.read(move |tx| all(tx, &node)).await?;
        context.output.list(&instances.into_iter().map(Row::of).collect::<Vec<_>>())
    }
}

/// What owners can see, and what this node is still deleting.
fn all(tx: &mut Tx<'_>, node: &NodeId) -> anyhow::Result<Vec<Instance>> {
    let mut instances = tx.instances(&Filter::default(), None)?;
    for id in tx.instance_ids_of_node(node)? {
        let hidden = tx.instance(&id)?.filter(|instance| instance.status().is_none());
        instances.extend(hidden);
    }
    Ok(instances)
}

impl Row {
    fn of(instance: Instance) -> Self {
        let status = instance.status().map(|status: Status| status.to_string());
        let (endpoint, spec) = (&instance.endpoint, &instance.spec);
        Self {
            status: status.unwrap_or_else(|| "Deleting".into()),
            engine: format!("{} {} {}", spec.instance_type, spec.version, spec.node_type),
            class: spec.class.clone(),
            address: format!("{}:{}", endpoint.private_ip, endpoint.port),
            served_at: endpoint.serving_ip.to_string(),
            charge: instance.charge.kind().to_string(),
            trouble: instance.observed.phase.trouble().map(str::to_owned),
            name: instance.name.map(|name| name.as_str().to_owned()),
            id: instance.id,
            zone: instance.zone,
            account: instance.account,
        }
    }
}
