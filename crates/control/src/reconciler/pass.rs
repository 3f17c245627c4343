//! One pass over one instance: load, observe, then plan and apply stage by stage, and record.
//!
//! A pass takes no hint of what changed. It may be cut off anywhere, by a failure, a panic or the
//! end of the process: the next one observes what there is and goes on from there.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use ourkv_domain::event::EventKind;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Intent, Phase};
use ourkv_store::StoreError;
use tokio::sync::Notify;

use super::World;
use super::apply::apply;
use super::elect::Choice;
use super::failover::{self, acknowledge, elect_master, give_up_switch, halt, journal, take_over};
use super::forget::forget;
use super::load::{Loaded, load};
use super::observe::observe;
use super::password;
use super::plan::{Stage, Wish, plan, serves};
use super::record::{record, restored};
use super::report::{Failure, Outcome, Report};
use super::restore::{self, answered_before};
use super::step::Step;
use crate::substrate::{Health, Seen, Unit};

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
        failover::catch_up_journal(world, loaded).await?;
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

/// Does one stage; the last one yields an outcome.
async fn perform(
    world: &Arc<World>,
    loaded: &mut Loaded,
    wish: &mut Wish,
    stage: &Stage,
    seen: &Seen,
    steps: &mut Vec<Step>,
) -> Result<Option<Outcome>, Failure> {
    if *stage == Stage::Link && answered_before(&loaded.instance) {
        // Following may take long, and the tenant need not wait for it.
        welcome(world, loaded, steps).await?;
    }
    if *stage == Stage::Login {
        let outcome = welcome(world, loaded, steps).await?;
        return loaded.setback.take().map_or(Ok(Some(outcome)), Err);
    }
    if let Some(current) = decide(world, loaded, wish, stage, steps).await? {
        return Ok((!current).then_some(Outcome::Overtaken));
    }
    match apply(world, &loaded.unit, stage).await {
        Ok(done) => steps.extend(done),
        // What lies about can wait, unless an engine would be started on it.
        Err(trouble) if *stage == Stage::Tidy && (wish.durable || serves(wish.lead, seen)) => {
            loaded.untidy = true;
            tracing::warn!(instance.id = %loaded.instance.id, error = %trouble,
                "data that are not needed any more could not be removed");
        }
        Err(trouble) if matches!(stage, Stage::Password(_)) => {
            wish.password = None;
            loaded.setback = Some(trouble.into());
        }
        Err(trouble) => return Err(trouble.into()),
    }
    conclude(world, loaded, stage, seen, steps).await
}

/// Does a stage that decides about roles or remembers such a decision; says whether nobody else
/// did meanwhile. `None` for every other stage.
async fn decide(
    world: &World,
    loaded: &mut Loaded,
    wish: &mut Wish,
    stage: &Stage,
    steps: &mut Vec<Step>,
) -> Result<Option<bool>, Failure> {
    let current = match stage {
        Stage::Elect => {
            wish.choice = Some(elect_master(world, loaded, wish, steps).await?);
            if wish.choice == Some(Choice::Stay) {
                unavailable(world, loaded, "its engine ended", steps).await?;
            }
            true
        }
        Stage::Halt(from) => {
            wish.halt = halt(world, &loaded.unit, *from, steps).await?;
            true
        }
        Stage::TakeOver(lead) => {
            let current = take_over(world, loaded, wish, *lead).await?;
            steps.push(Step::TakeOver);
            current
        }
        Stage::Acknowledge(lead) => acknowledge(world, loaded, *lead).await?,
        Stage::GiveUpSwitch => {
            let current = give_up_switch(world, loaded, wish).await?;
            steps.push(Step::GiveUpSwitch);
            current
        }
        _ => return Ok(None),
    };
    Ok(Some(current))
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
        Stage::Fence(member) => {
            let hung = world.memory.hung(&loaded.instance.id) == Some(*member);
            world.memory.fenced(&loaded.instance.id, *member);
            let why = if hung { "it hung" } else { "it held an address that is not its own" };
            let detail = format!("{member} was ended: {why}");
            journal(world, loaded, EventKind::Fenced, detail, steps).await?;
            Ok(None)
        }
        // Clients need not wait for the replica.
        Stage::Promote(_) => {
            welcome(world, loaded, steps).await?;
            Ok(None)
        }
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
        Stage::Password(passing) => {
            password::note(world, loaded, *passing, steps).await.map(going_on)
        }
        Stage::Await => Ok(Some(Outcome::Waiting { answering: false })),
        Stage::Rest => {
            let phase = loaded.instance.observed.phase.clone().stopped();
            let current = keep(world, loaded, Step::RecordInactive, phase, steps).await?;
            Ok(Some(if current { Outcome::Resting } else { Outcome::Overtaken }))
        }
        Stage::Forget => {
            forget(world, &loaded.instance).await?;
            world.memory.drop(&loaded.instance.id);
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
    failover::tell(world, loaded, steps).await?;
    let instance = &loaded.instance;
    let is_all = instance.restore.is_none() && instance.role.switch.is_none();
    let is_all = is_all && loaded.unit.secrets.change.is_none();
    let is_all = is_all && !loaded.untidy && !loaded.away;
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
    let lead = loaded.instance.role.lead.or_later(seen.lead);
    if serves(lead, seen) {
        return Ok(());
    }
    let runs = seen.running.contains_key(&lead.master);
    let reason = if runs { "its engine does not answer" } else { "its engine ended" };
    unavailable(world, loaded, reason, steps).await
}

/// What was normal is unavailable, for a reason.
async fn unavailable(
    world: &World,
    loaded: &mut Loaded,
    reason: &str,
    steps: &mut Vec<Step>,
) -> Result<(), Failure> {
    let instance = &loaded.instance;
    if instance.intent == Intent::Run && instance.observed.phase == Phase::Normal {
        let phase = instance.observed.phase.clone().failing(reason);
        keep(world, loaded, Step::RecordTrouble, phase, steps).await?;
    }
    Ok(())
}

/// Whether its replica may take over at once, which is sooner done than written down.
fn may_be_taken_over(loaded: &Loaded, seen: &Seen) -> bool {
    let lead = loaded.instance.role.lead.or_later(seen.lead);
    let replica = seen.running.get(&lead.master.other());
    let master = seen.running.get(&lead.master);
    let answers = matches!(replica, Some(Health::Answering | Health::Linked | Health::Astray));
    let promoted = matches!(master, Some(Health::Astray));
    loaded.unit.is_pair() && (promoted || master.is_none() && answers)
}

/// What a stage that waits for an engine came to; `None` where there is nothing to wait for: the
/// master is gone meanwhile, or is found to hang.
async fn unless_masterless<T>(
    world: &World,
    unit: &Unit,
    wish: &Wish,
    stage: &Stage,
    alarm: &Notify,
    done: impl Future<Output = T>,
) -> Option<T> {
    let mut done = std::pin::pin!(done);
    let master = wish.lead.master;
    let for_master = *stage == Stage::Start(master);
    let for_replica =
        wish.is_pair() && (*stage == Stage::Link || *stage == Stage::Start(master.other()));
    if !for_master && !for_replica {
        return Some(done.await);
    }
    loop {
        tokio::select! {
            done = &mut done => return Some(done),
            () = alarm.notified() => {
                let hangs = world.memory.hung(&unit.id) == Some(master);
                if hangs || for_replica && !still_serves(world, unit, wish).await {
                    return None;
                }
            }
        }
    }
}

async fn still_serves(world: &World, unit: &Unit, wish: &Wish) -> bool {
    observe(world, unit).await.map_or(true, |seen| serves(wish.lead, &seen))
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
        && observe(world, &loaded.unit).await.is_ok_and(|seen| serves(loaded.unit.lead, &seen))
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
    if loaded.away {
        return Ok(true);
    }
    let before = loaded.instance.observed.clone();
    let current = match record(world, &mut loaded.instance, step, phase).await {
        Err(Failure::Store(StoreError::Unavailable { .. })) => {
            loaded.away = true;
            return Ok(true);
        }
        recorded => recorded?,
    };
    if loaded.instance.observed != before {
        steps.push(step);
        world.memory.keep_observed(&loaded.instance.id, &loaded.instance.observed);
    }
    Ok(current)
}
