//! Not waiting for an engine where there is nothing to wait for any more.

use tokio::sync::Notify;

use super::World;
use super::observe::observe;
use super::plan::serves;
use super::stage::Stage;
use super::wish::Wish;
use crate::substrate::Unit;

/// What a stage that waits for an engine came to; `None` where there is nothing to wait for: the
/// master is gone meanwhile, or is found to hang.
pub(super) async fn unless_masterless<T>(
    world: &World,
    unit: &Unit,
    wish: &Wish,
    stage: &Stage,
    alarm: &Notify,
    done: impl Future<Output = T>,
) -> Option<T> {
    let mut done = std::pin::pin!(done);
    let master = wish.lead.master;
    let for_master = *stage == Stage::Start(master);
    let for_replica =
        wish.is_pair() && (*stage == Stage::Link || *stage == Stage::Start(master.other()));
    if !for_master && !for_replica {
        return Some(done.await);
    }
    loop {
        tokio::select! {
            done = &mut done => return Some(done),
            () = alarm.notified() => {
                let hangs = world.memory.hung(&unit.id) == Some(master);
                if hangs || for_replica && !still_serves(world, unit, wish).await {
                    return None;
                }
            }
        }
    }
}

async fn still_serves(world: &World, unit: &Unit, wish: &Wish) -> bool {
    observe(world, unit).await.map_or(true, |seen| serves(wish.lead, &seen))
}
