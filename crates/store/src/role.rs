//! Roles: which engine of an instance is the master, and the planned exchange of roles.
//!
//! Every change of the master is a compare-and-set of its epoch, and its line in the journal is
//! part of it: two deciders never both succeed, and nothing is decided without a trace.

use jiff::Timestamp;
use ourkv_domain::event::Event;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Lead, Member};

use crate::column::values;
use crate::error::StoreError;
use crate::instance_status::{RESTORING, status_sql};
use crate::tx::Tx;

impl Tx<'_> {
    /// Asks for the roles of an instance's engines to be exchanged, and raises its generation.
    /// Returns who is to be the master; `None` if there is no such instance, if it is not `Normal`,
    /// or if a restore or another exchange is pending.
    pub fn request_switch(
        &mut self,
        id: &InstanceId,
        now: Timestamp,
    ) -> Result<Option<Member>, StoreError> {
        let sql = format!(
            "UPDATE instances SET \
             switch_to = CASE master WHEN '{first}' THEN '{second}' ELSE '{first}' END, \
             switch_requested_at = $1, generation = generation + 1, status = {status} \
             WHERE id = $2 AND intent = 'Run' AND phase = 'Normal' AND restore_serial IS NULL \
             AND switch_to IS NULL \
             RETURNING switch_to",
            first = Member::First,
            second = Member::Second,
            status = status_sql("intent", "phase", "FALSE", "TRUE"),
        );
        let row = self.select_one("instances", &sql, &values![now, id])?;
        row.map(|mut row| row.take("switch_to")).transpose()
    }

    /// Makes the decision `lead`, the next after the one numbered `known` or a later one, and
    /// writes its line into the journal. A planned switch to that engine stays pending until
    /// [`Self::end_switch`], and any other one is over. False, and nothing is written, unless
    /// `known` is the latest decision.
    pub fn take_over(
        &mut self,
        id: &InstanceId,
        known: i64,
        lead: Lead,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE instances SET master = $1, epoch = $2, \
             switch_to = CASE WHEN switch_to = $1 THEN switch_to END, \
             switch_requested_at = CASE WHEN switch_to = $1 THEN switch_requested_at END, \
             status = {} \
             WHERE id = $3 AND epoch = $4 AND epoch < $2",
            status_sql("intent", "phase", RESTORING, "switch_to = $1"),
        );
        let done = self.execute(&sql, &values![lead.master, lead.epoch, id, known])? == 1;
        if done {
            self.append_event(event)?;
        }
        Ok(done)
    }

    /// Ends a planned switch. One that is done has its line in the journal since the decision; one
    /// that is not gets the line that says why. False if none to that engine is pending.
    pub fn end_switch(
        &mut self,
        id: &InstanceId,
        to: Member,
        event: Option<&Event>,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE instances SET switch_to = NULL, switch_requested_at = NULL, status = {} \
             WHERE id = $1 AND switch_to = $2",
            status_sql("intent", "phase", RESTORING, "FALSE"),
        );
        let done = self.execute(&sql, &values![id, to])? == 1;
        if let Some(event) = event.filter(|_| done) {
            self.append_event(event)?;
        }
        Ok(done)
    }
}
