//! Doing what the roles of a pair ask for, beside the stages that are one call to the substrate.
//!
//! Every decision is remembered in the store, by a compare-and-set that has its line in the journal
//! with it, before anything is done about it. Where the store is away, an unplanned decision is
//! written down beside the data alone, and acknowledged in the store as soon as that is back; a
//! planned one is not made.

use std::time::Duration;

use jiff::Timestamp;
use ourkv_domain::event::{Event, EventKind};
use ourkv_domain::instance::{Instance, Phase, Role};
use ourkv_store::StoreError;
use tokio::time::Instant;

use super::World;
use super::apply::one;
use super::elect::{Choice, Decision, Scene, elect};
use super::load::Loaded;
use super::plan::{Halt, Wish};
use super::report::Failure;
use super::step::Step;
use super::vigil::still_acts;
use crate::substrate::{Lead, Link, Member, Replication, Standing, Trouble, Unit};

/// For how long clients that want to write may be made to wait. They go on sooner, unless this
/// process ends meanwhile.
const PAUSE: Duration = Duration::from_secs(5);
/// How often a replica is asked whether it has everything.
const ASKED_EVERY: Duration = Duration::from_millis(2);

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
        (None, _) => line(EventKind::Switched, switched(wish.lead, lead)),
    };
    let loss = decision.and_then(|decision| decision.loss);
    let loss = loss.map(|loss| line(EventKind::LostWrites, loss));
    let known = loaded.instance.role.lead.epoch;
    let lines: Vec<_> = std::iter::once(event).chain(loss).collect();
    let written = Step::TakeOver.run(write(world, loaded.away, known, lead, &lines)).await;
    match written {
        Ok(true) => {}
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
        let written = Step::TakeOver.run(write(world, false, known, lead, &lines)).await;
        if !matches!(written, Ok(true)) {
            lines.pop();
            world.memory.write_all_later(lines, Some(lead));
        }
        match written {
            Err(Failure::Store(StoreError::Unavailable { .. })) => loaded.away = true,
            Ok(false) => return Ok(false),
            Ok(true) => {}
            Err(failure) => return Err(failure),
        }
    }
    adopt(world, loaded, lead);
    Ok(true)
}

/// Has the other engine get everything that was written at `from`, and nobody write any more.
pub(super) async fn halt(
    world: &World,
    unit: &Unit,
    from: Member,
    steps: &mut Vec<Step>,
) -> Result<Halt, Failure> {
    let substrate = &world.substrate;
    let caught_up = async {
        still_acts(world).await?;
        substrate.pause_writes(unit, from, PAUSE).await?;
        let until = Instant::now() + world.settings.catch_up;
        loop {
            if has_all(&substrate.standing(unit).await?, from) {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(ASKED_EVERY).await;
        }
    };
    let caught_up: Result<bool, Trouble> = Step::Halt.run(caught_up).await;
    steps.push(Step::Halt);
    if !matches!(caught_up, Ok(true)) {
        // The pause ends by itself where this fails.
        let _ = substrate.resume_writes(unit, from).await;
    }
    Ok(if caught_up? { Halt::Done } else { Halt::Refused })
}

/// Remembers that the roles stay what they are. False if that was decided elsewhere.
pub(super) async fn give_up_switch(
    world: &World,
    loaded: &mut Loaded,
    wish: &Wish,
) -> Result<bool, Failure> {
    let Some(switch) = loaded.instance.role.switch.clone() else { return Ok(true) };
    let detail = not_followed(switch.to);
    let detail =
        if wish.halt == Halt::Refused { detail } else { format!("{} can't take over", switch.to) };
    let event = event(&loaded.instance, world.clock.now(), EventKind::SwitchGivenUp, detail);
    let write = async {
        let write = world.store.write(move |tx| tx.end_switch(&event.instance, switch.to, &event));
        write.await.map_err(Failure::from)
    };
    let ended = Step::GiveUpSwitch.run(write).await?;
    if ended {
        tracing::warn!(instance.id = %loaded.instance.id, "a planned switch was given up");
        loaded.instance.role.switch = None;
        world.memory.keep_lead(&loaded.instance.id, loaded.instance.role.lead);
    }
    Ok(ended)
}

/// Writes a line into the journal; later, where the store is away.
pub(super) async fn journal(
    world: &World,
    loaded: &mut Loaded,
    kind: EventKind,
    detail: String,
    steps: &mut Vec<Step>,
) -> Result<(), Failure> {
    tracing::warn!(instance.id = %loaded.instance.id, %kind, detail, "journal");
    let event = event(&loaded.instance, world.clock.now(), kind, detail);
    if loaded.away {
        world.memory.write_later(event, None);
        return Ok(());
    }
    let line = event.clone();
    let write = async {
        let write = world.store.write(move |tx| tx.append_event(&line));
        write.await.map_err(Failure::from)
    };
    match Step::Journal.run(write).await {
        Err(Failure::Store(StoreError::Unavailable { .. })) => {
            loaded.away = true;
            world.memory.write_later(event, None);
        }
        written => written?,
    }
    steps.push(Step::Journal);
    Ok(())
}

/// Writes the lines that could not be written before.
pub(super) async fn catch_up_journal(world: &World, loaded: &Loaded) -> Result<(), Failure> {
    let id = &loaded.instance.id;
    let lines = world.memory.take_unwritten(id, loaded.instance.role.lead.epoch);
    if lines.is_empty() {
        return Ok(());
    }
    let kept = lines.clone();
    let written: Result<(), StoreError> =
        world.store.write(move |tx| lines.iter().try_for_each(|line| tx.append_event(line))).await;
    if written.is_err() {
        world.memory.write_all_later(kept, None);
    }
    Ok(written?)
}

async fn write(
    world: &World,
    away: bool,
    known: i64,
    lead: Lead,
    lines: &[Event],
) -> Result<bool, Failure> {
    let unavailable = |detail: &str| StoreError::Unavailable { detail: detail.into() };
    if away {
        return Err(unavailable("it was away just now").into());
    }
    let lines = lines.to_vec();
    let write = world.store.write(move |tx| {
        let Some((first, others)) = lines.split_first() else { return Ok(false) };
        let done = tx.take_over(&first.instance, known, lead, first)?;
        if done {
            others.iter().try_for_each(|line| tx.append_event(line))?;
        }
        Ok::<_, StoreError>(done)
    });
    let written = tokio::time::timeout(world.settings.store_patience, write).await;
    Ok(written.unwrap_or_else(|_| Err(unavailable("it does not answer in time")))?)
}

fn adopt(world: &World, loaded: &mut Loaded, lead: Lead) {
    loaded.instance.role = Role { lead, switch: None };
    loaded.unit.lead = lead;
    world.memory.keep_lead(&loaded.instance.id, lead);
}

fn has_all(standings: &std::collections::BTreeMap<Member, Standing>, from: Member) -> bool {
    let of = |member| standings.get(&member).and_then(|standing| standing.replication.as_ref());
    let follows = |next: &Replication, former: &Replication| {
        // A former master that was asked first has pinged its replica since.
        next.link == Link::Up && next.offset >= former.offset && next.history == former.history
    };
    of(from.other()).zip(of(from)).is_some_and(|(next, former)| follows(next, former))
}

/// Whether it was served before it was found without a master.
fn served_lately(instance: &Instance) -> bool {
    matches!(instance.observed.phase, Phase::Normal | Phase::Unavailable { .. })
}

fn event(instance: &Instance, at: Timestamp, kind: EventKind, detail: String) -> Event {
    Event { instance: instance.id.clone(), at, kind, detail }
}

fn told(before: Lead, lead: Lead, decision: &Decision) -> String {
    let (former, master, reason) = (before.master, lead.master, &decision.reason);
    format!("{former} ended; {master} is the master since decision {}: {reason}", lead.epoch)
}

fn switched(before: Lead, lead: Lead) -> String {
    let (former, master, epoch) = (before.master, lead.master, lead.epoch);
    format!(
        "as asked for, {master} is the master since decision {epoch}, with all that {former} had"
    )
}

fn not_followed(member: Member) -> String {
    format!("{member} did not catch up with what was written in time")
}
