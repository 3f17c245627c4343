//! What a pass does about a restore beside the stages: what it wishes for, how it ends.

use std::sync::Arc;

use jiff::SignedDuration;
use ourkv_domain::event::{Event, EventKind};
use ourkv_domain::instance::{Instance, Intent, Phase, Restore};

use super::World;
use super::gather::{Errand, Setback};
use super::load::Loaded;
use super::password::Passing;
use super::report::Failure;
use super::step::Step;
use super::wish::{Gathered, Halt, Pending, Verdict, Wish};
use crate::engine::redis_conf;
use crate::substrate::Seen;

/// How far a gathering is, and what went wrong with it.
type Stand = (Gathered, Option<Setback>);

/// What is wished for an instance. A clone whose data could not be gathered fails as a whole: it
/// has nothing else to do, and its owner sees why.
pub(super) fn wish(world: &World, loaded: &Loaded, stand: Stand) -> Result<Wish, Failure> {
    let instance = &loaded.instance;
    let restore = instance.restore.as_ref().map(|restore| pending(world, instance, restore, stand));
    Ok(Wish {
        intent: instance.intent,
        members: loaded.unit.members(),
        durable: redis_conf::keeps_data(&loaded.unit),
        restore: restore.transpose()?,
        last_backup: loaded.last_backup,
        lead: instance.role.lead,
        live: answered_before(instance),
        switch: instance.role.switch.as_ref().map(|wish| wish.to),
        hung: world.memory.hung(&instance.id),
        choice: None,
        halt: Halt::NotYet,
        password: Passing::of(loaded),
    })
}

/// How far the gathering of the data of a pending restore is, and what went wrong with it.
pub(super) fn stand(world: &World, instance: &Instance) -> Stand {
    match &instance.restore {
        Some(restore) => world.gatherings.stand(&instance.id, restore.serial),
        None => (Gathered::Idle, None),
    }
}

fn pending(
    world: &World,
    instance: &Instance,
    restore: &Restore,
    (gathered, setback): Stand,
) -> Result<Pending, Failure> {
    let (serial, live) = (restore.serial, answered_before(instance));
    let verdict = match setback {
        Some(Setback { reason, kind, .. }) if !live => {
            world.gatherings.take_setback(&instance.id);
            return Err(Failure::NotGathered { reason, kind });
        }
        Some(setback) if setback.is_final => Some(Verdict::Refused),
        Some(_) if is_overdue(world, restore) => Some(Verdict::Overdue),
        Some(_) | None => None,
    };
    Ok(Pending { serial, live, gathered, verdict })
}

/// Whether an instance answered before, and so has something to lose.
pub(super) fn answered_before(instance: &Instance) -> bool {
    !matches!(instance.observed.phase, Phase::Creating { .. })
}

/// Ends what is gathered for an instance, unless it is still wanted.
pub(super) async fn drop_unwanted(world: &World, instance: &Instance, seen: &Seen) {
    let wanted = instance.intent == Intent::Run
        && instance.restore.as_ref().is_some_and(|restore| restore.serial != seen.dataset);
    if !wanted {
        world.gatherings.end(&instance.id, world.settings.grace).await;
    }
}

/// Begins to gather the data of a pending restore.
pub(super) fn gather(world: &Arc<World>, loaded: &Loaded, seen: &Seen) {
    if let Some(restore) = &loaded.instance.restore {
        let staged = seen.staged == Some(restore.serial);
        let (unit, restore) = (loaded.unit.clone(), restore.clone());
        let live = answered_before(&loaded.instance);
        world.gatherings.begin(world, Errand { unit, restore, staged, live });
    }
}

/// Remembers that the old data stay, and tells why. False if that was decided elsewhere.
pub(super) async fn give_up(world: &World, instance: &mut Instance) -> Result<bool, Failure> {
    let Some(restore) = instance.restore.clone() else { return Ok(true) };
    let (_, setback) = stand(world, instance);
    let reason =
        setback.map_or_else(|| "the instance was stopped".into(), |setback| setback.reason);
    world.gatherings.end(&instance.id, world.settings.grace).await;
    let detail = format!("restore {} from backup {}: {reason}", restore.serial, restore.backup);
    let (kind, at) = (EventKind::RestoreGivenUp, world.clock.now());
    let event = Event { instance: instance.id.clone(), at, kind, detail };
    let work = async {
        let write = world.store.write(move |tx| {
            let ended = tx.end_restore(&event.instance, restore.serial, false)?;
            if ended {
                tx.append_event(&event)?;
            }
            Ok::<_, Failure>(ended)
        });
        write.await
    };
    let ended = Step::GiveUpRestore.run(work).await?;
    if ended {
        tracing::warn!(instance.id = %instance.id, backup.id = %restore.backup, reason,
            "a restore was given up; the old data stay");
        instance.restore = None;
    }
    Ok(ended)
}

fn is_overdue(world: &World, restore: &Restore) -> bool {
    let limit = SignedDuration::try_from(world.settings.restore_limit);
    let waited = world.clock.now().duration_since(restore.requested_at);
    limit.is_ok_and(|limit| waited >= limit)
}
