//! Removing one backup: first the object, then the row, so that no object is ever left that
//! nobody knows of. One that a restore wants is left until that restore is over.

use ourkv_domain::backup::{Backup, BackupState};
use ourkv_domain::event::{Event, EventKind};

use super::{Failure, Step, World};
use crate::substrate::Trouble;

/// Removes one backup. [`Failure::NotYet`] where that has to wait.
pub(super) async fn remove(world: &World, backup: &Backup) -> Result<(), Failure> {
    let id = backup.id;
    if world.store.read(move |tx| tx.backup_in_use(id)).await? {
        return Err(Failure::NotYet("a restore uses it".into()));
    }
    Step::Remove.run(async { world.archive.discard(backup).await.map_err(Trouble::from) }).await?;
    Step::Forget.run(forget(world, backup)).await?;
    tracing::info!(instance.id = %backup.instance, backup.id = %id, "backup removed");
    Ok(())
}

async fn forget(world: &World, backup: &Backup) -> Result<(), Failure> {
    let (row, at) = (backup.clone(), world.clock.now());
    world
        .store
        .write(move |tx| {
            let current = tx.lock_backup(row.id)?;
            if current.is_some_and(|backup| backup.state == BackupState::Removing)
                && tx.forget_backup(row.id)?
            {
                let (instance, kind) = (row.instance.clone(), EventKind::BackupRemoved);
                tx.append_event(&Event { instance, at, kind, detail: row.id.to_string() })?;
            }
            Ok(())
        })
        .await
}
