//! One pass over one instance: load, observe, then plan and apply stage by stage, and record.
//!
//! A pass takes no hint of what changed. It may be cut off anywhere, by a failure, a panic or the
//! end of the process: the next one observes what there is and goes on from there.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Intent, Phase};

use super::World;
use super::apply::apply;
use super::forget::forget;
use super::load::{Loaded, load};
use super::observe::observe;
use super::plan::{Stage, Wish, plan, serves};
use super::record::{record, restored};
use super::report::{Failure, Outcome, Report};
use super::restore::{self, answered_before};
use super::step::Step;
use crate::substrate::{Member, Seen};

/// What a pass may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Whatever is needed.
    Act,
    /// Look and remember, nothing else: the instance is left alone for a while.
    Look,
}

/// Goes over one instance.
pub(super) async fn pass(world: &Arc<World>, id: InstanceId, leave: Leave) -> Report {
    let began = Instant::now();
    let (mut generation, mut steps) = (None, Vec::new());
    let outcome = match load(world, &id).await {
        Ok(None) => Ok(Outcome::Gone),
        Ok(Some(mut loaded)) => {
            generation = Some(loaded.instance.generation);
            guarded(world, &mut loaded, leave, &mut steps).await
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
    steps: &mut Vec<Step>,
) -> Result<Outcome, Failure> {
    let driven = AssertUnwindSafe(drive(world, loaded, leave, steps)).catch_unwind().await;
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
    steps: &mut Vec<Step>,
) -> Result<Outcome, Failure> {
    // Asked before the look: what has been gathered by then is seen.
    let stand = restore::stand(world, &loaded.instance);
    let mut seen = observe(world, &loaded.unit).await?;
    notice_death(world, loaded, &seen, steps).await?;
    if leave == Leave::Look {
        return Ok(Outcome::LookedAt);
    }
    restore::drop_unwanted(world, &loaded.instance, &seen).await;
    let mut wish = restore::wish(world, loaded, stand)?;
    loop {
        if world.stop.is_cancelled() {
            return Ok(Outcome::Interrupted);
        }
        let stage = plan(&wish, &seen);
        if let Some(outcome) = perform(world, loaded, &wish, &stage, &seen, steps).await? {
            return Ok(outcome);
        }
        (wish, seen) = (stage.fulfilled(wish), stage.promised(seen));
    }
}

/// Does one stage; the last one yields an outcome.
async fn perform(
    world: &Arc<World>,
    loaded: &mut Loaded,
    wish: &Wish,
    stage: &Stage,
    seen: &Seen,
    steps: &mut Vec<Step>,
) -> Result<Option<Outcome>, Failure> {
    if *stage == Stage::Link && answered_before(&loaded.instance) {
        // Following may take long, and the tenant need not wait for it.
        welcome(world, loaded, steps).await?;
    }
    if *stage == Stage::Login {
        return welcome(world, loaded, steps).await.map(Some);
    }
    match apply(world, &loaded.unit, stage).await {
        Ok(done) => steps.extend(done),
        // What lies about can wait, unless an engine would be started on it.
        Err(trouble) if *stage == Stage::Tidy && (wish.durable || serves(seen)) => {
            loaded.untidy = true;
            tracing::warn!(instance.id = %loaded.instance.id, error = %trouble,
                "data that are not needed any more could not be removed");
        }
        Err(trouble) => return Err(trouble.into()),
    }
    conclude(world, loaded, stage, seen, steps).await
}

/// Remembers what follows from a stage that was applied.
async fn conclude(
    world: &Arc<World>,
    loaded: &mut Loaded,
    stage: &Stage,
    seen: &Seen,
    steps: &mut Vec<Step>,
) -> Result<Option<Outcome>, Failure> {
    let going_on = |current: bool| (!current).then_some(Outcome::Overtaken);
    match stage {
        Stage::Gather => {
            restore::gather(world, loaded, seen);
            Ok(None)
        }
        Stage::Settle => {
            let current = restored(world, &mut loaded.instance).await?;
            steps.push(Step::RecordRestored);
            Ok(going_on(current))
        }
        Stage::GiveUp => {
            let current = restore::give_up(world, &mut loaded.instance).await?;
            steps.push(Step::GiveUpRestore);
            Ok(going_on(current))
        }
        Stage::Await => Ok(Some(Outcome::Waiting { answering: false })),
        Stage::Rest => {
            let phase = loaded.instance.observed.phase.clone().stopped();
            let current = keep(world, loaded, Step::RecordInactive, phase, steps).await?;
            Ok(Some(if current { Outcome::Resting } else { Outcome::Overtaken }))
        }
        Stage::Forget => {
            forget(world, &loaded.instance).await?;
            steps.push(Step::Forget);
            Ok(Some(Outcome::Gone))
        }
        _ => Ok(None),
    }
}

/// Logs in as the tenant would; what works is normal.
async fn welcome(
    world: &World,
    loaded: &mut Loaded,
    steps: &mut Vec<Step>,
) -> Result<Outcome, Failure> {
    apply(world, &loaded.unit, &Stage::Login).await?;
    let phase = loaded.instance.observed.phase.clone().answering();
    let current = keep(world, loaded, Step::RecordNormal, phase, steps).await?;
    let is_all = loaded.instance.restore.is_none() && !loaded.untidy;
    Ok(match (current, is_all) {
        (false, _) => Outcome::Overtaken,
        (true, false) => Outcome::Waiting { answering: true },
        (true, true) => Outcome::Answering,
    })
}

/// An instance that was normal and is not served any more is unavailable from this moment, before
/// anything is done about it.
async fn notice_death(
    world: &World,
    loaded: &mut Loaded,
    seen: &Seen,
    steps: &mut Vec<Step>,
) -> Result<(), Failure> {
    let instance = &loaded.instance;
    let normal = instance.intent == Intent::Run && instance.observed.phase == Phase::Normal;
    if normal && !serves(seen) {
        let runs = seen.running.contains_key(&Member::First);
        let reason = if runs { "its engine does not answer" } else { "its engine ended" };
        let phase = instance.observed.phase.clone().failing(reason);
        keep(world, loaded, Step::RecordTrouble, phase, steps).await?;
    }
    Ok(())
}

/// Remembers what is wrong. Where the first engine lets the tenant in, nothing is wrong for the
/// tenant: it was the second one, or data that are not in force.
async fn note(
    world: &World,
    loaded: &mut Loaded,
    failure: &Failure,
    steps: &mut Vec<Step>,
) -> Result<(), Failure> {
    if matches!(failure, Failure::Store(_)) {
        // Not the instance's trouble, and not for its owner's eyes.
        return Ok(());
    }
    if loaded.instance.intent == Intent::Run
        && answered_before(&loaded.instance)
        && observe(world, &loaded.unit).await.is_ok_and(|seen| serves(&seen))
        && welcome(world, loaded, steps).await.is_ok()
    {
        return Ok(());
    }
    let phase = loaded.instance.observed.phase.clone().failing(failure.to_string());
    keep(world, loaded, Step::RecordTrouble, phase, steps).await.map(|_current| ())
}

/// Records a phase and counts the step where that changed anything.
async fn keep(
    world: &World,
    loaded: &mut Loaded,
    step: Step,
    phase: Phase,
    steps: &mut Vec<Step>,
) -> Result<bool, Failure> {
    let before = loaded.instance.observed.clone();
    let current = record(world, &mut loaded.instance, step, phase).await?;
    if loaded.instance.observed != before {
        steps.push(step);
    }
    Ok(current)
}
