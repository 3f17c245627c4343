//! A backup as it is printed.

use jiff::{SignedDuration, Timestamp};
use ourkv_domain::backup::{Backup, BackupId, BackupState};
use ourkv_domain::ids::InstanceId;
use serde::Serialize;

/// One backup; what it has not yet, or never will, is left open.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) id: BackupId,
    pub(super) instance: InstanceId,
    /// Automated, Manual, or Final: the one that was taken before its instance was deleted.
    mode: String,
    pub(super) status: &'static str,
    /// Bytes of the file that the engine wrote.
    size: Option<i64>,
    keys: Option<i64>,
    started: Option<Timestamp>,
    /// Such as `1m 3s 20ms`.
    took: Option<String>,
    expires: Option<Timestamp>,
    /// When it was last proven by loading it.
    verified: Option<Timestamp>,
    /// Why it failed, what it waits for, or how far it is.
    reason: Option<String>,
}

impl Row {
    pub(super) fn of(backup: Backup) -> Self {
        let taken = backup.state.taken();
        let span = match &backup.state {
            BackupState::Success(taken) => Some((taken.started, Some(taken.ended))),
            BackupState::Failed { started, ended, .. } => started.map(|at| (at, Some(*ended))),
            BackupState::Running { started, .. } => Some((*started, None)),
            BackupState::Queued | BackupState::Removing => None,
        };
        Self {
            id: backup.id,
            mode: if backup.last { "Final".into() } else { backup.mode.to_string() },
            status: status(&backup.state),
            size: taken.map(|taken| taken.bytes),
            keys: taken.map(|taken| taken.keys),
            started: span.map(|(started, _)| started),
            took: span.and_then(|(started, ended)| Some(took(started, ended?))),
            expires: backup.expires(),
            verified: backup.verified_at,
            reason: reason(&backup),
            instance: backup.instance,
        }
    }
}

fn took(started: Timestamp, ended: Timestamp) -> String {
    let millis = SignedDuration::from_millis_i128(ended.duration_since(started).as_millis());
    format!("{millis:#}")
}

fn status(state: &BackupState) -> &'static str {
    match state {
        BackupState::Queued => "Queued",
        BackupState::Running { .. } => "Running",
        BackupState::Success(_) => "Success",
        BackupState::Failed { .. } => "Failed",
        BackupState::Removing => "Removing",
    }
}

fn reason(backup: &Backup) -> Option<String> {
    match &backup.state {
        BackupState::Running { stage, percent, .. } => {
            Some(format!("{} {percent} %", stage.to_string().to_lowercase()))
        }
        BackupState::Failed { reason, .. } => Some(reason.clone()),
        BackupState::Success(_) => backup.trial_note.clone(),
        BackupState::Queued | BackupState::Removing => None,
    }
}
