//! Backups: take, look at, delete, put back; and the plan by which they are taken.
//!
//! Actions write what is to be done; files are saved, read and removed elsewhere. Only Redis
//! instances have backups: memcached can save nothing. What an action that changes something
//! refuses is looked for in this order: form, the instance, its type, the backup, the state of
//! the instance, work under way, limits.

mod create_backup;
mod delete_backup;
mod describe_backup_policy;
mod describe_backup_tasks;
mod describe_backups;
mod modify_backup_policy;
pub(super) mod order;
mod restore_instance;
#[cfg(test)]
mod tests;

pub use create_backup::CreateBackup;
pub use delete_backup::DeleteBackup;
pub use describe_backup_policy::DescribeBackupPolicy;
pub use describe_backup_tasks::DescribeBackupTasks;
pub use describe_backups::DescribeBackups;
pub use modify_backup_policy::ModifyBackupPolicy;
pub use restore_instance::RestoreInstance;

use std::str::FromStr;

use ourkv_domain::backup::{Backup, BackupId, BackupState, parse_retention_days};
use ourkv_domain::ids::{AccountId, InstanceId};
use ourkv_domain::instance::{Instance, InstanceType};
use ourkv_store::{StoreError, Tx};
use ourkv_wire::{Fault, Params};

use super::instance::visible;
use super::refusals;

/// Most digits of a number that is looked up; what is longer is no number of ours.
const MOST_DIGITS: usize = 20;

refusals! {
    /// What actions on backups refuse of an instance.
    pub enum NoBackups {
        /// It is a memcached.
        WrongType = 403 "IncorrectDBInstanceType"
            "Current DB instance type does not support this operation.",
    }
}

refusals! {
    /// What actions that change something refuse of an instance's state.
    pub enum NotNow {
        /// It is not running, or is changing.
        WrongState = 403 "IncorrectDBInstanceState"
            "Current DB instance state does not support this operation.",
    }
}

refusals! {
    /// What actions on one backup refuse.
    pub enum NoBackup {
        /// It does not exist, is of another instance, or of someone else: the caller can't tell.
        NotFound = 400 "InvalidBackupSetID.NotFound" "The specified backup set is not found.",
        /// It is still being taken, has failed, or is being read.
        WrongState = 403 "IncorrectBackupSetState"
            "Current backup set state does not support this operation.",
    }
}

refusals! {
    /// What is refused of a number of days.
    pub enum Retention {
        /// Not a number from 7 to 730.
        Malformed = 400 "InvalidBackupRetentionPeriod.Malformed"
            "The Specified parameter \"BackupRetentionPeriod\" is not valid.",
    }
}

/// What a number in a request narrows an answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted<T> {
    /// There is none.
    Anything,
    /// To this one.
    One(T),
    /// None of ours can look like that.
    Nothing,
}

impl<T: FromStr> Wanted<T> {
    /// The number in the parameter `name`.
    fn parse(params: &Params, name: &str) -> Result<Self, Fault> {
        let Some(text) = params.get(name) else {
            return Ok(Self::Anything);
        };
        if text.len() > MOST_DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Fault::malformed(name));
        }
        Ok(text.parse().map_or(Self::Nothing, Self::One))
    }

    /// What it names, if it names something.
    fn one(self) -> Option<T> {
        match self {
            Self::One(one) => Some(one),
            Self::Anything | Self::Nothing => None,
        }
    }
}

/// The `BackupId` parameter, which must be given.
pub(super) fn backup_id(params: &Params) -> Result<BackupId, Fault> {
    match Wanted::parse(params, "BackupId")? {
        Wanted::One(id) => Ok(id),
        Wanted::Nothing => Err(NoBackup::NotFound.into()),
        Wanted::Anything => Err(Fault::missing("BackupId")),
    }
}

/// The `BackupRetentionPeriod` parameter, days.
fn retention_days(params: &Params) -> Result<Option<u16>, Fault> {
    let days = params.get("BackupRetentionPeriod").map(parse_retention_days).transpose();
    days.map_err(|_| Retention::Malformed.into())
}

/// Whether the caller may ask for the backups of an instance. They outlive it, and its owner may
/// still want them.
fn may_ask(tx: &mut Tx<'_>, account: &AccountId, id: &InstanceId) -> Result<bool, StoreError> {
    if visible(tx, account, id)?.is_some() {
        return Ok(true);
    }
    let left = tx.all_backups(Some(id))?;
    Ok(left.iter().any(|left| left.account == *account && left.state != BackupState::Removing))
}

/// Refuses what has no backups.
fn is_redis(instance: &Instance) -> Result<(), NoBackups> {
    match instance.spec.instance_type {
        InstanceType::Redis => Ok(()),
        InstanceType::Memcache => Err(NoBackups::WrongType),
    }
}

/// The backup, locked, if it is one of that instance and account and nobody is removing it.
pub(super) fn lock_own(
    tx: &mut Tx<'_>,
    account: &AccountId,
    instance: &InstanceId,
    id: BackupId,
) -> Result<Option<Backup>, StoreError> {
    let found = tx.lock_backup(id)?;
    Ok(found.filter(|backup| {
        backup.account == *account
            && backup.instance == *instance
            && backup.state != BackupState::Removing
    }))
}
