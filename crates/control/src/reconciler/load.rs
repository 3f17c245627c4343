//! What the store says about one instance.

use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Instance, Intent};

use super::World;
use super::report::Failure;
use crate::substrate::Unit;

/// An instance and what its substrate is told about it.
pub(super) struct Loaded {
    pub(super) instance: Instance,
    pub(super) unit: Unit,
    /// It is to be deleted, and its last backup is not finished.
    pub(super) last_backup: bool,
    /// Something of no use could not be removed in this pass.
    pub(super) untidy: bool,
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
            let deleted = instance.intent == Intent::Delete;
            let last_backup = deleted && tx.final_backup_pending(&key)?;
            Ok::<_, Failure>(Some((instance, tx.secrets(&key)?, last_backup)))
        })
        .await?;
    match read {
        None => Ok(None),
        Some((_, None, _)) => Err(Failure::NoSecrets),
        Some((instance, Some(secrets), last_backup)) => {
            let unit = Unit::new(&instance, secrets);
            Ok(Some(Loaded { instance, unit, last_backup, untidy: false }))
        }
    }
}
