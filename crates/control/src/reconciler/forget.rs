//! Forgetting an instance of which nothing is left.
//!
//! One transaction: the row, its addresses, its share of the zone, and its meter where that still
//! runs. Done twice, it gives back nothing twice, because only whoever deletes the row
//! gives anything back. Orders, ledger and audit lines stay.

use jiff::Timestamp;
use ourkv_domain::instance::Instance;
use ourkv_store::{StoreError, Tx};

use super::World;
use super::report::Failure;
use super::step::Step;

/// Forgets an instance.
pub(super) async fn forget(world: &World, instance: &Instance) -> Result<(), Failure> {
    let (instance, now) = (instance.clone(), world.clock.now());
    let work = async {
        world.store.write(move |tx| erase(tx, &instance, now)).await.map_err(Failure::from)
    };
    Step::Forget.run(work).await
}

fn erase(tx: &mut Tx<'_>, instance: &Instance, now: Timestamp) -> Result<(), StoreError> {
    // Accounts are locked before instances, here as everywhere.
    tx.lock_account(&instance.account)?;
    if tx.delete_instance(&instance.id)? {
        tx.release_addresses(&instance.id)?;
        tx.release_capacity(&instance.zone, instance.spec.capacity_mb)?;
        tx.end_meter(&instance.id, now)?;
    }
    Ok(())
}
