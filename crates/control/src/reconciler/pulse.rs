//! Asking engines for signs of life, and finding those that hang: a death is told by the kernel, a
//! hang by nobody.
//!
//! It decides nothing: whoever hangs is noted, and its instance is gone over.

use std::sync::Arc;

use futures::{StreamExt, stream};
use ourkv_domain::ids::InstanceId;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::World;
use super::apply::within;
use crate::substrate::{Member, Unit};

/// Engines that are asked at once.
const AT_ONCE: usize = 64;

/// Asks until told to stop.
pub(super) async fn feel(world: Arc<World>, hung: mpsc::UnboundedSender<InstanceId>) {
    let mut ticks = tokio::time::interval(world.settings.suspicion.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = world.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let mut members: Vec<(Arc<Unit>, Member)> = Vec::new();
        for unit in world.memory.to_be_asked().into_iter().map(Arc::new) {
            members.extend(unit.members().iter().map(|member| (Arc::clone(&unit), *member)));
        }
        let asked = stream::iter(members).for_each_concurrent(AT_ONCE, |(unit, member)| {
            let (world, hung) = (&world, &hung);
            async move { ask(world, &unit, member, hung).await }
        });
        tokio::select! {
            () = world.stop.cancelled() => return,
            () = asked => {}
        }
    }
}

async fn ask(world: &World, unit: &Unit, member: Member, hung: &mpsc::UnboundedSender<InstanceId>) {
    let asking = world.substrate.pulse(unit, member);
    let pulse = match within(world.settings.suspicion.window, "feeling the pulse", asking).await {
        Ok(pulse) => pulse,
        // That is no answer of the engine, and no silence either.
        Err(error) => {
            tracing::debug!(instance.id = %unit.id, %member, %error, "an engine can't be asked");
            return;
        }
    };
    if world.memory.felt(&unit.id, member, pulse, &world.settings.suspicion, Instant::now()) {
        tracing::warn!(instance.id = %unit.id, %member, "an engine hangs");
        // A driver that ended goes over nothing any more.
        let _ = hung.send(unit.id.clone());
    }
}
