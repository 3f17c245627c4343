//! Backups: what they are, when they are taken, and how long they stay.
//!
//! A backup is one file with all data of an instance at one moment. It outlives its instance, so
//! it carries what a restore has to know about it. Where the file lies and how it is sealed is not
//! known here.

mod engine;
mod id;
mod policy;
pub mod retention;
mod weekdays;
mod window;

use jiff::{SignedDuration, Timestamp};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

pub use engine::{EngineKind, EngineStamp, MalformedStamp};
pub use id::{BackupId, BackupJobId};
pub use policy::{BackupPolicy, MalformedPolicy, Scheduled, parse_retention_days};
pub use weekdays::Weekdays;
pub use window::BackupWindow;

use crate::ids::{AccountId, InstanceId, NodeId, RegionId};
use crate::instance::{EngineVersion, Instance, InstanceType, NodeType};

/// One backup, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its number.
    pub id: BackupId,
    /// The number of the job that takes it.
    pub job: BackupJobId,
    /// Whose data it holds; that instance may be gone.
    pub instance: InstanceId,
    /// Who owns it.
    pub account: AccountId,
    /// Where the instance is or was.
    pub region: RegionId,
    /// The machine that takes, proves and removes it.
    pub node: NodeId,
    /// Of the instance: Redis or Memcache.
    pub instance_type: InstanceType,
    /// Of the instance: one engine or a pair.
    pub node_type: NodeType,
    /// Of the instance: the level of compatibility.
    pub version: EngineVersion,
    /// Of the instance: the code of its class.
    pub class: String,
    /// Of the instance: memory in MB.
    pub capacity_mb: i64,
    /// Who asked for it.
    pub mode: BackupMode,
    /// Whether it is the one that is taken before its instance goes.
    pub last: bool,
    /// How many days it is kept after its end.
    pub retention_days: u16,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// What became of it.
    pub state: BackupState,
    /// When an engine last loaded it.
    pub verified_at: Option<Timestamp>,
    /// Why no engine loaded it yet, where one should have.
    pub trial_note: Option<String>,
}

/// Who asked for a backup; the words of DescribeBackups.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
pub enum BackupMode {
    /// The policy.
    Automated,
    /// The owner.
    Manual,
}

/// What became of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupState {
    /// It is to be taken.
    Queued,
    /// It is being taken.
    Running {
        /// Since when.
        started: Timestamp,
        /// What is being done.
        stage: BackupStage,
        /// How much of it is done: 0 to 100.
        percent: u8,
    },
    /// It is stored as a whole, and durable.
    Success(Taken),
    /// There is none, and nothing of it is stored for long.
    Failed {
        /// When it was begun, if it ever was.
        started: Option<Timestamp>,
        /// When it was given up.
        ended: Timestamp,
        /// Why, for its owner.
        reason: String,
    },
    /// It is to be removed, and can not be used any more.
    Removing,
}

/// What is being done to take a backup.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
pub enum BackupStage {
    /// The engine saves.
    Saving,
    /// The engine is done; the rest is stored.
    Storing,
}

/// What a good backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// When it was begun: it holds the data of that moment or of shortly after.
    pub started: Timestamp,
    /// When it was durable.
    pub ended: Timestamp,
    /// The size of the plain file in bytes.
    pub bytes: i64,
    /// How many keys the engine had when it forked.
    pub keys: i64,
    /// How many of these had a time to live: they may be gone when it is loaded.
    pub expiring: i64,
    /// SHA-256 of the plain file, in lower-case hex.
    pub digest: String,
    /// When its retention ends.
    pub expires: Timestamp,
    /// The engine that wrote it.
    pub engine: EngineStamp,
}

impl Backup {
    /// A backup of an instance that is to be taken.
    pub fn queued(
        id: BackupId,
        job: BackupJobId,
        instance: &Instance,
        mode: BackupMode,
        retention_days: u16,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            job,
            instance: instance.id.clone(),
            account: instance.account.clone(),
            region: instance.region.clone(),
            node: instance.node.clone(),
            instance_type: instance.spec.instance_type,
            node_type: instance.spec.node_type,
            version: instance.spec.version,
            class: instance.spec.class.clone(),
            capacity_mb: instance.spec.capacity_mb,
            mode,
            last: false,
            retention_days,
            requested_at: now,
            state: BackupState::Queued,
            verified_at: None,
            trial_note: None,
        }
    }

    /// When the retention of a backup ends that ended at `ended`.
    pub fn expiry(ended: Timestamp, retention_days: u16) -> Timestamp {
        let kept = SignedDuration::from_hours(24) * i32::from(retention_days);
        ended.checked_add(kept).unwrap_or(Timestamp::MAX)
    }

    /// The name under which it is stored.
    pub fn object(&self) -> String {
        format!("{}/{}.rdb.sealed", self.instance, self.id)
    }

    /// Its place in time among the others: its start, its end if it never started, or else when
    /// it was asked for.
    pub fn listed_at(&self) -> Timestamp {
        match &self.state {
            BackupState::Running { started, .. } => *started,
            BackupState::Success(taken) => taken.started,
            BackupState::Failed { started, ended, .. } => started.unwrap_or(*ended),
            BackupState::Queued | BackupState::Removing => self.requested_at,
        }
    }

    /// When its retention ends; a failed one stays on the list for as long as a good one.
    pub fn expires(&self) -> Option<Timestamp> {
        match &self.state {
            BackupState::Success(taken) => Some(taken.expires),
            BackupState::Failed { ended, .. } => Some(Self::expiry(*ended, self.retention_days)),
            BackupState::Queued | BackupState::Running { .. } | BackupState::Removing => None,
        }
    }
}

impl BackupState {
    /// Whether one state may follow another. What failed stays failed, and what is to be removed
    /// is not used again.
    pub fn may_become(&self, next: &Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running { .. } | Self::Failed { .. }),
            // Queued: one that is worth another attempt.
            Self::Running { .. } => !matches!(next, Self::Removing),
            // Failed: an engine refused to load it.
            Self::Success(_) => matches!(next, Self::Failed { .. } | Self::Removing),
            Self::Failed { .. } => matches!(next, Self::Removing),
            Self::Removing => false,
        }
    }

    /// Whether nothing more is done to take it.
    pub fn is_finished(&self) -> bool {
        match self {
            Self::Queued | Self::Running { .. } => false,
            Self::Success(_) | Self::Failed { .. } | Self::Removing => true,
        }
    }

    /// What it holds, if it is good.
    pub fn taken(&self) -> Option<&Taken> {
        if let Self::Success(taken) = self { Some(taken) } else { None }
    }
}

#[cfg(test)]
mod tests;
