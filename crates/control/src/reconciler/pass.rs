//! One pass over one instance: load, observe, then plan and apply stage by stage, and record.
//!
//! A pass takes no hint of what changed. It may be cut off anywhere, by a failure, a panic or the
//! end of the process: the next one observes what there is and goes on from there.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Intent, Phase};

use super::World;
use super::apply::apply;
use super::forget::forget;
use super::load::{Loaded, load};
use super::observe::observe;
use super::plan::{Stage, plan, serves};
use super::record::record;
use super::report::{Failure, Outcome, Report};
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
pub(super) async fn pass(world: &World, id: InstanceId, leave: Leave) -> Report {
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
    world: &World,
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
    let noted = AssertUnwindSafe(note(world, loaded, &failure, steps)).catch_unwind().await;
    if !matches!(noted, Ok(Ok(()))) {
        tracing::warn!(instance.id = %loaded.instance.id, "its trouble could not be recorded");
    }
    Err(failure)
}

async fn drive(
    world: &World,
    loaded: &mut Loaded,
    leave: Leave,
    steps: &mut Vec<Step>,
) -> Result<Outcome, Failure> {
    let mut seen = observe(world, &loaded.unit).await?;
    notice_death(world, loaded, &seen, steps).await?;
    if leave == Leave::Look {
        return Ok(Outcome::LookedAt);
    }
    loop {
        if world.stop.is_cancelled() {
            return Ok(Outcome::Interrupted);
        }
        let stage = plan(loaded.instance.intent, loaded.unit.members(), &seen);
        if let Some(outcome) = perform(world, loaded, &stage, steps).await? {
            return Ok(outcome);
        }
        seen = stage.promised(seen);
    }
}

/// Does one stage; the last one yields an outcome.
async fn perform(
    world: &World,
    loaded: &mut Loaded,
    stage: &Stage,
    steps: &mut Vec<Step>,
) -> Result<Option<Outcome>, Failure> {
    if *stage == Stage::Link && answered_before(loaded) {
        // Following may take long, and the tenant need not wait for it.
        welcome(world, loaded, steps).await?;
    }
    if *stage == Stage::Login {
        return welcome(world, loaded, steps).await.map(Some);
    }
    steps.extend(apply(world, &loaded.unit, stage).await?);
    match stage {
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
    Ok(if current { Outcome::Answering } else { Outcome::Overtaken })
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

/// Remembers what is wrong. Where the second engine of a pair gives trouble and the first one
/// lets the tenant in, nothing is wrong for the tenant.
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
        && answered_before(loaded)
        && loaded.unit.members().len() > 1
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

fn answered_before(loaded: &Loaded) -> bool {
    !matches!(loaded.instance.observed.phase, Phase::Creating { .. })
}
