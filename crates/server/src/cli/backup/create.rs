//! `ourkv backup create`: has a backup taken, as the owner's CreateBackup would.

use anyhow::Context as _;
use clap::Args;
use ourkv_domain::backup::{Backup, BackupJobId, BackupState};
use ourkv_domain::ids::InstanceId;
use ourkv_store::{StoreError, Tx};
use ourkv_wire::Params;
use serde_json::Value;

use super::row::Row;
use super::wait::{Look, until};
use crate::cli::{Context, act};

/// Take a backup of an instance; its engine goes on
#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// The instance
    instance: InstanceId,
    /// Wait until it is taken or has failed, and say how far it is
    #[arg(long)]
    wait: bool,
}

impl Create {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let opened = context.open().await?;
        let id = self.instance.clone();
        let found = opened.store.read(move |tx| anyhow::Ok(tx.instance(&id)?)).await?;
        let instance = found.with_context(|| {
            format!("there is no instance {}; `ourkv ls` shows all", self.instance)
        })?;
        let mut params = Params::new();
        params.insert("InstanceId", self.instance.to_string());
        let act = act::Act {
            action: "CreateBackup",
            params,
            account: instance.account,
            node: opened.node.clone(),
        };
        let answer = act.run(context, &opened).await?;
        let job = job(&answer).with_context(|| format!("CreateBackup answered {answer}"))?;
        act::say_if_unserved(&opened, &instance.node);

        let (id, wait) = (self.instance, self.wait);
        let look = move |tx: &mut Tx<'_>| -> Result<_, StoreError> {
            Ok(match tx.backup_of_job(&id, job)? {
                Some(backup) if !wait => Look::Done(backup),
                Some(backup) => progress(backup),
                None => Look::Failed("the backup was removed meanwhile".into()),
            })
        };
        let backup = until(&opened.store, look).await?;
        context.output.show(&Row::of(backup))
    }
}

/// The job in the answer, which is a text there.
fn job(answer: &Value) -> Option<BackupJobId> {
    answer.get("BackupJobID")?.as_str()?.parse().ok()
}

fn progress(backup: Backup) -> Look<Backup> {
    match &backup.state {
        BackupState::Success(_) => Look::Done(backup),
        BackupState::Failed { reason, .. } => {
            Look::Failed(format!("backup {} failed: {reason}", backup.id))
        }
        BackupState::Removing => Look::Failed(format!("backup {} is being removed", backup.id)),
        BackupState::Queued => Look::At(format!("{}: queued", backup.id)),
        BackupState::Running { stage, percent, .. } => {
            let stage = stage.to_string().to_lowercase();
            Look::At(format!("{}: {stage}, {percent} %", backup.id))
        }
    }
}
