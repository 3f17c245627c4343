//! Forgetting an instance of which nothing is left.
//!
//! One transaction: the row, its addresses, its share of the zone, and its meter with the hour
//! that has begun. Done twice, it gives back nothing twice, because only whoever deletes the row
//! gives anything back. Orders, ledger and audit lines stay.

use jiff::Timestamp;
use ourkv_domain::instance::Instance;
use ourkv_store::{StoreError, Tx};

use super::World;
use super::report::Failure;
use super::step::Step;
use crate::jobs::metering;

/// Forgets an instance.
pub(super) async fn forget(world: &World, instance: &Instance) -> Result<(), Failure> {
    let (instance, now) = (instance.clone(), world.clock.now());
    let work = async {
        world.store.write(move |tx| erase(tx, &instance, now)).await.map_err(Failure::from)
    };
    Step::Forget.run(work).await
}

fn erase(tx: &mut Tx<'_>, instance: &Instance, now: Timestamp) -> Result<(), StoreError> {
    if tx.delete_instance(&instance.id)? {
        tx.release_addresses(&instance.id)?;
        tx.release_capacity(&instance.zone, instance.spec.capacity_mb)?;
        metering::close(tx, &instance.id, now)?;
    }
    Ok(())
}
