//! What a planned exchange of roles asks for, beside the stages that are one call to the substrate:
//! that no write is under way, and that its end is remembered. It is decided as a failover is.

use std::collections::BTreeMap;
use std::time::Duration;

use ourkv_domain::event::EventKind;
use tokio::time::Instant;

use super::World;
use super::journal::event;
use super::load::Loaded;
use super::record::switched;
use super::report::Failure;
use super::step::Step;
use super::vigil::still_acts;
use super::wish::{Halt, Wish};
use crate::substrate::{Lead, Link, Member, Replication, Standing, Trouble, Unit};

/// For how long clients that want to write may be made to wait. They go on sooner, unless this
/// process ends meanwhile.
const PAUSE: Duration = Duration::from_secs(5);
/// How often a replica is asked whether it has everything.
const ASKED_EVERY: Duration = Duration::from_millis(2);

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

/// Remembers that a planned switch is done; later, where the store is away. False if it was not
/// pending any more.
pub(super) async fn end_switch(
    world: &World,
    loaded: &mut Loaded,
    steps: &mut Vec<Step>,
) -> Result<bool, Failure> {
    if loaded.away {
        return Ok(true);
    }
    let ended = switched(world, &mut loaded.instance).await;
    let Some(current) = loaded.unless_away(ended)? else {
        return Ok(true);
    };
    steps.push(Step::RecordSwitched);
    world.memory.keep_role(&loaded.instance.id, &loaded.instance.role);
    world.memory.keep_observed(&loaded.instance.id, &loaded.instance.observed);
    Ok(current)
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
    // A switch that is decided stays decided, whoever sees its end.
    let is_decided = switch.to == loaded.instance.role.lead.master;
    let write = async {
        let write = world.store.write(move |tx| {
            let line = Some(&event).filter(|_| !is_decided);
            tx.end_switch(&event.instance, switch.to, line)
        });
        write.await.map_err(Failure::from)
    };
    let ended = Step::GiveUpSwitch.run(write).await?;
    if ended {
        tracing::warn!(instance.id = %loaded.instance.id, is_decided, "a planned switch was given up");
        loaded.instance.role.switch = None;
        world.memory.keep_role(&loaded.instance.id, &loaded.instance.role);
    }
    Ok(ended)
}

fn has_all(standings: &BTreeMap<Member, Standing>, from: Member) -> bool {
    let of = |member| standings.get(&member).and_then(|standing| standing.replication.as_ref());
    let follows = |next: &Replication, former: &Replication| {
        // A former master that was asked first has pinged its replica since.
        next.link == Link::Up && next.offset >= former.offset && next.history == former.history
    };
    of(from.other()).zip(of(from)).is_some_and(|(next, former)| follows(next, former))
}

pub(super) fn as_asked(before: Lead, lead: Lead) -> String {
    let (former, master, epoch) = (before.master, lead.master, lead.epoch);
    format!(
        "as asked for, {master} is the master since decision {epoch}, with all that {former} had"
    )
}

pub(super) fn not_followed(member: Member) -> String {
    format!("{member} did not catch up with what was written in time")
}
