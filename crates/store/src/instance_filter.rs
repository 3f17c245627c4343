//! Looking for instances: every filter of DescribeInstances, as SQL.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use ourkv_domain::ids::{AccountId, InstanceId, RegionId, VSwitchId, VpcId, ZoneId};
use ourkv_domain::instance::{
    ChargeType, EngineVersion, Instance, InstanceType, NetworkType, NodeType, Status,
};

use crate::column::{ToValue, Value};
use crate::error::StoreError;
use crate::instance;
use crate::tx::Tx;

/// What instances must be to be found; what is left out does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Whose they are.
    pub account: Option<AccountId>,
    /// Where they are.
    pub region: Option<RegionId>,
    /// Among these; an empty list is no filter.
    pub ids: Vec<InstanceId>,
    /// The state shown.
    pub status: Option<Status>,
    /// How they are paid for.
    pub charge: Option<ChargeType>,
    /// The kind of network.
    pub network: Option<NetworkType>,
    /// The level of compatibility.
    pub version: Option<EngineVersion>,
    /// The code of the class.
    pub class: Option<String>,
    /// Redis or Memcache.
    pub instance_type: Option<InstanceType>,
    /// One engine or a pair.
    pub node_type: Option<NodeType>,
    /// The cloud they hang on.
    pub vpc: Option<VpcId>,
    /// The subnet they hang on.
    pub vswitch: Option<VSwitchId>,
    /// The zone.
    pub zone: Option<ZoneId>,
    /// The address that the API reports.
    pub private_ip: Option<Ipv4Addr>,
    /// A part of id or name, whatever its case.
    pub search: Option<String>,
    /// Whether the paid time is over at that instant; what is paid afterwards never expires.
    pub expired: Option<(bool, Timestamp)>,
}

/// One page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The number of the page, from 1.
    pub number: i64,
    /// How many fit on a page.
    pub size: i64,
}

impl Tx<'_> {
    /// The instances that their owners can see and the filter lets through, latest first.
    pub fn instances(
        &mut self,
        filter: &Filter,
        page: Option<Page>,
    ) -> Result<Vec<Instance>, StoreError> {
        let mut condition = filter.condition();
        let limit = match page {
            None => String::new(),
            Some(Page { number, size }) => {
                let offset = number.saturating_sub(1).saturating_mul(size);
                format!("LIMIT {} OFFSET {}", condition.place(size), condition.place(offset))
            }
        };
        let sql = format!(
            "SELECT * FROM instances WHERE {} ORDER BY created_at DESC, id {limit}",
            condition.sql()
        );
        let rows = self.select("instances", &sql, &condition.values)?;
        rows.into_iter().map(instance::read).collect()
    }

    /// How many instances [`Self::instances`] would find without pages.
    pub fn count_instances(&mut self, filter: &Filter) -> Result<i64, StoreError> {
        let condition = filter.condition();
        let sql = format!("SELECT count(*) AS many FROM instances WHERE {}", condition.sql());
        self.count("instances", &sql, &condition.values, "many")
    }
}

/// What stands after `WHERE`, and its values.
struct Condition {
    clauses: Vec<String>,
    values: Vec<Value>,
}

impl Condition {
    fn sql(&self) -> String {
        self.clauses.join(" AND ")
    }

    /// Adds a value and returns its placeholder.
    fn place(&mut self, value: impl ToValue) -> String {
        self.values.push(value.to_value());
        format!("${}", self.values.len())
    }

    fn equal(&mut self, column: &str, value: Option<impl ToValue>) {
        if let Some(value) = value {
            let place = self.place(value);
            self.clauses.push(format!("{column} = {place}"));
        }
    }
}

impl Filter {
    fn condition(&self) -> Condition {
        let clauses = vec!["status IS NOT NULL".into()];
        let mut condition = Condition { clauses, values: Vec::new() };
        condition.equal("account", self.account.as_ref());
        condition.equal("region", self.region.as_ref());
        condition.equal("status", self.status);
        condition.equal("charge", self.charge);
        condition.equal("network", self.network);
        condition.equal("version", self.version);
        condition.equal("class", self.class.as_ref());
        condition.equal("instance_type", self.instance_type);
        condition.equal("node_type", self.node_type);
        condition.equal("vpc", self.vpc.as_ref());
        condition.equal("vswitch", self.vswitch.as_ref());
        condition.equal("zone", self.zone.as_ref());
        condition.equal("private_ip", self.private_ip);
        if !self.ids.is_empty() {
            let places: Vec<_> = self.ids.iter().map(|id| condition.place(id)).collect();
            condition.clauses.push(format!("id IN ({})", places.join(", ")));
        }
        if let Some(search) = &self.search {
            let place = condition.place(pattern(search));
            condition.clauses.push(format!(
                "(lower(id) LIKE {place} ESCAPE '!' OR search_name LIKE {place} ESCAPE '!')"
            ));
        }
        if let Some((expired, now)) = self.expired {
            let place = condition.place(now);
            condition.clauses.push(if expired {
                format!("charge_end <= {place}")
            } else {
                format!("(charge_end IS NULL OR charge_end > {place})")
            });
        }
        condition
    }
}

/// A `LIKE` pattern that finds a text literally.
pub(crate) fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_finds_wildcards_literally() {
        assert_eq!(pattern("A_b%!"), "%a!_b!%!!%");
    }
}
