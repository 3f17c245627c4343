//! Backups that jobs ask for.

use jiff::Timestamp;
use ourkv_domain::backup::{Backup, BackupId, BackupJobId, BackupMode};
use ourkv_domain::instance::Instance;
use ourkv_domain::mint::Mint;
use ourkv_store::{StoreError, Tx};

/// Numbers that are drawn for one that no other backup has.
const DRAWS: usize = 8;

/// Numbers for one backup, drawn before a transaction that may be run again.
pub(super) struct Draws {
    backups: [BackupId; DRAWS],
    jobs: [BackupJobId; DRAWS],
}

impl Draws {
    pub(super) fn new(mint: &Mint) -> Self {
        Self {
            backups: std::array::from_fn(|_| mint.backup_id()),
            jobs: std::array::from_fn(|_| mint.backup_job_id()),
        }
    }

    /// Queues a backup that nobody but the platform asked for. Says whether a number was free.
    pub(super) fn queue(
        &self,
        tx: &mut Tx<'_>,
        instance: &Instance,
        last: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let policy = tx.backup_policy(&instance.id)?.map(|scheduled| scheduled.policy);
        let days = policy.unwrap_or_default().retention_days;
        let numbers = (tx.free_backup_id(&self.backups)?, tx.free_backup_job(&self.jobs)?);
        let (Some(id), Some(job)) = numbers else {
            return Ok(false);
        };
        let backup = Backup::queued(id, job, instance, BackupMode::Automated, days, now);
        tx.insert_backup(&Backup { last, ..backup })?;
        Ok(true)
    }
}
