//! The time by which something is over for good.
//!
//! It is steady time, or the time of day where that is earlier: a clock that is set ahead, by an
//! hour or by years, charges nothing, ends nothing and removes nothing. It is followed slowly and
//! across restarts, so after a machine was off for days what ends does so that much later.

use jiff::Timestamp;
use ourkv_domain::clock::{Clock, Steady};
use ourkv_domain::ids::NodeId;
use ourkv_store::{Store, StoreError};

/// What may count as now, remembered for the next time.
pub(super) async fn due(
    store: &Store,
    clock: &dyn Clock,
    node: &NodeId,
) -> Result<Timestamp, StoreError> {
    let (now, uptime, node) = (clock.now(), clock.uptime(), node.clone());
    store
        .write(move |tx| {
            let steady = match tx.steady(&node)? {
                Some(steady) => steady.after(now, &uptime),
                None => Steady::begin(now, &uptime),
            };
            tx.save_steady(&node, &steady)?;
            Ok(steady.due(now))
        })
        .await
}
