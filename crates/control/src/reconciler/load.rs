//! What the store says about one instance.

use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::Instance;

use super::World;
use super::report::Failure;
use crate::substrate::Unit;

/// An instance and what its substrate is told about it.
pub(super) struct Loaded {
    pub(super) instance: Instance,
    pub(super) unit: Unit,
}

/// Reads an instance; `None` when the store knows nothing of it.
pub(super) async fn load(world: &World, id: &InstanceId) -> Result<Option<Loaded>, Failure> {
    let key = id.clone();
    let read = world
        .store
        .read(move |tx| {
            let Some(instance) = tx.instance(&key)? else {
                return Ok(None);
            };
            Ok::<_, Failure>(Some((instance, tx.secrets(&key)?)))
        })
        .await?;
    match read {
        None => Ok(None),
        Some((_, None)) => Err(Failure::NoSecrets),
        Some((instance, Some(secrets))) => {
            let unit = Unit::new(&instance, secrets);
            Ok(Some(Loaded { instance, unit }))
        }
    }
}
