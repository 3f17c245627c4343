//! Backups: their rows, found by number and by what is to be done with them.
//!
//! Where two transactions lock rows, they lock the account first, then the instance, then the
//! backup. Whoever lets an instance begin a restore, or removes a backup, locks the backup.

use jiff::Timestamp;
use ourkv_domain::backup::{Backup, BackupId, BackupJobId, BackupState};
use ourkv_domain::ids::{InstanceId, NodeId};

use crate::backup_row::{columns_of, columns_of_state, read};
use crate::column::{Value, values};
use crate::error::StoreError;
use crate::tx::Tx;

impl Tx<'_> {
    /// Adds a backup.
    pub fn insert_backup(&mut self, backup: &Backup) -> Result<(), StoreError> {
        let row = [&columns_of(backup)[..], &columns_of_state(backup)[..]].concat();
        self.insert("backups", &row, "").map(|_| ())
    }

    /// The first of some numbers that no backup has.
    pub fn free_backup_id(
        &mut self,
        candidates: &[BackupId],
    ) -> Result<Option<BackupId>, StoreError> {
        for id in candidates {
            if self.backup(*id)?.is_none() {
                return Ok(Some(*id));
            }
        }
        Ok(None)
    }

    /// The first of some numbers that no backup's job has.
    pub fn free_backup_job(
        &mut self,
        candidates: &[BackupJobId],
    ) -> Result<Option<BackupJobId>, StoreError> {
        for job in candidates {
            if self.one("job = $1", &values![job])?.is_none() {
                return Ok(Some(*job));
            }
        }
        Ok(None)
    }

    /// The backup of that number.
    pub fn backup(&mut self, id: BackupId) -> Result<Option<Backup>, StoreError> {
        self.one("id = $1", &values![id])
    }

    /// The backup of that number, kept to this transaction until it ends.
    pub fn lock_backup(&mut self, id: BackupId) -> Result<Option<Backup>, StoreError> {
        let sql = format!("SELECT * FROM backups WHERE id = $1{}", self.for_update());
        self.select_one("backups", &sql, &values![id])?.map(read).transpose()
    }

    /// The backup of an instance that a job takes or took.
    pub fn backup_of_job(
        &mut self,
        instance: &InstanceId,
        job: BackupJobId,
    ) -> Result<Option<Backup>, StoreError> {
        self.one("instance = $1 AND job = $2", &values![instance, job])
    }

    /// The backup of an instance that is to be taken or is being taken; of several the one that
    /// was asked for first.
    pub fn unfinished_backup(
        &mut self,
        instance: &InstanceId,
    ) -> Result<Option<Backup>, StoreError> {
        let condition = "instance = $1 AND state IN ('Queued', 'Running') \
                         ORDER BY requested_at, id LIMIT 1";
        self.one(condition, &values![instance])
    }

    /// Whether an instance waits for its last backup before it goes.
    pub fn final_backup_pending(&mut self, instance: &InstanceId) -> Result<bool, StoreError> {
        let condition = "instance = $1 AND last = $2 AND state IN ('Queued', 'Running') LIMIT 1";
        Ok(self.one(condition, &values![instance, true])?.is_some())
    }

    /// Whether a restore that is to be done needs that backup.
    pub fn backup_in_use(&mut self, id: BackupId) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM instances WHERE restore_backup = $1 AND intent <> 'Delete' \
                   LIMIT 1";
        Ok(self.select_one("instances", sql, &values![id])?.is_some())
    }

    /// The backups of a machine that are to be taken: first those that deletions wait for, then
    /// those that were asked for first.
    pub fn queued_backups(&mut self, node: &NodeId, limit: i64) -> Result<Vec<Backup>, StoreError> {
        let condition = "node = $1 AND state = 'Queued' \
                         ORDER BY last DESC, requested_at, id LIMIT $2";
        self.many(condition, &values![node, limit])
    }

    /// The backups of a machine that are being taken, or were when it stopped.
    pub fn running_backups(&mut self, node: &NodeId) -> Result<Vec<Backup>, StoreError> {
        let condition = "node = $1 AND state = 'Running' ORDER BY requested_at, id";
        self.many(condition, &values![node])
    }

    /// The good backups of a machine that no engine has loaded yet: first those of which nothing
    /// is noted, then the oldest.
    pub fn unverified_backups(
        &mut self,
        node: &NodeId,
        limit: i64,
    ) -> Result<Vec<Backup>, StoreError> {
        let condition = "node = $1 AND state = 'Success' AND verified_at IS NULL \
                         ORDER BY trial_note IS NOT NULL, ended_at, id LIMIT $2";
        self.many(condition, &values![node, limit])
    }

    /// The backups of a machine that are to be removed.
    pub fn removing_backups(
        &mut self,
        node: &NodeId,
        limit: i64,
    ) -> Result<Vec<Backup>, StoreError> {
        let condition = "node = $1 AND state = 'Removing' ORDER BY requested_at, id LIMIT $2";
        self.many(condition, &values![node, limit])
    }

    /// Writes down what became of a backup; false if there is none of that number, or if what it
    /// was can't become that.
    pub fn set_backup_state(
        &mut self,
        id: BackupId,
        state: &BackupState,
    ) -> Result<bool, StoreError> {
        match self.lock_backup(id)? {
            Some(backup) if backup.state.may_become(state) => {
                let row = columns_of_state(&Backup { state: state.clone(), ..backup });
                self.update("backups", &row, ("id", values![id][0].clone()))
            }
            _ => Ok(false),
        }
    }

    /// Notes that an engine loaded a backup; false unless it is a good one.
    pub fn set_backup_verified(&mut self, id: BackupId, at: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE backups SET verified_at = $1, trial_note = NULL \
                   WHERE id = $2 AND state = 'Success'";
        Ok(self.execute(sql, &values![at, id])? == 1)
    }

    /// Lets a good backup be proven once more, as if no engine had loaded it yet; false if there
    /// is none such.
    pub fn ask_backup_proof(&mut self, id: BackupId) -> Result<bool, StoreError> {
        let sql = "UPDATE backups SET verified_at = NULL, trial_note = NULL \
                   WHERE id = $1 AND state = 'Success'";
        Ok(self.execute(sql, &values![id])? == 1)
    }

    /// Notes why no engine has loaded a backup yet; false if there is none of that number.
    pub fn set_trial_note(&mut self, id: BackupId, note: Option<&str>) -> Result<bool, StoreError> {
        let sql = "UPDATE backups SET trial_note = $1 WHERE id = $2";
        Ok(self.execute(sql, &values![note, id])? == 1)
    }

    /// Removes the row of a backup that is being removed; false if there is none such.
    pub fn forget_backup(&mut self, id: BackupId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM backups WHERE id = $1 AND state = 'Removing'";
        Ok(self.execute(sql, &values![id])? == 1)
    }

    fn one(&mut self, condition: &str, values: &[Value]) -> Result<Option<Backup>, StoreError> {
        Ok(self.many(condition, values)?.pop())
    }

    fn many(&mut self, condition: &str, values: &[Value]) -> Result<Vec<Backup>, StoreError> {
        let sql = format!("SELECT * FROM backups WHERE {condition}");
        let rows = self.select("backups", &sql, values)?;
        rows.into_iter().map(read).collect()
    }
}
