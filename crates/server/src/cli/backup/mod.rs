//! `ourkv backup`: backups of every account, also of instances that are gone.

mod create;
mod ls;
mod restore;
mod rm;
mod row;
mod verify;
mod wait;

use clap::Subcommand;

use super::Context;

/// Take backups, prove them, bring them back
#[derive(Debug, Subcommand)]
pub(super) enum Backup {
    Ls(ls::Ls),
    Create(create::Create),
    Verify(verify::Verify),
    Restore(restore::Restore),
    Rm(rm::Rm),
}

impl Backup {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Ls(command) => command.run(context).await,
            Self::Create(command) => command.run(context).await,
            Self::Verify(command) => command.run(context).await,
            Self::Restore(command) => command.run(context).await,
            Self::Rm(command) => command.run(context).await,
        }
    }
}
