//! The journal of an instance: what was decided about it, for those who ask later why.
//!
//! Events outlive their instance. They say what happened, never what is. Nothing is decided by
//! reading them but how often an owner may ask for something: what came of it may be gone.

use jiff::Timestamp;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::ids::InstanceId;

/// Something that happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which instance.
    pub instance: InstanceId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The particulars, for people; no secrets.
    pub detail: String,
}

/// What can happen to an instance.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
pub enum EventKind {
    /// Its owner asked for a backup.
    BackupAsked,
    /// A backup was taken and stored.
    BackupTaken,
    /// A backup was not taken, or not stored.
    BackupFailed,
    /// An engine refused to load a backup that had been stored.
    BackupRefused,
    /// A backup was removed, at its end or on demand.
    BackupRemoved,
    /// An instance went without the last backup that it should have had.
    FinalBackupGivenUp,
    /// Its data is to be replaced by those of a backup, or a new instance is to begin with them.
    RestoreBegun,
    /// The data of the backup are in force.
    RestoreDone,
    /// The data stay what they were.
    RestoreGivenUp,
    /// The replica of a pair took the place of a master that ended or hung.
    FailedOver,
    /// The engines of a pair exchanged their roles, as planned.
    Switched,
    /// A planned exchange of roles was not done; the roles are what they were.
    SwitchGivenUp,
    /// An engine was ended because it hung, or because it held an address that is not its own.
    Fenced,
    /// A master that ended was started again where it was.
    Restored,
    /// Writes that had been acknowledged are lost, or may be.
    LostWrites,
    /// Roles change so often that they stay as they are for a while.
    Damped,
    /// A decision was found beside the data that the store did not know.
    RoleFound,
    /// The password of a login was replaced; former ones open nothing any more.
    PasswordReset,
}
