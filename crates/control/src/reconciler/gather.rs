//! Gathering the data of a restore or a clone in the background: fetched, staged, and proven by a
//! trial load where they are to replace others.
//!
//! It takes as long as the data do, and passes over the instance go on meanwhile: its old data
//! are served, looked at and mended as ever. Nothing here touches what is served. A gathering
//! that stands still is ended, and its end, good or bad, wakes the instance. What was gathered is
//! remembered by the substrate; that it was proven, and what failed, in memory only: a new
//! process proves again.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::Restore;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::World;
use super::apply::{timed, within};
use super::report::Failure;
use super::step::Step;
use super::wish::Gathered;
use crate::backup::Dataset;
use crate::substrate::{ByteStream, Staging, Trouble, Unit};

/// A trial load at low priority is slower than this only where something is wrong.
const TRIAL_MB_PER_SECOND: u64 = 4;

/// The gatherings of all instances.
pub(super) struct Gatherings {
    known: Mutex<HashMap<InstanceId, Gathering>>,
    /// Those at work at once.
    turns: Semaphore,
    ended: mpsc::UnboundedSender<InstanceId>,
    stop: CancellationToken,
}

/// What is to be gathered.
pub(super) struct Errand {
    pub(super) unit: Unit,
    pub(super) restore: Restore,
    /// All of it is staged already.
    pub(super) staged: bool,
    /// It is to replace data that are served.
    pub(super) live: bool,
}

/// What went wrong with the gathering or with what comes between it and the swap.
#[derive(Debug, Clone)]
pub(super) struct Setback {
    pub(super) reason: String,
    /// The kind of failure, for metrics.
    pub(super) kind: &'static str,
    /// It would fail again in the same way.
    pub(super) is_final: bool,
}

struct Gathering {
    serial: i64,
    stand: Gathered,
    setback: Option<Setback>,
    /// In a row.
    failures: u32,
    work: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Gatherings {
    /// None yet. Whose gathering has ended is told to `ended`; `stop` ends all of them.
    pub(super) fn new(
        turns: usize,
        ended: mpsc::UnboundedSender<InstanceId>,
        stop: CancellationToken,
    ) -> Self {
        Self { known: Mutex::default(), turns: Semaphore::new(turns.max(1)), ended, stop }
    }

    /// How far the gathering of this data is, and what went wrong last.
    pub(super) fn stand(&self, id: &InstanceId, serial: i64) -> (Gathered, Option<Setback>) {
        match self.known().get(id).filter(|gathering| gathering.serial == serial) {
            Some(gathering) => (gathering.stand, gathering.setback.clone()),
            None => (Gathered::Idle, None),
        }
    }

    /// Takes what went wrong last off the record.
    pub(super) fn take_setback(&self, id: &InstanceId) -> Option<Setback> {
        self.known().get_mut(id)?.setback.take()
    }

    /// Something went wrong between the proof and the swap.
    pub(super) fn stumbled(&self, id: &InstanceId, failure: &Failure) {
        if let Some(gathering) = self.known().get_mut(id)
            && gathering.stand == Gathered::Proven
        {
            gathering.setback = Some(Setback::of(failure));
        }
    }

    /// Begins it, unless it is under way. After a failure it waits first where old data are
    /// served meanwhile; a clone is left alone as a whole.
    pub(super) fn begin(&self, world: &Arc<World>, errand: Errand) {
        let id = errand.unit.id.clone();
        let mut known = self.known();
        let before = known.remove(&id).filter(|before| before.serial == errand.restore.serial);
        if before.as_ref().is_some_and(|before| before.stand == Gathered::UnderWay) {
            known.extend(before.map(|before| (id, before)));
            return;
        }
        let failures = before.map_or(0, |before| before.failures);
        let pause =
            if errand.live { world.settings.delays.after(failures) } else { Duration::ZERO };
        let cancel = self.stop.child_token();
        let (world, token, serial) = (Arc::clone(world), cancel.clone(), errand.restore.serial);
        let task = tokio::spawn(async move { run(&world, &errand, pause, token).await });
        let work = Some((cancel, task));
        let stand = Gathered::UnderWay;
        known.insert(id, Gathering { serial, stand, setback: None, failures, work });
    }

    /// Ends what is under way for an instance and forgets it. Returns when nothing of it is left,
    /// or after `grace` at the latest.
    pub(super) async fn end(&self, id: &InstanceId, grace: Duration) {
        let gathering = self.known().remove(id);
        if let Some((cancel, mut task)) = gathering.and_then(|gathering| gathering.work) {
            cancel.cancel();
            if tokio::time::timeout(grace, &mut task).await.is_err() {
                task.abort();
            }
        }
    }

    /// Ends all of them.
    pub(super) async fn end_all(&self, grace: Duration) {
        let ids: Vec<_> = self.known().keys().cloned().collect();
        futures::future::join_all(ids.iter().map(|id| self.end(id, grace))).await;
    }

    fn finish(&self, id: &InstanceId, done: Result<(), Failure>) {
        if let Some(gathering) = self.known().get_mut(id) {
            gathering.work = None;
            match done {
                Ok(()) => {
                    gathering.stand = Gathered::Proven;
                    gathering.failures = 0;
                }
                Err(failure) => {
                    gathering.stand = Gathered::Idle;
                    gathering.failures = gathering.failures.saturating_add(1);
                    gathering.setback = Some(Setback::of(&failure));
                }
            }
        }
        // A driver that has ended goes over nothing any more.
        let _ = self.ended.send(id.clone());
    }

    fn known(&self) -> MutexGuard<'_, HashMap<InstanceId, Gathering>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Setback {
    fn of(failure: &Failure) -> Self {
        let is_final = matches!(failure, Failure::Trouble(Trouble::Dataset { .. }));
        Self { reason: failure.to_string(), kind: failure.kind(), is_final }
    }
}

async fn run(world: &World, errand: &Errand, pause: Duration, cancel: CancellationToken) {
    let id = &errand.unit.id;
    let begun = async {
        tokio::time::sleep(pause).await;
        world.gatherings.turns.acquire().await
    };
    let _turn = tokio::select! {
        () = cancel.cancelled() => return,
        turn = begun => turn,
    };
    let gathered = AssertUnwindSafe(gather(world, errand, &cancel)).catch_unwind().await;
    let done = gathered.unwrap_or(Err(Failure::Panicked));
    if cancel.is_cancelled() {
        return;
    }
    if let (Err(failure), true) = (&done, errand.live) {
        metrics::counter!("ourkv_troubles_total", "kind" => failure.kind()).increment(1);
        tracing::warn!(instance.id = %id, backup.id = %errand.restore.backup, error = %failure,
            "the data of a restore could not be gathered");
    }
    world.gatherings.finish(id, done);
}

async fn gather(world: &World, errand: &Errand, cancel: &CancellationToken) -> Result<(), Failure> {
    let (unit, serial) = (&errand.unit, errand.restore.serial);
    let limit = world.settings.step_limit;
    if !errand.staged {
        let fetch = world.datasets.dataset(errand.restore.backup);
        let fetch = timed(unit, Step::Fetch, within(limit, "fetching", Step::Fetch.run(fetch)));
        let dataset = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            dataset = fetch => dataset?,
        };
        timed(unit, Step::Stage, stage(world, errand, dataset, cancel)).await?;
    }
    if errand.live && !cancel.is_cancelled() {
        let trial = Duration::from_secs(unit.capacity_mb.unsigned_abs() / TRIAL_MB_PER_SECOND);
        let prove = Step::ProveStaged.run(world.substrate.prove_staged(unit, serial));
        let prove = timed(unit, Step::ProveStaged, within(limit + trial, "loading", prove));
        tokio::select! {
            () = cancel.cancelled() => {}
            loaded = prove => {
                let loaded = loaded?;
                tracing::info!(instance.id = %unit.id, keys = loaded.keys,
                    "what is to be restored can be loaded");
            }
        }
    }
    Ok(())
}

/// Stages the data for as long as they come; what stands still for too long has failed. Once it
/// is cancelled the data end in an error, so nothing incomplete counts as staged.
async fn stage(
    world: &World,
    errand: &Errand,
    dataset: Dataset,
    cancel: &CancellationToken,
) -> Result<(), Trouble> {
    let (chunks, progress) = watch::channel(());
    let bytes = watched(dataset.stream, chunks, cancel.clone());
    let staging = Staging { serial: errand.restore.serial, engine: dataset.engine, bytes };
    let stage = Step::Stage.run(world.substrate.stage(&errand.unit, staging));
    let (limit, grace) = (world.settings.step_limit, world.settings.grace);
    tokio::select! {
        staged = stage => staged,
        () = standstill(progress, limit) => {
            Err(Trouble::Silent { doing: "staging the backup", seconds: limit.as_secs() })
        }
        () = async { cancel.cancelled().await; tokio::time::sleep(grace).await } => Ok(()),
    }
}

/// The same bytes, each chunk reported, and an error instead of the rest once it is cancelled.
fn watched(stream: ByteStream, chunks: watch::Sender<()>, cancel: CancellationToken) -> ByteStream {
    let cut = || Trouble::Machine {
        doing: "staging the backup",
        source: std::io::Error::other("it is not wanted any more"),
    };
    futures::stream::unfold(
        (stream, chunks, cancel),
        move |(mut stream, chunks, cancel)| async move {
            let item = tokio::select! {
                biased;
                () = cancel.cancelled() => Some(Err(cut())),
                item = stream.next() => item,
            };
            chunks.send_replace(());
            item.map(|item| (item, (stream, chunks, cancel)))
        },
    )
    .boxed()
}

/// Returns when nothing has moved for this long.
async fn standstill(mut progress: watch::Receiver<()>, limit: Duration) {
    loop {
        match tokio::time::timeout(limit, progress.changed()).await {
            Ok(Ok(())) => {}
            // All bytes are out; what is left is to force them to the disk.
            Ok(Err(_)) => return tokio::time::sleep(limit).await,
            Err(_) => return,
        }
    }
}
