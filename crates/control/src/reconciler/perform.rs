//! Doing one stage: what it asks of the substrate, what is decided with it, and what is to be
//! remembered of it.

use std::sync::Arc;

use ourkv_domain::event::EventKind;

use super::World;
use super::apply::apply;
use super::elect::Choice;
use super::failover::{acknowledge, elect_master, take_over};
use super::forget::forget;
use super::journal::journal;
use super::load::Loaded;
use super::password;
use super::phase::{keep, unavailable, welcome};
use super::plan::serves;
use super::record::restored;
use super::report::{Failure, Outcome};
use super::restore::{self, answered_before};
use super::stage::Stage;
use super::step::Step;
use super::switch::{end_switch, give_up_switch, halt};
use super::wish::Wish;
use crate::substrate::Seen;

/// Does one stage; the last one yields an outcome.
pub(super) async fn perform(
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
            world.memory.ended(&loaded.instance.id);
            let why = if hung { "it hung" } else { "it held an address that is not its own" };
            let detail = format!("{member} was ended: {why}");
            journal(world, loaded, EventKind::Fenced, detail, steps).await?;
            Ok(None)
        }
        Stage::Start(member) if *member == loaded.unit.lead.master => {
            world.memory.reigns_anew(&loaded.instance.id);
            Ok(None)
        }
        // Clients need not wait for the replica.
        Stage::Promote(member) => {
            let switch = loaded.instance.role.switch.as_ref();
            // The end of a switch begins with that.
            if switch.is_none_or(|switch| switch.to != *member) {
                welcome(world, loaded, steps).await?;
            }
            Ok(None)
        }
        Stage::EndSwitch => end_switch(world, loaded, steps).await.map(going_on),
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
