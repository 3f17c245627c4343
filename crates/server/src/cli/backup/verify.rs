//! `ourkv backup verify`: has a backup proven once more.

use anyhow::bail;
use clap::Args;
use ourkv_domain::backup::{Backup, BackupId, BackupState};
use ourkv_store::{StoreError, Tx};

use super::row::Row;
use super::wait::{Look, until};
use crate::cli::{Context, act};

/// Prove a backup by loading it into an engine that serves nobody, and wait for the outcome
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The backup
    backup: BackupId,
}

impl Verify {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        if !context.config.backup.prove {
            bail!("backup.prove is off: the server loads no backup");
        }
        let opened = context.open().await?;
        let id = self.backup;
        let asked = opened.store.write(move |tx| ask(tx, id)).await?;
        act::say_if_unserved(&opened, &asked.node);
        let look = move |tx: &mut Tx<'_>| -> Result<_, StoreError> {
            let found = tx.backup(id)?;
            Ok(found.map_or_else(|| Look::Failed(format!("backup {id} was removed")), outcome))
        };
        let proven = until(&opened.store, look).await?;
        context.output.show(&Row::of(proven))
    }
}

/// Forgets the last proof, so that another one is due.
fn ask(tx: &mut Tx<'_>, id: BackupId) -> anyhow::Result<Backup> {
    let Some(backup) = tx.lock_backup(id)? else {
        bail!("there is no backup {id}; `ourkv backup ls` shows all");
    };
    if !tx.ask_backup_proof(id)? {
        bail!("backup {id} did not succeed, or is being removed: there is nothing to prove");
    }
    Ok(backup)
}

fn outcome(backup: Backup) -> Look<Backup> {
    let id = backup.id;
    match &backup.state {
        BackupState::Success(_) if backup.verified_at.is_some() => Look::Done(backup),
        BackupState::Success(_) => Look::At(match &backup.trial_note {
            Some(note) => format!("{id}: {note}"),
            None => format!("{id}: waits for its turn"),
        }),
        BackupState::Failed { reason, .. } => Look::Failed(format!("backup {id}: {reason}")),
        BackupState::Queued | BackupState::Running { .. } | BackupState::Removing => {
            Look::Failed(format!("backup {id} is being removed"))
        }
    }
}
