//! What becomes of a backup, written down together with what follows from it.

use jiff::Timestamp;
use ourkv_domain::backup::{Backup, BackupState, Taken};
use ourkv_domain::event::{Event, EventKind};
use ourkv_store::{StoreError, Tx};

use super::{Failure, World};

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    /// It is there as a whole.
    Success(Taken),
    /// It is not, and there will be no other attempt.
    Failed(String),
    /// It is not, and waits for another attempt.
    Again(String),
}

/// Writes down how an attempt ended. Does nothing where the backup is not under way any more.
pub(super) async fn end(world: &World, backup: &Backup, ending: Ending) -> Result<(), Failure> {
    let (row, now, written) = (backup.clone(), world.clock.now(), ending.clone());
    let node = world.node.clone();
    let changed = world
        .store
        .write(move |tx| {
            let Some(current) = tx.lock_backup(row.id)? else {
                return Ok::<_, StoreError>(false);
            };
            let started = match current.state {
                BackupState::Queued => None,
                BackupState::Running { started, .. } => Some(started),
                _ => return Ok(false),
            };
            let state = match &written {
                Ending::Success(taken) => {
                    let steady = tx.steady(&node)?.map(|steady| steady.trusted());
                    BackupState::Success(kept_in_full(taken, &row, steady))
                }
                Ending::Again(_) => BackupState::Queued,
                Ending::Failed(reason) => {
                    BackupState::Failed { started, ended: now, reason: reason.clone() }
                }
            };
            let changed = tx.set_backup_state(row.id, &state)?;
            if changed {
                write_event(tx, &row, &written, now)?;
            }
            Ok(changed)
        })
        .await?;
    if changed {
        tell(world, backup, &ending);
    }
    Ok(())
}

/// A clock that was set back would have it expire as soon as that is put right: the retention
/// counts from the steady time where that is ahead.
fn kept_in_full(taken: &Taken, backup: &Backup, steady: Option<Timestamp>) -> Taken {
    let from = steady.map_or(taken.ended, |steady| steady.max(taken.ended));
    Taken { expires: Backup::expiry(from, backup.retention_days), ..taken.clone() }
}

fn write_event(
    tx: &mut Tx<'_>,
    backup: &Backup,
    ending: &Ending,
    at: Timestamp,
) -> Result<(), StoreError> {
    let (kind, detail) = match ending {
        Ending::Success(taken) => {
            (EventKind::BackupTaken, format!("{}: {} bytes", backup.id, taken.bytes))
        }
        Ending::Failed(reason) if backup.last => {
            (EventKind::FinalBackupGivenUp, format!("{}: {reason}", backup.id))
        }
        Ending::Failed(reason) => (EventKind::BackupFailed, format!("{}: {reason}", backup.id)),
        Ending::Again(_) => return Ok(()),
    };
    tx.append_event(&Event { instance: backup.instance.clone(), at, kind, detail })
}

/// Log, metrics, and whoever waited.
fn tell(world: &World, backup: &Backup, ending: &Ending) {
    let (instance, id) = (&backup.instance, backup.id);
    let outcome = match ending {
        Ending::Success(taken) => {
            let took = taken.ended.duration_since(taken.started).abs();
            tracing::info!(instance.id = %instance, backup.id = %id, bytes = taken.bytes,
                keys = taken.keys, ?took, "backup taken");
            #[expect(clippy::cast_precision_loss, reason = "a size for a graph")]
            metrics::histogram!("ourkv_backup_bytes").record(taken.bytes as f64);
            metrics::histogram!("ourkv_backup_seconds").record(took.as_secs_f64());
            #[expect(clippy::cast_precision_loss, reason = "seconds for a graph")]
            metrics::gauge!("ourkv_backup_last_success_timestamp_seconds")
                .set(taken.ended.as_second() as f64);
            "success"
        }
        Ending::Failed(reason) => {
            tracing::error!(instance.id = %instance, backup.id = %id, reason, last = backup.last,
                "there is no backup");
            "failed"
        }
        Ending::Again(reason) => {
            tracing::warn!(instance.id = %instance, backup.id = %id, reason,
                "the backup is tried again");
            "again"
        }
    };
    metrics::counter!("ourkv_backups_total", "outcome" => outcome).increment(1);
    if backup.last && !matches!(ending, Ending::Again(_)) {
        (world.wake)();
    }
}
