//! Replacing a master, beside the stages that are one call to the substrate: electing, and
//! remembering what was decided.
//!
//! Every decision is remembered in the store, by a compare-and-set that has its line in the journal
//! with it, before anything is done about it. Where the store is away, an unplanned decision is
//! written down beside the data alone, and acknowledged in the store as soon as that is back; a
//! planned one is not made.

use ourkv_domain::event::{Event, EventKind};
use ourkv_domain::instance::{Instance, Intent, Observed, Phase};
use ourkv_store::StoreError;
use tokio::time::Instant;

use super::World;
use super::apply::one;
use super::elect::{Choice, Decision, Scene, elect};
use super::journal::journal;
use super::load::Loaded;
use super::record::observed;
use super::report::Failure;
use super::step::Step;
use super::switch::{as_asked, not_followed};
use super::wish::{Halt, Wish};
use crate::substrate::Lead;

/// Makes sure that the master is gone, and decides who is to be it.
pub(super) async fn elect_master(
    world: &World,
    loaded: &mut Loaded,
    wish: &Wish,
    steps: &mut Vec<Step>,
) -> Result<Choice, Failure> {
    let (unit, master) = (&loaded.unit, wish.lead.master);
    steps.extend(one(world, unit, Step::Fence, world.substrate.fence(unit, master)).await?);
    let standings = Step::Elect.run(world.substrate.standing(unit)).await?;
    steps.push(Step::Elect);
    let id = &unit.id;
    let last = world.memory.last(id, master);
    let decision = elect(&Scene {
        master,
        standings: &standings,
        durable: wish.durable,
        last: last.as_ref(),
        ended: world.memory.ended_ago(id),
        damped: world.memory.is_damped(id, &world.settings.damping, Instant::now()),
    });
    let choice = decision.choice;
    tracing::warn!(instance.id = %id, ?choice, reason = decision.reason, "a master is gone");
    if choice == Choice::Stay {
        stay(world, loaded, &decision, steps).await?;
    }
    loaded.decision = Some(decision);
    Ok(choice)
}

/// The master is started again. What is lost is told now, what was done once it answers.
async fn stay(
    world: &World,
    loaded: &mut Loaded,
    decision: &Decision,
    steps: &mut Vec<Step>,
) -> Result<(), Failure> {
    if !served_lately(&loaded.instance) {
        return Ok(());
    }
    let before = world.memory.hold(&loaded.instance.id, decision.clone());
    match &decision.loss {
        Some(loss) if before.is_none_or(|before| before.loss.is_none()) => {
            journal(world, loaded, EventKind::LostWrites, loss.clone(), steps).await
        }
        _ => Ok(()),
    }
}

/// Tells of a decision that came to its end: the master answers again where it was.
pub(super) async fn tell(
    world: &World,
    loaded: &mut Loaded,
    steps: &mut Vec<Step>,
) -> Result<(), Failure> {
    let noticed = world.memory.answers(&loaded.instance.id);
    let Some(decision) = world.memory.take_untold(&loaded.instance.id) else { return Ok(()) };
    // What was stopped on purpose and started again is no news.
    if !noticed {
        return Ok(());
    }
    let kind = if decision.damped { EventKind::Damped } else { EventKind::Restored };
    let master = loaded.instance.role.lead.master;
    let detail = format!("{master} was started again and stays the master: {}", decision.reason);
    let told = journal(world, loaded, kind, detail, steps).await;
    if told.is_err() {
        world.memory.hold(&loaded.instance.id, decision);
    }
    told
}

/// Remembers a decision, with its lines in the journal. False if another one was made meanwhile.
pub(super) async fn take_over(
    world: &World,
    loaded: &mut Loaded,
    wish: &Wish,
    lead: Lead,
) -> Result<bool, Failure> {
    let decision = loaded.decision.take();
    let planned = decision.is_none();
    let (at, id) = (world.clock.now(), loaded.instance.id.clone());
    let line = |kind, detail| Event { instance: id.clone(), at, kind, detail };
    let event = match (&decision, wish.halt) {
        (Some(decision), _) => line(EventKind::FailedOver, told(wish.lead, lead, decision)),
        (None, Halt::Refused) => line(EventKind::SwitchGivenUp, not_followed(lead.master.other())),
        (None, _) => line(EventKind::Switched, as_asked(wish.lead, lead)),
    };
    let loss = decision.and_then(|decision| decision.loss);
    let loss = loss.map(|loss| line(EventKind::LostWrites, loss));
    let known = loaded.instance.role.lead.epoch;
    let lines: Vec<_> = std::iter::once(event).chain(loss).collect();
    let gap = if planned { None } else { gap(world, &loaded.instance, wish.lead, lead) };
    let decided = write(world, loaded.away, known, lead, &lines, gap.as_ref());
    match Step::TakeOver.run(decided).await {
        Ok(true) => gap.into_iter().for_each(|gap| loaded.observe(world, gap)),
        Ok(false) => return Ok(false),
        Err(Failure::Store(StoreError::Unavailable { detail })) if !planned => {
            tracing::warn!(instance.id = %id, detail, "a decision is written to the store later");
            loaded.away = true;
            world.memory.write_all_later(lines, Some(lead));
        }
        Err(failure) => return Err(failure),
    }
    if !planned {
        world.memory.failed_over(&id, Instant::now());
    }
    adopt(world, loaded, lead);
    tracing::warn!(instance.id = %id, master = %lead.master, epoch = lead.epoch, planned,
        "another master");
    Ok(true)
}

/// Remembers a decision that was found beside the data. False if the store knows a later one.
pub(super) async fn acknowledge(
    world: &World,
    loaded: &mut Loaded,
    lead: Lead,
) -> Result<bool, Failure> {
    let (id, known) = (loaded.instance.id.clone(), loaded.instance.role.lead.epoch);
    if !loaded.away {
        let mut lines = world.memory.take_unwritten(&id, known);
        let detail = format!("{} is the master since decision {}", lead.master, lead.epoch);
        let at = world.clock.now();
        lines.push(Event { instance: id, at, kind: EventKind::RoleFound, detail });
        let written = Step::TakeOver.run(write(world, false, known, lead, &lines, None)).await;
        if !matches!(written, Ok(true)) {
            lines.pop();
            world.memory.write_all_later(lines, Some(lead));
        }
        if loaded.unless_away(written)? == Some(false) {
            return Ok(false);
        }
    }
    adopt(world, loaded, lead);
    Ok(true)
}

async fn write(
    world: &World,
    away: bool,
    known: i64,
    lead: Lead,
    lines: &[Event],
    gap: Option<&Observed>,
) -> Result<bool, Failure> {
    let unavailable = |detail: &str| StoreError::Unavailable { detail: detail.into() };
    if away {
        return Err(unavailable("it was away just now").into());
    }
    let (lines, gap) = (lines.to_vec(), gap.cloned());
    let write = world.store.write(move |tx| {
        let Some((first, others)) = lines.split_first() else { return Ok(false) };
        let done = tx.take_over(&first.instance, known, lead, first)?;
        if done {
            others.iter().try_for_each(|line| tx.append_event(line))?;
            gap.iter().try_for_each(|gap| tx.record_observed(&first.instance, gap).map(drop))?;
        }
        Ok::<_, StoreError>(done)
    });
    let written = tokio::time::timeout(world.settings.store_patience, write).await;
    Ok(written.unwrap_or_else(|_| Err(unavailable("it does not answer in time")))?)
}

fn adopt(world: &World, loaded: &mut Loaded, lead: Lead) {
    let role = std::mem::take(&mut loaded.instance.role).decided(lead);
    world.memory.keep_role(&loaded.instance.id, &role);
    world.memory.reigns_anew(&loaded.instance.id);
    loaded.instance.role = role;
    loaded.unit.lead = lead;
}

/// What an instance is from the decision on until its new master lets the tenant in.
fn gap(world: &World, instance: &Instance, before: Lead, lead: Lead) -> Option<Observed> {
    let reason = format!("{} ended; {} takes over", before.master, lead.master);
    let was_served = instance.intent == Intent::Run && instance.observed.phase == Phase::Normal;
    was_served.then(|| observed(world, instance, instance.observed.phase.clone().failing(reason)))
}

/// Whether it was served before it was found without a master.
fn served_lately(instance: &Instance) -> bool {
    matches!(instance.observed.phase, Phase::Normal | Phase::Unavailable { .. })
}

fn told(before: Lead, lead: Lead, decision: &Decision) -> String {
    let (former, master, reason) = (before.master, lead.master, &decision.reason);
    format!("{former} ended; {master} is the master since decision {}: {reason}", lead.epoch)
}
