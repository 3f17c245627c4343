//! Whitelists: who may reach which instance.
//!
//! One that was never changed has no rows and is the default one. Rows go with their instance.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ourkv_domain::ids::{InstanceId, NodeId};
use ourkv_domain::instance::{EngineVersion, NodeType};
use ourkv_domain::security::{Group, GroupName, Whitelist};

use crate::column::{Row, columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

/// An instance, as far as it matters to who stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// One engine or a pair.
    pub node_type: NodeType,
    /// The level of compatibility asked for.
    pub version: EngineVersion,
    /// Who may reach it.
    pub whitelist: Whitelist,
}

impl Tx<'_> {
    /// The whitelist of an instance.
    pub fn whitelist(&mut self, id: &InstanceId) -> Result<Whitelist, StoreError> {
        let sql = "SELECT name, attribute, ips FROM security_ips WHERE instance = $1";
        let rows = self.select("security_ips", sql, &values![id])?;
        let groups: Result<Vec<_>, _> = rows.into_iter().map(|mut row| read(&mut row)).collect();
        Ok(Whitelist::of(groups?))
    }

    /// Gives an instance a whitelist in place of the one that it has.
    pub fn save_whitelist(
        &mut self,
        id: &InstanceId,
        whitelist: &Whitelist,
    ) -> Result<(), StoreError> {
        self.execute("DELETE FROM security_ips WHERE instance = $1", &values![id])?;
        for (name, group) in whitelist.groups() {
            let Group { attribute, list } = group;
            let row = columns! { instance: id, name: name, attribute: attribute, ips: list };
            self.insert("security_ips", &row, "")?;
        }
        Ok(())
    }

    /// The whitelists of a machine's instances that were ever changed, by the addresses at which
    /// these are served.
    pub fn whitelists_of_node(
        &mut self,
        node: &NodeId,
    ) -> Result<BTreeMap<Ipv4Addr, Guarded>, StoreError> {
        let sql = "SELECT i.serving_ip, i.node_type, i.version, s.name, s.attribute, s.ips \
                   FROM security_ips s JOIN instances i ON i.id = s.instance WHERE i.node = $1";
        let mut groups: BTreeMap<Ipv4Addr, (NodeType, EngineVersion, Vec<_>)> = BTreeMap::new();
        for mut row in self.select("security_ips", sql, &values![node])? {
            let address = row.take("serving_ip")?;
            let (node_type, version) = (row.take("node_type")?, row.take("version")?);
            let found = groups.entry(address).or_insert((node_type, version, Vec::new()));
            found.2.push(read(&mut row)?);
        }
        let guarded = groups.into_iter().map(|(address, (node_type, version, groups))| {
            (address, Guarded { node_type, version, whitelist: Whitelist::of(groups) })
        });
        Ok(guarded.collect())
    }

    /// The addresses below `first` or above `last` at which instances of a machine are served.
    pub fn served_outside(
        &mut self,
        node: &NodeId,
        first: Ipv4Addr,
        last: Ipv4Addr,
    ) -> Result<Vec<Ipv4Addr>, StoreError> {
        let sql = "SELECT serving_ip FROM instances WHERE node = $1 AND serving_ip < $2 \
                   UNION SELECT serving_ip FROM instances WHERE node = $1 AND serving_ip > $3 \
                   ORDER BY serving_ip";
        let rows = self.select("instances", sql, &values![node, first, last])?;
        rows.into_iter().map(|mut row| row.take("serving_ip")).collect()
    }
}

fn read(row: &mut Row) -> Result<(GroupName, Group), StoreError> {
    let name = row.take("name")?;
    Ok((name, Group { attribute: row.take("attribute")?, list: row.take("ips")? }))
}
