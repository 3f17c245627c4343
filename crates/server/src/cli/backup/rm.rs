//! `ourkv backup rm`: gives a backup up before its time.

use anyhow::bail;
use clap::Args;
use ourkv_domain::backup::{BackupId, BackupState};
use ourkv_domain::instance::Intent;
use ourkv_store::Tx;

use crate::cli::{Context, act, output};

/// Remove a backup, also the last good one of an instance
#[derive(Debug, Args)]
pub(in crate::cli) struct Rm {
    /// The backup
    backup: BackupId,
}

impl Rm {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let opened = context.open().await?;
        let (node, last) = opened.store.write(move |tx| remove(tx, self.backup)).await?;
        if let Some(instance) = last {
            output::say(&format!("{instance} has no good backup any more"));
        }
        act::say_if_unserved(&opened, &node);
        Ok(())
    }
}

/// Marks it; the server of its node removes the file. Returns that node, and the instance if it
/// lives and is left without a good backup.
fn remove(
    tx: &mut Tx<'_>,
    id: BackupId,
) -> anyhow::Result<(ourkv_domain::ids::NodeId, Option<ourkv_domain::ids::InstanceId>)> {
    let Some(backup) = tx.lock_backup(id)? else {
        bail!("there is no backup {id}; `ourkv backup ls` shows all");
    };
    if tx.backup_in_use(id)? {
        bail!("backup {id} is being restored; try again when that is over");
    }
    match backup.state {
        BackupState::Queued | BackupState::Running { .. } => {
            bail!("backup {id} is being taken; try again when that is over")
        }
        BackupState::Removing => return Ok((backup.node, None)),
        BackupState::Success(_) | BackupState::Failed { .. } => {}
    }
    tx.set_backup_state(id, &BackupState::Removing)?;
    let lives = tx.instance(&backup.instance)?.is_some_and(|i| i.intent != Intent::Delete);
    let good = |left: &ourkv_domain::backup::Backup| left.state.taken().is_some();
    let bare = lives
        && backup.state.taken().is_some()
        && !tx.all_backups(Some(&backup.instance))?.iter().any(good);
    Ok((backup.node, bare.then_some(backup.instance)))
}
