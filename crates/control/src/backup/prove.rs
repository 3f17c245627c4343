//! The proof of a backup: it is fetched as for a restore and loaded into an engine of its own.
//!
//! What that shows of the data is final: a backup that does not load, that is not what was saved
//! or that has other keys becomes `Failed`; its object stays until its time is over, for whoever
//! wants to look at it. Where the trial could not be made (no memory, no engine, trouble of the
//! machine or the store), nothing is said of the backup, and it is tried again later.

use ourkv_domain::backup::{Backup, BackupState, Taken};
use ourkv_domain::event::{Event, EventKind};
use ourkv_store::StoreError;
use procfs::{Current, Meminfo};

use super::{Failure, Step, World};
use crate::substrate::{Loaded, Specimen, Trouble};

/// What a trial load showed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad(String),
    /// It could not be made.
    None(String),
}

/// Proves one backup. [`Failure::NotYet`] where that has to wait.
pub(super) async fn prove(world: &World, backup: &Backup) -> Result<(), Failure> {
    let BackupState::Success(taken) = &backup.state else {
        return Ok(());
    };
    let limit = world.settings.trial_limit;
    let trial = async {
        let silent = Trouble::Silent { doing: "loading it for trial", seconds: limit.as_secs() };
        let trial = tokio::time::timeout(limit, trial(world, backup, taken));
        trial.await.unwrap_or(Err(silent))
    };
    let verdict = match Step::Prove.run(trial).await {
        Ok(loaded) => judge(taken, loaded),
        Err(Trouble::Dataset { reason }) => Verdict::Bad(reason),
        Err(trouble) => Verdict::None(trouble.to_string()),
    };
    Step::RecordProof.run(record(world, backup, verdict)).await
}

async fn trial(world: &World, backup: &Backup, taken: &Taken) -> Result<Loaded, Trouble> {
    has_room(taken.bytes)?;
    let dataset = world.archive.open_to_prove(backup).await?;
    let specimen =
        Specimen { engine: dataset.engine, capacity_mb: backup.capacity_mb, bytes: dataset.stream };
    world.substrate.prove(specimen).await
}

/// Trials must not take the memory that tenants' engines need.
fn has_room(bytes: i64) -> Result<(), Trouble> {
    let Ok(memory) = Meminfo::current() else {
        return Ok(());
    };
    let needed = u64::try_from(bytes).unwrap_or(0).saturating_mul(3) / 2;
    let there = memory.mem_available.unwrap_or(memory.mem_free);
    if there >= needed {
        return Ok(());
    }
    let source = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
    Err(Trouble::Machine { doing: "finding memory for a trial load", source })
}

/// Keys may have run out since they were saved, but none may be missing or more.
fn judge(taken: &Taken, loaded: Loaded) -> Verdict {
    let there = i64::try_from(loaded.keys).unwrap_or(i64::MAX);
    let expired = i64::try_from(loaded.expired).unwrap_or(i64::MAX);
    let lasting = taken.keys.saturating_sub(taken.expiring);
    let all = there.saturating_add(expired);
    if (lasting..=taken.keys).contains(&there) && all <= taken.keys {
        return Verdict::Good;
    }
    Verdict::Bad(format!(
        "of {} keys, {} of them with a time to live, {there} were loaded and {expired} had expired",
        taken.keys, taken.expiring
    ))
}

async fn record(world: &World, backup: &Backup, verdict: Verdict) -> Result<(), Failure> {
    let (row, now, written) = (backup.clone(), world.clock.now(), verdict.clone());
    world
        .store
        .write(move |tx| {
            // It may have been given back meanwhile.
            let Some(Backup { state: BackupState::Success(taken), .. }) = tx.lock_backup(row.id)?
            else {
                return Ok::<_, StoreError>(());
            };
            match &written {
                Verdict::Good => drop(tx.set_backup_verified(row.id, now)?),
                Verdict::None(note) => drop(tx.set_trial_note(row.id, Some(note))?),
                Verdict::Bad(reason) => {
                    let (started, reason) = (Some(taken.started), reason.clone());
                    let detail = format!("{}: {reason}", row.id);
                    tx.set_backup_state(
                        row.id,
                        &BackupState::Failed { started, ended: now, reason },
                    )?;
                    let (instance, kind) = (row.instance.clone(), EventKind::BackupRefused);
                    tx.append_event(&Event { instance, at: now, kind, detail })?;
                }
            }
            Ok(())
        })
        .await?;
    tell(backup, &verdict);
    match verdict {
        Verdict::None(note) => Err(Failure::NotYet(note)),
        Verdict::Good | Verdict::Bad(_) => Ok(()),
    }
}

fn tell(backup: &Backup, verdict: &Verdict) {
    let (instance, id) = (&backup.instance, backup.id);
    let outcome = match verdict {
        Verdict::Good => {
            tracing::info!(instance.id = %instance, backup.id = %id, "backup proven");
            "good"
        }
        Verdict::Bad(reason) => {
            tracing::error!(instance.id = %instance, backup.id = %id, reason, "backup refused");
            "bad"
        }
        Verdict::None(note) => {
            tracing::warn!(instance.id = %instance, backup.id = %id, note, "proof postponed");
            "postponed"
        }
    };
    metrics::counter!("ourkv_backup_proofs_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rstest::rstest;

    use super::*;

    fn taken(keys: i64, expiring: i64) -> Taken {
        Taken {
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            bytes: 100,
            keys,
            expiring,
            digest: String::new(),
            expires: Timestamp::UNIX_EPOCH,
            engine: "redis 7.0.15".parse().unwrap(),
        }
    }

    #[rstest]
    #[case::all((10, 0), (10, 0), true)]
    #[case::empty((0, 0), (0, 0), true)]
    #[case::one_missing((10, 0), (9, 0), false)]
    #[case::one_too_many((10, 0), (11, 0), false)]
    #[case::nothing_may_expire((10, 0), (9, 1), false)]
    #[case::some_ran_out_untold((10, 4), (7, 0), true)]
    #[case::all_ran_out_untold((10, 4), (6, 0), true)]
    #[case::more_ran_out_than_could((10, 4), (5, 0), false)]
    #[case::some_ran_out((10, 4), (8, 2), true)]
    #[case::told_more_than_there_were((10, 4), (8, 3), false)]
    fn judges_by_the_keys(
        #[case] (keys, expiring): (i64, i64),
        #[case] (loaded, expired): (u64, u64),
        #[case] good: bool,
    ) {
        let verdict = judge(&taken(keys, expiring), Loaded { keys: loaded, expired });
        assert_eq!(verdict == Verdict::Good, good, "{verdict:?}");
    }

    #[test]
    fn waits_where_memory_is_short() {
        assert!(has_room(0).is_ok());
        assert!(matches!(has_room(i64::MAX / 2), Err(Trouble::Machine { .. })));
    }
}
