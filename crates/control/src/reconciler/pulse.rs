//! Asking engines for signs of life, and finding those that hang: a death is told by the kernel, a
//! hang by nobody.
//!
//! It decides nothing: whoever hangs is noted, and its instance is gone over.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use ourkv_domain::ids::InstanceId;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::World;
use super::apply::within;
use crate::substrate::{Member, Unit};

/// Engines that are waited for at once.
const AT_ONCE: usize = 64;
/// The first look at instances takes about that long, and before it there is nobody to be asked.
const FIRST_AFTER: Duration = Duration::from_millis(200);
/// The longest that one is asked after another. They are asked one after the other, as all that
/// are asked at once cost memory at once, and nothing is the earlier for it.
const APART: Duration = Duration::from_millis(10);

/// Asks until told to stop.
pub(super) async fn feel(world: Arc<World>, hung: mpsc::UnboundedSender<InstanceId>) {
    let every = world.settings.suspicion.every;
    let mut ticks = tokio::time::interval_at(Instant::now() + every.min(FIRST_AFTER), every);
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
        let apart = apart(every, members.len());
        let one_by_one = stream::iter(members).then(|member| async move {
            tokio::time::sleep(apart).await;
            member
        });
        let asked = one_by_one.for_each_concurrent(AT_ONCE, |(unit, member)| {
            let (world, hung) = (&world, &hung);
            async move { ask(world, &unit, member, hung).await }
        });
        tokio::select! {
            () = world.stop.cancelled() => return,
            () = asked => {}
        }
    }
}

/// All of them have their turn within half of a round.
fn apart(every: Duration, members: usize) -> Duration {
    let members = u32::try_from(members).unwrap_or(u32::MAX).max(1);
    (every / 2 / members).min(APART)
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
    if world.memory.felt(&unit.id, member, pulse, &world.settings.suspicion) {
        tracing::warn!(instance.id = %unit.id, %member, "an engine hangs");
        // A driver that ended goes over nothing any more.
        let _ = hung.send(unit.id.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_have_their_turn_in_time() {
        let every = Duration::from_secs(2);
        assert_eq!(apart(every, 0), APART);
        for members in [1, 7, 100, 10_000, 1_000_000] {
            let apart = apart(every, members);
            assert!(apart <= APART && apart * u32::try_from(members).unwrap() <= every / 2);
        }
    }
}
