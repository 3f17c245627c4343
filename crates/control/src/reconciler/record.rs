//! Remembering what was seen. The store is written only where something changed.

use ourkv_domain::event::{Event, EventKind};
use ourkv_domain::instance::{Instance, Observed, Phase};

use super::World;
use super::report::Failure;
use super::step::Step;

/// Remembers the phase of an instance as part of `step`; says whether the instance was still
/// there and wanted as it was loaded.
pub(super) async fn record(
    world: &World,
    instance: &mut Instance,
    step: Step,
    phase: Phase,
) -> Result<bool, Failure> {
    let observed = observed(world, instance, phase);
    if observed == instance.observed {
        return Ok(true);
    }
    let (id, seen) = (instance.id.clone(), observed.clone());
    let work = async {
        world.store.write(move |tx| tx.record_observed(&id, &seen)).await.map_err(Failure::from)
    };
    let current = step.run(work).await?;
    announce(instance, &observed);
    instance.observed = observed;
    Ok(current)
}

/// Remembers that restored data are in force, after a login to them worked: the phase, the end of
/// the restore and its line in the journal at once. False if the restore was not pending any more.
pub(super) async fn restored(world: &World, instance: &mut Instance) -> Result<bool, Failure> {
    let Some(restore) = instance.restore.clone() else { return Ok(true) };
    let observed = observed(world, instance, instance.observed.phase.clone().answering());
    let (id, seen, serial) = (instance.id.clone(), observed.clone(), restore.serial);
    let detail = format!("restore {serial} from backup {}", restore.backup);
    let now = world.clock.now();
    let event = Event { instance: id, at: now, kind: EventKind::RestoreDone, detail };
    let write = world.store.write(move |tx| {
        let ended = tx.end_restore(&event.instance, serial, true)?;
        if ended {
            tx.record_observed(&event.instance, &seen)?;
            tx.append_event(&event)?;
        }
        Ok::<_, Failure>(ended)
    });
    let ended = Step::RecordRestored.run(write).await?;
    if ended {
        let took = now.duration_since(restore.requested_at).as_secs_f64().max(0.0);
        metrics::histogram!("ourkv_restore_seconds").record(took);
        tracing::info!(instance.id = %instance.id, backup.id = %restore.backup, "data restored");
        announce(instance, &observed);
        instance.observed = observed;
        instance.dataset = serial;
        instance.restore = None;
    }
    Ok(ended)
}

/// Remembers that a planned switch is done, after a login to the new master worked: the phase and
/// the end of the switch at once. False if the switch was not pending any more.
pub(super) async fn switched(world: &World, instance: &mut Instance) -> Result<bool, Failure> {
    let Some(switch) = instance.role.switch.clone() else { return Ok(true) };
    let observed = observed(world, instance, instance.observed.phase.clone().answering());
    let (id, seen) = (instance.id.clone(), observed.clone());
    let write = world.store.write(move |tx| {
        let ended = tx.end_switch(&id, switch.to, None)?;
        if ended {
            tx.record_observed(&id, &seen)?;
        }
        Ok::<_, Failure>(ended)
    });
    let ended = Step::RecordSwitched.run(write).await?;
    if ended {
        announce(instance, &observed);
        instance.observed = observed;
        instance.role.switch = None;
    }
    Ok(ended)
}

/// What an instance is seen to be from now on, or still.
pub(super) fn observed(world: &World, instance: &Instance, phase: Phase) -> Observed {
    let known = &instance.observed;
    let since = if known.phase == phase { known.since } else { world.clock.now() };
    Observed { phase, generation: instance.generation, since }
}

/// Tells log and metrics about a change of phase.
pub(super) fn announce(instance: &Instance, observed: &Observed) {
    let (before, after) = (&instance.observed.phase, &observed.phase);
    if let (Phase::Creating { .. }, Phase::Normal) = (before, after) {
        let took = observed.since.duration_since(instance.created_at).as_secs_f64();
        metrics::histogram!("ourkv_creation_seconds").record(took.max(0.0));
    }
    if before != after {
        tracing::info!(instance.id = %instance.id, ?before, ?after, "phase changed");
    }
}
