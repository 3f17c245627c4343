//! Which backups have been kept for long enough.

use jiff::Timestamp;

use super::{Backup, BackupId};

/// Those of one instance's backups that may be removed at `now`.
///
/// Of a live instance the latest good one stays however old it is, and so does the latest that is
/// proven where the latest is not proven yet: there is always something to go back to.
pub fn expired(backups: &[Backup], live: bool, now: Timestamp) -> Vec<BackupId> {
    let kept = if live { [latest(backups, false), latest(backups, true)] } else { [None, None] };
    let over = |backup: &&Backup| backup.expires().is_some_and(|expires| expires <= now);
    let ids = backups.iter().filter(over).map(|backup| backup.id);
    ids.filter(|id| !kept.contains(&Some(*id))).collect()
}

/// The good backup that ended last.
fn latest(backups: &[Backup], proven: bool) -> Option<BackupId> {
    let good = backups.iter().filter(|backup| !proven || backup.verified_at.is_some());
    let ended = good.filter_map(|backup| Some((backup.state.taken()?.ended, backup.id)));
    ended.max().map(|(_, id)| id)
}
