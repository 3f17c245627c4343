//! `ourkv backup restore`: brings a backup back as a new instance of its account, also where the
//! instance that it was taken of is gone.

use std::io;

use anyhow::{Context as _, bail};
use clap::Args;
use ourkv_domain::backup::{Backup, BackupId};
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::ids::{AccountId, InstanceId, NodeId, RegionId, VSwitchId, VpcId};
use ourkv_domain::instance::{Network, Status};
use ourkv_store::{StoreError, Tx};
use ourkv_wire::Params;
use serde::Serialize;

use super::wait::{Look, until};
use crate::cli::{Context, act, call};
use crate::config::BackupPlace;

/// Bring a backup back as a new instance of the account that it belongs to
///
/// Class, version, type and network are those of the instance that it was taken of, unless told
/// otherwise. The password is not: without one nobody can log in.
#[derive(Debug, Args)]
pub(in crate::cli) struct Restore {
    /// The backup
    backup: BackupId,
    /// What to call the new instance
    #[arg(long)]
    name: Option<String>,
    /// Class of the new instance; at least as large
    #[arg(long, value_name = "CODE")]
    class: Option<String>,
    /// Password of the new instance: the first line of this file, or of standard input for `-`
    #[arg(long, value_name = "FILE|-")]
    password_file: Option<String>,
    /// Wait until the new instance answers with the data in it
    #[arg(long)]
    wait: bool,
}

#[derive(Serialize)]
struct Restored {
    id: InstanceId,
    status: String,
    address: String,
    domain: String,
    class: String,
    account: AccountId,
}

impl Restore {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let opened = context.open().await?;
        let id = self.backup;
        let (backup, network) = opened.store.read(move |tx| find(tx, id)).await?;
        let node = node(&context.config.backup.place, &backup, &opened.node);
        let params = self.params(&backup, network)?;
        let account = backup.account.clone();
        let act = act::Act { action: "CreateInstance", params, account, node: node.clone() };
        let answer = act.run(context, &opened).await?;
        let instance = answer.get("InstanceId").and_then(|id| id.as_str()).unwrap_or_default();
        let instance = InstanceId::parse(instance)?;
        act::say_if_unserved(&opened, &node);
        let wait = self.wait;
        let look = move |tx: &mut Tx<'_>| progress(tx, &instance, wait);
        let restored = until(&opened.store, look).await?;
        context.output.show(&restored)
    }

    /// The call that the owner would make.
    fn params(
        &self,
        backup: &Backup,
        network: Option<(VpcId, VSwitchId)>,
    ) -> anyhow::Result<Params> {
        let mut params = Params::new();
        params.insert("RegionId", backup.region.to_string());
        params.insert("SrcDBInstanceId", backup.instance.to_string());
        params.insert("BackupId", backup.id.to_string());
        params.insert("InstanceType", backup.instance_type.to_string());
        params.insert("EngineVersion", backup.version.to_string());
        params.insert("ChargeType", "PostPaid");
        params.insert("InstanceClass", self.class.as_ref().unwrap_or(&backup.class).clone());
        // Another class may have other nodes.
        if self.class.is_none() {
            params.insert("NodeType", backup.node_type.to_string());
        }
        if let Some((vpc, vswitch)) = network {
            params.insert("NetworkType", "VPC");
            params.insert("VpcId", vpc.to_string());
            params.insert("VSwitchId", vswitch.to_string());
        }
        if let Some(name) = &self.name {
            params.insert("InstanceName", name.clone());
        }
        if let Some(file) = &self.password_file {
            let password = call::read_value(file, &mut io::stdin().lock())?;
            params.insert("Password", password);
        }
        Ok(params)
    }
}

/// The backup, and where its instance hangs or hung: none is the classic network.
fn find(tx: &mut Tx<'_>, id: BackupId) -> anyhow::Result<(Backup, Option<(VpcId, VSwitchId)>)> {
    let Some(backup) = tx.backup(id)? else {
        bail!("there is no backup {id}; `ourkv backup ls` shows all");
    };
    let network = match tx.instance(&backup.instance)? {
        Some(source) => match source.endpoint.network {
            Network::Classic => None,
            Network::Vpc { vpc, vswitch } => Some((vpc, vswitch)),
        },
        None if has_classic(&backup.region) => None,
        None => Some(any_vswitch(tx, &backup)?),
    };
    Ok((backup, network))
}

fn has_classic(region: &RegionId) -> bool {
    Catalogue::builtin().region(region).is_some_and(|region| region.classic)
}

/// A vSwitch of the account in the region of the backup.
fn any_vswitch(tx: &mut Tx<'_>, backup: &Backup) -> anyhow::Result<(VpcId, VSwitchId)> {
    for vpc in tx.vpcs(Some(&backup.account))? {
        if vpc.region == backup.region
            && let Some(vswitch) = tx.vswitches(Some(&vpc.id))?.into_iter().next()
        {
            return Ok((vpc.id, vswitch.id));
        }
    }
    let none = || format!("account {} has no vSwitch in {}", backup.account, backup.region);
    None.with_context(none)
}

/// Backups in a folder are with the node that took them.
fn node(place: &BackupPlace, backup: &Backup, own: &NodeId) -> NodeId {
    match place {
        BackupPlace::Folder(_) => backup.node.clone(),
        BackupPlace::Bucket(_) => own.clone(),
    }
}

fn progress(tx: &mut Tx<'_>, id: &InstanceId, wait: bool) -> Result<Look<Restored>, StoreError> {
    let Some(instance) = tx.instance(id)? else {
        return Ok(Look::Failed(format!("instance {id} was deleted meanwhile")));
    };
    let status = instance.status();
    if wait && status != Some(Status::Normal) {
        let what = instance.observed.phase.trouble().unwrap_or("is being made");
        return Ok(Look::At(format!("{id}: {what}")));
    }
    if wait && instance.dataset == 0 {
        let event = tx.events(id, 1)?.into_iter().next();
        let why = event.map_or_else(String::new, |event| event.detail);
        return Ok(Look::Failed(format!("instance {id} came up without the data: {why}")));
    }
    let endpoint = &instance.endpoint;
    Ok(Look::Done(Restored {
        status: status.map(|status| status.to_string()).unwrap_or_default(),
        address: format!("{}:{}", endpoint.private_ip, endpoint.port),
        domain: endpoint.domain.clone(),
        class: instance.spec.class.clone(),
        account: instance.account.clone(),
        id: instance.id,
    }))
}
