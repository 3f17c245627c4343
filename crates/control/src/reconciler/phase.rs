//! What an instance is shown to be while a pass goes over it: `Normal` after a login as its tenant,
//! and not from the moment on when nobody serves it.

use ourkv_domain::instance::{Intent, Phase};

use super::World;
use super::apply::apply;
use super::failover;
use super::load::Loaded;
use super::observe::observe;
use super::plan::serves;
use super::record::record;
use super::report::{Failure, Outcome};
use super::restore::answered_before;
use super::stage::Stage;
use super::step::Step;
use crate::substrate::{Health, Seen, Trouble};

/// Logs in as the tenant would; what works is normal.
pub(super) async fn welcome(
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
pub(super) async fn notice_death(
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
pub(super) async fn unavailable(
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
pub(super) fn may_be_taken_over(loaded: &Loaded, seen: &Seen) -> bool {
    let lead = loaded.instance.role.lead.or_later(seen.lead);
    let replica = seen.running.get(&lead.master.other());
    let master = seen.running.get(&lead.master);
    let answers = matches!(replica, Some(Health::Answering | Health::Linked | Health::Astray));
    let promoted = matches!(master, Some(Health::Astray));
    loaded.unit.is_pair() && (promoted || master.is_none() && answers)
}

/// Remembers what is wrong. Where the first engine lets the tenant in, nothing is wrong for the
/// tenant: it was the second one, or data that are not in force.
pub(super) async fn note(
    world: &World,
    loaded: &mut Loaded,
    failure: &Failure,
    steps: &mut Vec<Step>,
) -> Result<(), Failure> {
    if matches!(failure, Failure::Store(_) | Failure::Trouble(Trouble::Slept { .. })) {
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
pub(super) async fn keep(
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
    let recorded = record(world, &mut loaded.instance, step, phase).await;
    let Some(current) = loaded.unless_away(recorded)? else {
        return Ok(true);
    };
    if loaded.instance.observed != before {
        steps.push(step);
        world.memory.keep_observed(&loaded.instance.id, &loaded.instance.observed);
    }
    Ok(current)
}
