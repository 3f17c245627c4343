//! Taking one backup: the engine saves, the data is sealed and stored as it comes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use ourkv_domain::backup::{Backup, BackupId, BackupStage, BackupState, Taken};
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::Intent;
use ourkv_store::{StoreError, Tx};

use super::archive::Kept;
use super::record::{self, Ending};
use super::{Failure, Step, World};
use crate::substrate::{ByteStream, Saving, Trouble, Unit};

/// How often progress is written down.
const PROGRESS: Duration = Duration::from_secs(1);

/// Why a backup failed that was under way when its process ended.
const INTERRUPTED: &str = "interrupted";

/// What a backup begins with.
enum Start {
    Go {
        unit: Box<Unit>,
        started: Timestamp,
    },
    /// It can't be taken, ever.
    Never(&'static str),
    /// It is not there to be taken.
    Nothing,
}

/// Takes one backup. `again` says whether another attempt follows where this one fails, with
/// [`Failure::NotYet`].
pub(super) async fn take(world: &World, backup: &Backup, again: bool) -> Result<(), Failure> {
    let (unit, started) = match Step::Begin.run(begin(world, backup)).await? {
        Start::Go { unit, started } => (unit, started),
        Start::Never(reason) => {
            let failed = Ending::Failed(reason.into());
            return Step::Fail.run(record::end(world, backup, failed)).await;
        }
        Start::Nothing => return Ok(()),
    };
    let taken = match saved(world, backup, &unit, started).await {
        Ok(taken) => taken,
        Err(reason) => return give_up(world, backup, Some(&unit), &reason, again).await,
    };
    // Where this fails, it is not known what the row says: the next look shows it.
    Step::Succeed.run(record::end(world, backup, Ending::Success(taken))).await
}

/// Ends a backup that an earlier process, or an earlier attempt, left unfinished.
pub(super) async fn recover(world: &World, backup: &Backup, again: bool) -> Result<(), Failure> {
    let (id, instance) = (backup.id, backup.instance.clone());
    let read =
        world.store.read(move |tx| Ok::<_, StoreError>((tx.backup(id)?, unit(tx, &instance)?)));
    match read.await? {
        (Some(Backup { state: BackupState::Running { .. }, .. }), unit) => {
            give_up(world, backup, unit.as_ref(), INTERRUPTED, again).await
        }
        // It was not unfinished any more when it was looked at again.
        _ => Ok(()),
    }
}

async fn give_up(
    world: &World,
    backup: &Backup,
    unit: Option<&Unit>,
    reason: &str,
    again: bool,
) -> Result<(), Failure> {
    if !clear_patiently(world, backup, unit).await && world.stop.is_cancelled() {
        return Err(Failure::NotYet("the next process tidies up".into()));
    }
    if again {
        Step::Fail.run(record::end(world, backup, Ending::Again(reason.into()))).await?;
        return Err(Failure::NotYet(reason.into()));
    }
    Step::Fail.run(record::end(world, backup, Ending::Failed(reason.into()))).await
}

/// Tries some times to leave nothing behind, and says whether it did. What stays all the same
/// goes with the backup's row, when its time is over: that a shelf is out of reach must not keep
/// a backup from failing.
async fn clear_patiently(world: &World, backup: &Backup, unit: Option<&Unit>) -> bool {
    let mut pause = world.settings.retry;
    for last in [false, false, false, true] {
        let Err(trouble) = Step::Clear.run(clear(world, backup, unit)).await else {
            return true;
        };
        tracing::warn!(backup.id = %backup.id, %trouble, "what was begun is not removed");
        if !last {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
    false
}

async fn clear(world: &World, backup: &Backup, unit: Option<&Unit>) -> Result<(), Trouble> {
    if let Some(unit) = unit {
        within(world.settings.stall, world.substrate.forget_save(unit)).await?;
    }
    Ok(world.archive.discard(backup).await?)
}

async fn begin(world: &World, backup: &Backup) -> Result<Start, Failure> {
    let (backup, now) = (backup.clone(), world.clock.now());
    world.store.write(move |tx| decide(tx, &backup, now)).await
}

/// Decides with instance and backup kept still.
fn decide(tx: &mut Tx<'_>, backup: &Backup, started: Timestamp) -> Result<Start, Failure> {
    let instance = tx.lock_instance(&backup.instance)?;
    match tx.lock_backup(backup.id)? {
        Some(Backup { state: BackupState::Queued, .. }) => {}
        _ => return Ok(Start::Nothing),
    }
    let Some(instance) = instance else {
        return Ok(Start::Never("the instance is gone"));
    };
    if instance.intent == Intent::Delete && !backup.last {
        return Ok(Start::Never("the instance is being deleted"));
    }
    if instance.restore.is_some() && !backup.last {
        return Ok(Start::Never("the instance is being restored"));
    }
    let Some(secrets) = tx.secrets(&instance.id)? else {
        return Ok(Start::Never("the secrets of the instance are missing"));
    };
    let running = BackupState::Running { started, stage: BackupStage::Saving, percent: 0 };
    tx.set_backup_state(backup.id, &running)?;
    Ok(Start::Go { unit: Box::new(Unit::new(&instance, secrets)), started })
}

fn unit(tx: &mut Tx<'_>, id: &InstanceId) -> Result<Option<Unit>, StoreError> {
    let Some(instance) = tx.instance(id)? else {
        return Ok(None);
    };
    Ok(tx.secrets(id)?.map(|secrets| Unit::new(&instance, secrets)))
}

async fn saved(
    world: &World,
    backup: &Backup,
    unit: &Unit,
    started: Timestamp,
) -> Result<Taken, String> {
    tokio::select! {
        taken = save(world, backup, unit, started) => taken.map_err(|trouble| trouble.to_string()),
        () = world.stop.cancelled() => Err(INTERRUPTED.into()),
    }
}

async fn save(
    world: &World,
    backup: &Backup,
    unit: &Unit,
    started: Timestamp,
) -> Result<Taken, Trouble> {
    let stall = world.settings.stall;
    let saving = within(stall, world.substrate.save(unit));
    let Saving { engine, keys, expiring, percent, bytes } = Step::Save.run(saving).await?;
    let saved = Arc::new(AtomicBool::new(false));
    let bytes = lively(bytes, stall, Arc::clone(&saved));
    let running = move || BackupState::Running {
        started,
        stage: if saved.load(Relaxed) { BackupStage::Storing } else { BackupStage::Saving },
        percent: percent.load(Relaxed).min(100),
    };
    let keeping = Step::Store.run(world.archive.keep(backup, bytes));
    let Kept { bytes, digest } = reporting(world, backup.id, running, keeping).await?;
    let ended = world.clock.now();
    Ok(Taken {
        started,
        ended,
        bytes,
        keys: i64::try_from(keys).unwrap_or(i64::MAX),
        expiring: i64::try_from(expiring).unwrap_or(i64::MAX),
        digest,
        expires: Backup::expiry(ended, backup.retention_days),
        engine,
    })
}

/// Does the work and writes down once a second how far it has come.
async fn reporting<T>(
    world: &World,
    id: BackupId,
    running: impl Fn() -> BackupState,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(PROGRESS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut written = running();
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = ticks.tick() => {
                let state = running();
                if state != written {
                    written = state.clone();
                    world.store.write_later(move |tx| still_running(tx, id, &state));
                }
            }
        }
    }
}

/// Progress may come late: then it is of no interest.
fn still_running(tx: &mut Tx<'_>, id: BackupId, state: &BackupState) -> Result<(), StoreError> {
    if let Some(Backup { state: BackupState::Running { .. }, .. }) = tx.lock_backup(id)? {
        tx.set_backup_state(id, state)?;
    }
    Ok(())
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let silent = Trouble::Silent { doing: "saving", seconds: limit.as_secs() };
    tokio::time::timeout(limit, work).await.unwrap_or(Err(silent))
}

/// A stream that ends with trouble where it gives nothing for too long; says when it has ended.
fn lively(bytes: ByteStream, limit: Duration, ended: Arc<AtomicBool>) -> ByteStream {
    futures::stream::unfold(Some((bytes, ended)), move |state| async move {
        let (mut bytes, ended) = state?;
        match within(limit, async { bytes.next().await.transpose() }).await {
            Ok(Some(piece)) => Some((Ok(piece), Some((bytes, ended)))),
            Ok(None) => {
                ended.store(true, Relaxed);
                None
            }
            Err(trouble) => Some((Err(trouble), None)),
        }
    })
    .boxed()
}
