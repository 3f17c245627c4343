//! An order to take a backup: what is written when one is asked for, by its owner or because the
//! instance ends.

use jiff::Timestamp;
use ourkv_domain::backup::{Backup, BackupId, BackupJobId, BackupMode};
use ourkv_domain::event::{Event, EventKind};
use ourkv_domain::instance::Instance;
use ourkv_domain::mint::Mint;
use ourkv_store::Tx;

use crate::actions::Failure;

/// How many numbers are drawn; one taken by chance makes way for the next.
const CANDIDATES: usize = 8;

/// An order. Its numbers are drawn before the transaction, which may run more than once.
#[derive(Debug, Clone)]
pub(in crate::actions) struct Order {
    ids: Vec<BackupId>,
    jobs: Vec<BackupJobId>,
    now: Timestamp,
}

impl Order {
    /// Draws the numbers of an order made at `now`.
    pub(in crate::actions) fn new(mint: &Mint, now: Timestamp) -> Self {
        Self {
            ids: std::iter::repeat_with(|| mint.backup_id()).take(CANDIDATES).collect(),
            jobs: std::iter::repeat_with(|| mint.backup_job_id()).take(CANDIDATES).collect(),
            now,
        }
    }

    /// Has a backup of `instance` taken that its owner asked for; kept as its plan says where
    /// they named no number of days.
    pub(super) fn manual(
        &self,
        tx: &mut Tx<'_>,
        instance: &Instance,
        days: Option<u16>,
    ) -> Result<BackupJobId, Failure> {
        let job = self.place(tx, instance, BackupMode::Manual, false, days)?;
        tx.append_event(&Event {
            instance: instance.id.clone(),
            at: self.now,
            kind: EventKind::BackupAsked,
            detail: format!("job {job}"),
        })?;
        Ok(job)
    }

    /// Has a backup of `instance` taken before it goes; the instance waits for it.
    pub(in crate::actions) fn last(
        &self,
        tx: &mut Tx<'_>,
        instance: &Instance,
    ) -> Result<BackupJobId, Failure> {
        self.place(tx, instance, BackupMode::Automated, true, None)
    }

    fn place(
        &self,
        tx: &mut Tx<'_>,
        instance: &Instance,
        mode: BackupMode,
        last: bool,
        days: Option<u16>,
    ) -> Result<BackupJobId, Failure> {
        let all_taken = || Failure::internal("every number that was drawn for a backup is taken");
        let id = tx.free_backup_id(&self.ids)?.ok_or_else(all_taken)?;
        let job = tx.free_backup_job(&self.jobs)?.ok_or_else(all_taken)?;
        let planned = tx.backup_policy(&instance.id)?.map(|plan| plan.policy).unwrap_or_default();
        let retention_days = days.unwrap_or(planned.retention_days);
        let mut backup = Backup::queued(id, job, instance, mode, retention_days, self.now);
        backup.last = last;
        tx.insert_backup(&backup)?;
        Ok(job)
    }
}
