//! The data that a new instance begins with, and the plan of its own backups.

use ourkv_domain::backup::{BackupPolicy, BackupState};
use ourkv_domain::instance::{Instance, InstanceType, Restore};
use ourkv_store::{StoreError, Tx};

use super::{Creation, Refusal};
use crate::actions::Failure;
use crate::actions::backup::lock_own;

/// The number of the first data that an instance is given.
const FIRST: i64 = 1;

impl Creation {
    /// Existence: the backup set, and whether the new instance can hold what is in it. It is kept
    /// until the new instance has read it.
    pub(super) fn check_origin(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let Some(origin) = &self.request.origin else {
            return Ok(());
        };
        let found = lock_own(tx, &self.account, &origin.source, origin.backup)?;
        let backup = found.filter(|backup| self.platform.reaches(backup));
        let backup = backup.ok_or(Refusal::UnknownBackup)?;
        if !matches!(backup.state, BackupState::Success(_)) {
            return Err(Refusal::BackupState.into());
        }
        let fits = backup.instance_type == self.request.instance_type
            && backup.capacity_mb <= self.class.capacity_mb;
        if !fits {
            return Err(Refusal::ClassMismatch.into());
        }
        if self.request.version < backup.version {
            return Err(Refusal::VersionMismatch.into());
        }
        Ok(())
    }

    /// What is to be fetched before the instance is up.
    pub(super) fn first_data(&self) -> Option<Restore> {
        let origin = self.request.origin.as_ref()?;
        Some(Restore { serial: FIRST, backup: origin.backup, requested_at: self.now })
    }

    /// Writes down where its first data come from.
    pub(super) fn note_origin(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        match self.first_data() {
            Some(restore) => tx.append_event(&restore.begun(&self.id)),
            None => Ok(()),
        }
    }

    /// Has a Redis instance backed up by the default plan.
    pub(super) fn plan_backups(
        &self,
        tx: &mut Tx<'_>,
        instance: &Instance,
    ) -> Result<(), StoreError> {
        match instance.spec.instance_type {
            InstanceType::Redis => {
                let policy = BackupPolicy::default();
                let next = policy.slot_after(self.now, &instance.id);
                tx.save_backup_policy(&instance.id, &policy, next)
            }
            InstanceType::Memcache => Ok(()),
        }
    }
}
