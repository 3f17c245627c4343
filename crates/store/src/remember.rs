//! Putting an instance back into a store that does not know it, out of its manifest.
//!
//! What was there stays as it is. Hours that were not charged when the manifest was written are
//! not charged: the meter begins anew.

use jiff::Timestamp;
use ourkv_domain::ids::NodeId;
use serde_json::{Map, Value as Json};

use crate::column::{ToValue, Value, values};
use crate::error::StoreError;
use crate::manifest::{Manifest, value_of};
use crate::part::PARTS;
use crate::tx::Tx;

/// Why an instance counts as not answering that was put back.
const UNSEEN: &str = "the store was rebuilt";

impl Tx<'_> {
    /// Adds the instance of a manifest with all that belongs to it; false, and nothing is done,
    /// where the store knows it. An error where something else has what it needs.
    pub fn remember(&mut self, manifest: &Manifest, now: Timestamp) -> Result<bool, StoreError> {
        if self.lock_instance(manifest.instance())?.is_some() {
            return Ok(false);
        }
        for part in PARTS {
            for row in manifest.rows(part.table) {
                let row = columns_of(part.table, row, now)?;
                let row: Vec<_> =
                    row.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                self.insert(
                    part.table,
                    &row,
                    if part.shared { "ON CONFLICT DO NOTHING" } else { "" },
                )?;
            }
        }
        let inconsistent = StoreError::Inconsistent { table: "instances", column: "id" };
        let instance = self.instance(manifest.instance())?.ok_or(inconsistent)?;
        // They open, or this is an error.
        self.secrets(&instance.id)?;
        self.count_in(&instance)?;
        // A quota that was lowered takes nothing back that was sold.
        let sql = "UPDATE zones SET used_mb = used_mb + $1 WHERE id = $2";
        if self.execute(sql, &values![instance.spec.capacity_mb, instance.zone])? != 1 {
            return Err(StoreError::Inconsistent { table: "zones", column: "id" });
        }
        Ok(true)
    }

    /// Ends putting instances back: none of a machine's counts as answering before it was seen to.
    pub fn unsee(&mut self, node: &NodeId, now: Timestamp) -> Result<u64, StoreError> {
        self.lose_sight(node, UNSEEN, now)
    }
}

/// The columns of a row as they are to be put back.
fn columns_of(
    table: &'static str,
    row: &Map<String, Json>,
    now: Timestamp,
) -> Result<Vec<(String, Value)>, StoreError> {
    let is_open = table == "meters" && row.get("closed_at").is_some_and(Json::is_null);
    let column = |(name, json): (&String, &Json)| {
        let is_name = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let value = match (table, name.as_str()) {
            ("zones", "used_mb") => Some(Value::Int(0)),
            ("meters", "opened_at" | "metered_until") if is_open => Some(now.to_value()),
            _ => value_of(json),
        };
        let value = value.filter(|_| is_name);
        value
            .map(|value| (name.clone(), value))
            .ok_or(StoreError::Inconsistent { table, column: "a manifest's" })
    };
    row.iter().map(column).collect()
}
