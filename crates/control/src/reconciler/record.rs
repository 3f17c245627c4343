//! Remembering what was seen. The store is written only where something changed.

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
    let known = &instance.observed;
    let since = if known.phase == phase { known.since } else { world.clock.now() };
    let observed = Observed { phase, generation: instance.generation, since };
    if observed == *known {
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

/// Tells log and metrics about a change of phase.
fn announce(instance: &Instance, observed: &Observed) {
    let (before, after) = (&instance.observed.phase, &observed.phase);
    if let (Phase::Creating { .. }, Phase::Normal) = (before, after) {
        let took = observed.since.duration_since(instance.created_at).as_secs_f64();
        metrics::histogram!("ourkv_creation_seconds").record(took.max(0.0));
    }
    if before != after {
        tracing::info!(instance.id = %instance.id, ?before, ?after, "phase changed");
    }
}
