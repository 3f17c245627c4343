//! What the store says about one instance, or said last where it is away.

use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Instance, Intent, Observed, Secrets};
use ourkv_store::StoreError;

use super::World;
use super::elect::Decision;
use super::record::announce;
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
    /// The store does not answer: what is known of it is what was read before, and what is to be
    /// written has to wait.
    pub(super) away: bool,
    /// What the election of this pass came to.
    pub(super) decision: Option<Decision>,
    /// What was not done, while everything else went on.
    pub(super) setback: Option<Failure>,
}

impl Loaded {
    /// It is remembered to be this from now on.
    pub(super) fn observe(&mut self, world: &World, observed: Observed) {
        announce(&self.instance, &observed);
        world.memory.keep_observed(&self.instance.id, &observed);
        self.instance.observed = observed;
    }

    /// What came of a write; `None` where the store does not answer, which holds from now on.
    pub(super) fn unless_away<T>(
        &mut self,
        written: Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        match written {
            Err(Failure::Store(StoreError::Unavailable { .. })) => {
                self.away = true;
                Ok(None)
            }
            written => written.map(Some),
        }
    }
}

/// An instance, its secrets, and whether a last backup of it is to be waited for.
type Read = Option<(Instance, Option<Secrets>, bool)>;

/// Reads an instance; `None` when the store knows nothing of it.
pub(super) async fn load(world: &World, id: &InstanceId) -> Result<Option<Loaded>, Failure> {
    let loaded = |instance: Instance, secrets, last_backup, away| {
        let unit = Unit::new(&instance, secrets);
        Some(Loaded {
            instance,
            unit,
            last_backup,
            untidy: false,
            away,
            decision: None,
            setback: None,
        })
    };
    match read(world, id).await {
        Ok(None) => {
            world.memory.drop(id);
            Ok(None)
        }
        Ok(Some((_, None, _))) => Err(Failure::NoSecrets),
        Ok(Some((instance, Some(secrets), last_backup))) => {
            world.memory.keep(&instance, &secrets);
            Ok(loaded(instance, secrets, last_backup, false))
        }
        Err(StoreError::Unavailable { detail }) => match world.memory.recall(id) {
            Some((instance, secrets)) => {
                tracing::warn!(instance.id = %id, detail, "it is looked after without the store");
                Ok(loaded(instance, secrets, false, true))
            }
            None => Err(StoreError::Unavailable { detail }.into()),
        },
        Err(error) => Err(error.into()),
    }
}

async fn read(world: &World, id: &InstanceId) -> Result<Read, StoreError> {
    let key = id.clone();
    let read = world.store.read(move |tx| {
        let Some(instance) = tx.instance(&key)? else {
            return Ok(None);
        };
        let deleted = instance.intent == Intent::Delete;
        let last_backup = deleted && tx.final_backup_pending(&key)?;
        Ok(Some((instance, tx.secrets(&key)?, last_backup)))
    });
    let patience = world.settings.store_patience;
    tokio::time::timeout(patience, read).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable { detail: "it does not answer in time".into() })
    })
}
