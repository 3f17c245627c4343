//! What an instance should be and what it was seen to be, and who is to be looked at because of it.
//!
//! The `status` column is made of intent and phase; every statement here that writes one of the
//! two writes it with them, for whatever the other one is at that moment.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use ourkv_domain::ids::{InstanceId, NodeId};
use ourkv_domain::instance::{Charge, ChargeType, Instance, Intent, Observed, Phase, Status};

use crate::column::values;
use crate::error::StoreError;
use crate::instance::{self, phase_word};
use crate::tx::Tx;

impl Tx<'_> {
    /// Changes what an instance should be and raises its generation. False if there is no such
    /// instance, if it should be that already, or if it is being deleted, which nothing undoes.
    pub fn set_intent(&mut self, id: &InstanceId, intent: Intent) -> Result<bool, StoreError> {
        let status = |phase: Phase| Status::of(intent, &phase);
        let sql = "UPDATE instances SET intent = $1, generation = generation + 1, \
                   status = CASE phase WHEN 'Creating' THEN $2 WHEN 'Normal' THEN $3 \
                                       WHEN 'Unavailable' THEN $4 WHEN 'Inactive' THEN $5 END \
                   WHERE id = $6 AND intent <> $1 AND intent <> 'Delete' \
                   RETURNING account, region, charge";
        let values = values![
            intent,
            status(Phase::Creating { trouble: None }),
            status(Phase::Normal),
            status(Phase::Unavailable { reason: String::new() }),
            status(Phase::Inactive),
            id,
        ];
        let Some(row) = self.select_one("instances", sql, &values)? else { return Ok(false) };
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
        let status = |intent| Status::of(intent, phase);
        let sql = "UPDATE instances SET phase = $1, trouble = $2, observed_generation = $3, \
                   observed_since = $4, \
                   status = CASE intent WHEN 'Run' THEN $5 WHEN 'Stop' THEN $6 \
                                        WHEN 'Delete' THEN $7 END \
                   WHERE id = $8 AND observed_generation <= $3";
        let values = values![
            phase_word(phase),
            phase.trouble(),
            generation,
            since,
            status(Intent::Run),
            status(Intent::Stop),
            status(Intent::Delete),
            id,
        ];
        Ok(self.execute(sql, &values)? == 1)
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
        let status = |intent| Status::of(intent, &phase);
        let sql = "UPDATE instances SET phase = $1, trouble = $2, observed_since = $3, \
                   status = CASE intent WHEN 'Run' THEN $4 WHEN 'Stop' THEN $5 \
                                        WHEN 'Delete' THEN $6 END \
                   WHERE node = $7 AND phase = $8";
        let values = values![
            phase_word(&phase),
            phase.trouble(),
            now,
            status(Intent::Run),
            status(Intent::Stop),
            status(Intent::Delete),
            node,
            phase_word(&Phase::Normal),
        ];
        self.execute(sql, &values)
    }

    /// The instances of a machine that were not yet seen to be what they should be, each with its
    /// generation. The condition is word for word that of an index, so settled ones cost nothing.
    pub fn unsettled(&mut self, node: &NodeId) -> Result<Vec<(InstanceId, i64)>, StoreError> {
        let sql = "SELECT id, generation FROM instances WHERE node = $1 AND \
                   (observed_generation < generation OR intent = 'Delete' \
                    OR (intent = 'Run' AND phase <> 'Normal') \
                    OR (intent = 'Stop' AND phase <> 'Inactive')) \
                   ORDER BY created_at, id";
        let rows = self.select("instances", sql, &values![node])?;
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
