//! What an instance should be and what it was seen to be, and who is to be looked at because of it.
//!
//! Restores and roles have files of their own; `instance_status.rs` says what every statement that
//! writes intent, phase or what is pending owes to the `status` column.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use ourkv_domain::ids::{InstanceId, NodeId};
use ourkv_domain::instance::{Charge, ChargeType, Instance, Intent, Observed, Phase};

use crate::column::values;
use crate::error::StoreError;
use crate::instance::{self, phase_word};
use crate::instance_status::{RESTORING, SWITCHING, status_sql};
use crate::tx::Tx;

/// Who is not yet what it should be. An index has it word for word.
const UNSETTLED: &str = "(observed_generation < generation OR intent = 'Delete' \
                          OR (intent = 'Run' AND phase <> 'Normal') \
                          OR (intent = 'Run' AND restore_serial IS NOT NULL) \
                          OR (intent = 'Run' AND switch_to IS NOT NULL) \
                          OR (intent = 'Stop' AND phase <> 'Inactive'))";

impl Tx<'_> {
    /// Changes what an instance should be and raises its generation. False if there is no such
    /// instance, if it should be that already, or if it is being deleted, which nothing undoes.
    pub fn set_intent(&mut self, id: &InstanceId, intent: Intent) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE instances SET intent = $1, generation = generation + 1, status = {} \
             WHERE id = $2 AND intent <> $1 AND intent <> 'Delete' \
             RETURNING account, region, charge",
            status_sql("$1", "phase", RESTORING, SWITCHING)
        );
        let Some(row) = self.select_one("instances", &sql, &values![intent, id])? else {
            return Ok(false);
        };
        if intent == Intent::Delete {
            self.count_out(row)?;
        }
        Ok(true)
    }

    /// Changes how an instance is paid for; false if there is no such instance.
    pub fn set_charge(&mut self, id: &InstanceId, charge: &Charge) -> Result<bool, StoreError> {
        let Some(before) = self.lock_instance(id)? else { return Ok(false) };
        let (end, auto_renew) = match charge {
            Charge::PostPaid => (None, None),
            Charge::PrePaid { end, auto_renew } => (Some(end), auto_renew.as_ref()),
        };
        let sql = "UPDATE instances SET charge = $1, charge_end = $2, auto_renew = $3 \
                   WHERE id = $4";
        self.execute(sql, &values![charge.kind(), end, auto_renew, id])?;
        self.recount(&before, charge)?;
        Ok(true)
    }

    /// Writes down what an instance was seen to be; false if there is no such instance or a later
    /// generation of it was seen already.
    pub fn record_observed(
        &mut self,
        id: &InstanceId,
        observed: &Observed,
    ) -> Result<bool, StoreError> {
        let Observed { phase, generation, since } = observed;
        let sql = format!(
            "UPDATE instances SET phase = $1, trouble = $2, observed_generation = $3, \
             observed_since = $4, status = {} \
             WHERE id = $5 AND observed_generation <= $3",
            status_sql("intent", "$1", RESTORING, SWITCHING)
        );
        let values = values![phase_word(phase), phase.trouble(), generation, since, id];
        Ok(self.execute(&sql, &values)? == 1)
    }

    /// Takes back what was seen of a machine's instances: those that answered count as failing,
    /// for `reason`, until they are seen to answer again. Returns how many there were.
    pub fn lose_sight(
        &mut self,
        node: &NodeId,
        reason: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let phase = Phase::Normal.failing(reason);
        let sql = format!(
            "UPDATE instances SET phase = $1, trouble = $2, observed_since = $3, status = {} \
             WHERE node = $4 AND phase = $5",
            status_sql("intent", "$1", RESTORING, SWITCHING)
        );
        let normal = phase_word(&Phase::Normal);
        let values = values![phase_word(&phase), phase.trouble(), now, node, normal];
        self.execute(&sql, &values)
    }

    /// The instances of a machine that were not yet seen to be what they should be, each with its
    /// generation. The condition is word for word that of an index, so settled ones cost nothing.
    pub fn unsettled(&mut self, node: &NodeId) -> Result<Vec<(InstanceId, i64)>, StoreError> {
        let sql = format!(
            "SELECT id, generation FROM instances WHERE node = $1 AND {UNSETTLED} \
             ORDER BY created_at, id"
        );
        let rows = self.select("instances", &sql, &values![node])?;
        rows.into_iter().map(|mut row| Ok((row.take("id")?, row.take("generation")?))).collect()
    }

    /// The address that an endpoint's name stands for, whatever its case, while its owner can see
    /// the instance.
    pub fn serving_ip_of_domain(&mut self, domain: &str) -> Result<Option<Ipv4Addr>, StoreError> {
        let sql = "SELECT serving_ip FROM instances WHERE domain = $1 AND status IS NOT NULL";
        let row = self.select_one("instances", sql, &values![domain.to_lowercase()])?;
        row.map(|mut row| row.take("serving_ip")).transpose()
    }

    /// The prepaid instances whose paid time ends before `time`, those that end first first.
    pub fn prepaid_ending_before(&mut self, time: Timestamp) -> Result<Vec<Instance>, StoreError> {
        let sql = "SELECT * FROM instances \
                   WHERE charge_end < $1 AND charge = $2 AND status IS NOT NULL \
                   ORDER BY charge_end, id";
        let rows = self.select("instances", sql, &values![time, ChargeType::PrePaid])?;
        rows.into_iter().map(instance::read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::UNSETTLED;

    #[test]
    fn what_is_asked_for_most_is_word_for_word_what_its_index_holds() {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let schema = words(include_str!("../migrations/V3__roles.sql"));
        let index = format!(
            "CREATE INDEX instances_unsettled ON instances (node) WHERE {};",
            words(UNSETTLED)
        );
        assert!(schema.contains(&index), "{index}");
    }
}
