//! One pass over one instance: load, observe, then plan and apply stage by stage, and record.
//!
//! A pass takes no hint of what changed. It may be cut off anywhere, by a failure, a panic or the
//! end of the process: the next one observes what there is and goes on from there.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use ourkv_domain::ids::InstanceId;
use tokio::sync::Notify;

use super::World;
use super::alarm::unless_masterless;
use super::journal::catch_up_journal;
use super::load::{Loaded, load};
use super::observe::observe;
use super::perform::perform;
use super::phase::{may_be_taken_over, note, notice_death};
use super::plan::plan;
use super::report::{Failure, Outcome, Report};
use super::restore::{self, answered_before};
use super::step::Step;

/// What a pass may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Whatever is needed.
    Act,
    /// Look and remember, and have another engine take over where the master is gone. Nothing is
    /// started: the instance is left alone for a while.
    Look,
}

/// Goes over one instance.
pub(super) async fn pass(
    world: &Arc<World>,
    id: InstanceId,
    leave: Leave,
    alarm: &Notify,
) -> Report {
    let began = Instant::now();
    let (mut generation, mut steps) = (None, Vec::new());
    let outcome = match load(world, &id).await {
        Ok(None) => Ok(Outcome::Gone),
        Ok(Some(mut loaded)) => {
            generation = Some(loaded.instance.generation);
            guarded(world, &mut loaded, leave, alarm, &mut steps).await
        }
        Err(failure) => Err(failure),
    };
    Report { id, generation, steps, outcome, took: began.elapsed() }
}

/// Drives an instance and remembers the trouble that came of it, panics included.
async fn guarded(
    world: &Arc<World>,
    loaded: &mut Loaded,
    leave: Leave,
    alarm: &Notify,
    steps: &mut Vec<Step>,
) -> Result<Outcome, Failure> {
    let driven = AssertUnwindSafe(drive(world, loaded, leave, alarm, steps)).catch_unwind().await;
    let failure = match driven {
        Ok(Ok(outcome)) => return Ok(outcome),
        Ok(Err(failure)) => failure,
        Err(_panic) => Failure::Panicked,
    };
    if answered_before(&loaded.instance) {
        world.gatherings.stumbled(&loaded.instance.id, &failure);
    }
    let noted = AssertUnwindSafe(note(world, loaded, &failure, steps)).catch_unwind().await;
    if !matches!(noted, Ok(Ok(()))) {
        tracing::warn!(instance.id = %loaded.instance.id, "its trouble could not be recorded");
    }
    Err(failure)
}

async fn drive(
    world: &Arc<World>,
    loaded: &mut Loaded,
    leave: Leave,
    alarm: &Notify,
    steps: &mut Vec<Step>,
) -> Result<Outcome, Failure> {
    // Asked before the look: what has been gathered by then is seen.
    let stand = restore::stand(world, &loaded.instance);
    let mut seen = observe(world, &loaded.unit).await?;
    if !may_be_taken_over(loaded, &seen) {
        notice_death(world, loaded, &seen, steps).await?;
    }
    if !loaded.away && seen.lead.epoch <= loaded.instance.role.lead.epoch {
        catch_up_journal(world, loaded).await?;
    }
    if leave == Leave::Look && !answered_before(&loaded.instance) {
        return Ok(Outcome::LookedAt);
    }
    if leave == Leave::Act {
        restore::drop_unwanted(world, &loaded.instance, &seen).await;
    }
    let mut wish = restore::wish(world, loaded, stand)?;
    loop {
        if world.stop.is_cancelled() {
            return Ok(Outcome::Interrupted);
        }
        let stage = plan(&wish, &seen);
        if leave == Leave::Look && !stage.is_rescue() {
            notice_death(world, loaded, &seen, steps).await?;
            return Ok(Outcome::LookedAt);
        }
        let (unit, before) = (loaded.unit.clone(), wish);
        let done = perform(world, loaded, &mut wish, &stage, &seen, steps);
        let done = unless_masterless(world, &unit, &before, &stage, alarm, done).await;
        let Some(done) = done else {
            return Ok(Outcome::Overtaken);
        };
        if let Some(outcome) = done? {
            return Ok(outcome);
        }
        (wish, seen) = (stage.fulfilled(wish), stage.promised(&wish, seen));
    }
}
