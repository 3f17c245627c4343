//! The manifest of an instance: what the store knows of it, written beside its data, so that a
//! store that is lost can be made again.
//!
//! Nobody waits for it, so it comes after what somebody waits for: a pass leaves its instance to
//! [`Unkept`], and the manifest is compared in memory, and written where something changed, one
//! after the other while no engine is started, [`LATEST`] after the pass in any case. Until then
//! the store has it, and a process that ends earlier is followed by one that goes over everything.
//! One that knows more than the store is left as it is: then the store is an earlier copy, and the
//! manifest what is left of the later one.

use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use ourkv_domain::ids::InstanceId;
use ourkv_store::{Manifest, StoreError};
use tokio::time::{Instant, timeout};

use super::World;
use super::report::{Failure, Outcome, Report};
use super::step::Step;
use crate::substrate::{Trouble, Unit};

/// How long a manifest may wait for its turn.
const LATEST: Duration = Duration::from_secs(5);
/// How long it may take to write one: a disk that hangs keeps others waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// Instances whose manifests are to be looked at, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Unkept {
    queue: VecDeque<(Instant, InstanceId)>,
    queued: HashSet<InstanceId>,
    /// One is looked at.
    busy: bool,
}

impl Unkept {
    /// Adds an instance that was gone over, if it is there.
    pub(super) fn went(&mut self, report: &Report, now: Instant) {
        let is_there = !matches!(report.outcome, Ok(Outcome::Gone | Outcome::Interrupted));
        if is_there && report.generation.is_some() {
            self.add(&report.id, now);
        }
    }

    /// Each waits only once.
    fn add(&mut self, id: &InstanceId, now: Instant) {
        if self.queued.insert(id.clone()) {
            self.queue.push_back((now + LATEST, id.clone()));
        }
    }

    /// The one whose turn it is, if somebody has a turn: in a calm moment, or when it has waited
    /// for long.
    pub(super) fn begin(&mut self, calm: bool, now: Instant) -> Option<InstanceId> {
        let is_due = self.queue.front().is_some_and(|(latest, _)| calm || *latest <= now);
        if self.busy || !is_due {
            return None;
        }
        let (_, id) = self.queue.pop_front()?;
        self.queued.remove(&id);
        self.busy = true;
        Some(id)
    }

    /// The one that was begun is done.
    pub(super) fn ended(&mut self) {
        self.busy = false;
    }

    /// When the next one has waited for long.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.queue.front().filter(|_| !self.busy).map(|(latest, _)| *latest)
    }

    /// Whether there is nothing to do and nothing under way.
    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty() && !self.busy
    }
}

/// Sees to it that the manifest of an instance says what the store does. What is in the way is
/// logged, and tried again after the next pass.
pub(super) async fn keep_manifest(world: &World, id: &InstanceId) {
    // What an instance is that is gone meanwhile, nobody remembers.
    let Some(unit) = world.memory.unit(id) else { return };
    match AssertUnwindSafe(kept(world, id, &unit)).catch_unwind().await {
        Ok(Ok(()) | Err(Failure::Store(StoreError::Unavailable { .. }))) => {}
        Ok(Err(error)) => tracing::warn!(instance.id = %id, %error, "its manifest is not kept"),
        Err(_panic) => tracing::error!(instance.id = %id, "keeping its manifest panicked"),
    }
}

async fn kept(world: &World, id: &InstanceId, unit: &Unit) -> Result<(), Failure> {
    // Whoever acts for this machine instead has manifests of its own.
    if world.store.is_superseded() {
        return Ok(());
    }
    let (key, known, now) = (id.clone(), world.memory.manifest(id), world.clock.now());
    let news = world.store.read(move |tx| tx.manifest_unless(&key, known, now));
    let Ok(news) = timeout(world.settings.store_patience, news).await else { return Ok(()) };
    let Some(manifest) = news? else { return Ok(()) };
    let writing = timeout(PATIENCE, Step::KeepManifest.run(write(world, unit, &manifest))).await;
    let silent = Trouble::Silent { doing: "keeping its manifest", seconds: PATIENCE.as_secs() };
    if writing.unwrap_or_else(|_| Err(silent.into()))? {
        world.memory.keep_gist(id, manifest.gist());
    }
    Ok(())
}

/// Writes a manifest, unless the one that is there says the same or more; false where there is no
/// place for it.
async fn write(world: &World, unit: &Unit, manifest: &Manifest) -> Result<bool, Failure> {
    let before = world.substrate.manifest(unit).await?;
    let before = before.and_then(|text| world.store.open_manifest(&text).ok());
    match before.filter(|before| before.nonce() == manifest.nonce()) {
        Some(before) if before.is_later_than(manifest) => {
            tracing::error!(instance.id = %unit.id,
                "the store is older than this instance's manifest, which is left as it is; see \
                 `ourkv doctor`");
            Ok(true)
        }
        Some(before) if before.gist() == manifest.gist() => Ok(true),
        _ => Ok(world.substrate.keep_manifest(unit, manifest.text()).await?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> InstanceId {
        InstanceId::parse(format!("r-{number}")).unwrap()
    }

    #[test]
    fn each_waits_once_and_has_its_turn_in_a_calm_moment() {
        let (mut unkept, now) = (Unkept::default(), Instant::now());
        for number in [1, 2, 1] {
            unkept.add(&id(number), now);
        }
        assert_eq!(unkept.begin(false, now), None);
        assert_eq!(unkept.begin(true, now), Some(id(1)));
        assert_eq!((unkept.begin(true, now), unkept.latest()), (None, None), "one at a time");
        unkept.add(&id(1), now);
        unkept.ended();
        assert_eq!(unkept.begin(true, now), Some(id(2)));
        unkept.ended();
        assert!(!unkept.is_done(), "what changed meanwhile is looked at again");
        assert_eq!(unkept.begin(true, now), Some(id(1)));
        assert!(!unkept.is_done());
        unkept.ended();
        assert!(unkept.is_done());
    }

    #[test]
    fn nothing_waits_for_ever() {
        let (mut unkept, now) = (Unkept::default(), Instant::now());
        unkept.add(&id(1), now);
        assert_eq!(unkept.latest(), Some(now + LATEST));
        unkept.add(&id(1), now + LATEST);
        assert_eq!(unkept.begin(false, now + LATEST), Some(id(1)));
    }
}
