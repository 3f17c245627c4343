//! Instances.
//!
//! A row stays until nothing of the instance is left: one whose intent is `Delete` is found by its
//! id but by no filter.

use ourkv_domain::ids::{InstanceId, NodeId, VSwitchId, VpcId};
use ourkv_domain::instance::name::InstanceName;
use ourkv_domain::instance::{
    Charge, ChargeType, Endpoint, Instance, Intent, Lead, Network, NetworkType, Observed, Phase,
    Restore, Role, Secrets, Spec, SwitchWish,
};

use crate::column::{Row, Value, columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

impl Tx<'_> {
    /// Adds an instance and its secrets.
    pub fn insert_instance(
        &mut self,
        instance: &Instance,
        secrets: &Secrets,
    ) -> Result<(), StoreError> {
        self.insert("instances", &columns_of(instance), "")?;
        self.insert_secrets(&instance.id, secrets)?;
        self.count_in(instance)
    }

    /// The instance of that id, also one that is being deleted.
    pub fn instance(&mut self, id: &InstanceId) -> Result<Option<Instance>, StoreError> {
        let sql = "SELECT * FROM instances WHERE id = $1";
        self.select_one("instances", sql, &values![id])?.map(read).transpose()
    }

    /// The instance of that id, kept to this transaction until it ends.
    pub fn lock_instance(&mut self, id: &InstanceId) -> Result<Option<Instance>, StoreError> {
        let sql = format!("SELECT * FROM instances WHERE id = $1{}", self.for_update());
        self.select_one("instances", &sql, &values![id])?.map(read).transpose()
    }

    /// Gives an instance another name; false if there is no such instance.
    pub fn set_name(&mut self, id: &InstanceId, name: &InstanceName) -> Result<bool, StoreError> {
        let sql = "UPDATE instances SET name = $1, search_name = $2 WHERE id = $3";
        Ok(self.execute(sql, &values![name, name.as_str().to_lowercase(), id])? == 1)
    }

    /// Removes an instance and its secrets; false if there is none of that id.
    pub fn delete_instance(&mut self, id: &InstanceId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM instances WHERE id = $1 RETURNING account, region, charge, intent";
        let Some(mut row) = self.select_one("instances", sql, &values![id])? else {
            return Ok(false);
        };
        // One that was to be deleted was counted out when that was decided.
        if row.take::<Intent>("intent")? != Intent::Delete {
            self.count_out(row)?;
        }
        Ok(true)
    }

    /// Every instance that a machine has to do with, also those being deleted.
    pub fn instance_ids_of_node(&mut self, node: &NodeId) -> Result<Vec<InstanceId>, StoreError> {
        let sql = "SELECT id FROM instances WHERE node = $1 ORDER BY created_at, id";
        let rows = self.select("instances", sql, &values![node])?;
        rows.into_iter().map(|mut row| row.take("id")).collect()
    }
}

/// The stored words of the phases; what went wrong has a column of its own.
pub(crate) fn phase_word(phase: &Phase) -> &'static str {
    match phase {
        Phase::Creating { .. } => "Creating",
        Phase::Normal => "Normal",
        Phase::Unavailable { .. } => "Unavailable",
        Phase::Inactive => "Inactive",
    }
}

fn columns_of(instance: &Instance) -> [(&'static str, Value); 44] {
    let Instance {
        id,
        account,
        node,
        nonce,
        created_at,
        name,
        region,
        zone,
        spec,
        endpoint,
        parameters,
        charge,
        intent,
        generation,
        observed,
        dataset,
        restore,
        role: Role { lead: Lead { master, epoch }, switch },
    } = instance;
    let Spec {
        class,
        instance_type,
        node_type,
        version,
        capacity_mb,
        bandwidth_mbps,
        connections,
        qps,
    } = spec;
    let Endpoint { network, private_ip, serving_ip, port, domain } = endpoint;
    let (vpc, vswitch) = ends_of(network);
    let (charge_end, auto_renew) = match charge {
        Charge::PostPaid => (None, None),
        Charge::PrePaid { end, auto_renew } => (Some(end), auto_renew.as_ref()),
    };
    let Observed { phase, generation: observed_generation, since } = observed;
    let restore = restore.as_ref();
    let serial = restore.map(|restore| restore.serial);
    columns! {
        id: id, account: account, node: node, nonce: nonce, created_at: created_at, name: name,
        search_name: name.as_ref().map(|name| name.as_str().to_lowercase()), region: region, zone: zone, class: class,
        instance_type: instance_type, node_type: node_type, version: version,
        capacity_mb: capacity_mb, bandwidth_mbps: bandwidth_mbps, connections: connections,
        qps: qps, network: network.kind(), vpc: vpc, vswitch: vswitch, private_ip: private_ip,
        serving_ip: serving_ip, port: port, domain: domain.to_lowercase(), parameters: parameters,
        charge: charge.kind(), charge_end: charge_end, auto_renew: auto_renew, intent: intent,
        generation: generation, phase: phase_word(phase), trouble: phase.trouble(),
        observed_generation: observed_generation, observed_since: since, status: instance.status(),
        dataset: dataset, datasets: serial.unwrap_or(*dataset), restore_serial: serial,
        restore_backup: restore.map(|restore| restore.backup),
        restore_requested_at: restore.map(|restore| restore.requested_at),
        master: master, epoch: epoch, switch_to: switch.as_ref().map(|wish| wish.to),
        switch_requested_at: switch.as_ref().map(|wish| wish.requested_at),
    }
}

fn ends_of(network: &Network) -> (Option<&VpcId>, Option<&VSwitchId>) {
    match network {
        Network::Classic => (None, None),
        Network::Vpc { vpc, vswitch } => (Some(vpc), Some(vswitch)),
    }
}

pub(crate) fn read(mut row: Row) -> Result<Instance, StoreError> {
    Ok(Instance {
        id: row.take("id")?,
        account: row.take("account")?,
        node: row.take("node")?,
        nonce: row.take("nonce")?,
        created_at: row.take("created_at")?,
        name: row.take("name")?,
        region: row.take("region")?,
        zone: row.take("zone")?,
        spec: read_spec(&mut row)?,
        endpoint: read_endpoint(&mut row)?,
        parameters: row.take("parameters")?,
        charge: read_charge(&mut row)?,
        intent: row.take("intent")?,
        generation: row.take("generation")?,
        observed: read_observed(&mut row)?,
        dataset: row.take("dataset")?,
        restore: read_restore(&mut row)?,
        role: read_role(&mut row)?,
    })
}

fn read_spec(row: &mut Row) -> Result<Spec, StoreError> {
    Ok(Spec {
        class: row.take("class")?,
        instance_type: row.take("instance_type")?,
        node_type: row.take("node_type")?,
        version: row.take("version")?,
        capacity_mb: row.take("capacity_mb")?,
        bandwidth_mbps: row.take("bandwidth_mbps")?,
        connections: row.take("connections")?,
        qps: row.take("qps")?,
    })
}

fn read_endpoint(row: &mut Row) -> Result<Endpoint, StoreError> {
    let network = match row.take("network")? {
        NetworkType::Classic => Network::Classic,
        NetworkType::Vpc => Network::Vpc { vpc: row.take("vpc")?, vswitch: row.take("vswitch")? },
    };
    Ok(Endpoint {
        network,
        private_ip: row.take("private_ip")?,
        serving_ip: row.take("serving_ip")?,
        port: row.take("port")?,
        domain: row.take("domain")?,
    })
}

fn read_charge(row: &mut Row) -> Result<Charge, StoreError> {
    Ok(match row.take("charge")? {
        ChargeType::PostPaid => Charge::PostPaid,
        ChargeType::PrePaid => {
            Charge::PrePaid { end: row.take("charge_end")?, auto_renew: row.take("auto_renew")? }
        }
    })
}

fn read_observed(row: &mut Row) -> Result<Observed, StoreError> {
    let word: String = row.take("phase")?;
    let phase = match word.as_str() {
        "Creating" => Phase::Creating { trouble: row.take("trouble")? },
        "Normal" => Phase::Normal,
        "Unavailable" => Phase::Unavailable { reason: row.take("trouble")? },
        "Inactive" => Phase::Inactive,
        _ => return Err(row.inconsistent("phase")),
    };
    Ok(Observed {
        phase,
        generation: row.take("observed_generation")?,
        since: row.take("observed_since")?,
    })
}

fn read_role(row: &mut Row) -> Result<Role, StoreError> {
    let lead = Lead { master: row.take("master")?, epoch: row.take("epoch")? };
    let switch = match row.take("switch_to")? {
        Some(to) => Some(SwitchWish { to, requested_at: row.take("switch_requested_at")? }),
        None => None,
    };
    Ok(Role { lead, switch })
}

fn read_restore(row: &mut Row) -> Result<Option<Restore>, StoreError> {
    let Some(serial) = row.take("restore_serial")? else { return Ok(None) };
    Ok(Some(Restore {
        serial,
        backup: row.take("restore_backup")?,
        requested_at: row.take("restore_requested_at")?,
    }))
}
