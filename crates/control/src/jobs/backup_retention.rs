//! Backups whose time is over.
//!
//! "Now" is the steady time: a wall clock that jumps ahead makes nothing old, it is followed
//! slowly and across restarts. Of a live instance the latest good backup stays, however old it
//! is, and so does one that a restore is using. What is to go is only marked: the keeper removes
//! it.

use jiff::Timestamp;
use ourkv_domain::backup::{Backup, BackupState, retention};
use ourkv_domain::ids::{InstanceId, NodeId};
use ourkv_domain::instance::Intent;
use ourkv_store::{Store, StoreError, Tx};

use super::Report;

/// Instances that are looked at at a time.
const BATCH: i64 = 100;

/// Marks every backup that was kept long enough by `due`.
pub async fn run_once(store: &Store, node: &NodeId, due: Timestamp) -> Result<Report, StoreError> {
    let (mut report, mut after) = (Report::default(), None);
    loop {
        let (node, cursor) = (node.clone(), after.clone());
        let read = move |tx: &mut Tx<'_>| {
            tx.backups_with_expiry_before(&node, just_after(due), cursor.as_ref(), BATCH)
        };
        let instances = store.read(read).await?;
        let Some(furthest) = instances.last().cloned() else {
            return Ok(report);
        };
        for instance in instances {
            let key = instance.clone();
            match store.write(move |tx| mark(tx, &key, due)).await {
                Ok(marked) => report.changed += marked,
                Err(error) => {
                    tracing::warn!(instance.id = %instance, %error, "retention failed");
                    report.failed += 1;
                }
            }
        }
        after = Some(furthest);
    }
}

/// Marks those of one instance, with the instance kept still; says how many.
fn mark(tx: &mut Tx<'_>, id: &InstanceId, due: Timestamp) -> Result<u64, StoreError> {
    let instance = tx.lock_instance(id)?;
    let live = instance.is_some_and(|instance| instance.intent != Intent::Delete);
    let backups = tx.all_backups(Some(id))?;
    let mut marked = 0;
    for id in retention::expired(&backups, live, due) {
        let still = tx.lock_backup(id)?;
        let over = |backup: &Backup| backup.expires().is_some_and(|expires| expires <= due);
        if still.as_ref().is_some_and(over) && !tx.backup_in_use(id)? {
            marked += u64::from(tx.set_backup_state(id, &BackupState::Removing)?);
        }
    }
    Ok(marked)
}

/// What ends at an instant is over at that instant.
fn just_after(instant: Timestamp) -> Timestamp {
    instant.saturating_add(jiff::SignedDuration::from_millis(1)).unwrap_or(Timestamp::MAX)
}
