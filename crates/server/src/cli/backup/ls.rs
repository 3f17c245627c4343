//! `ourkv backup ls`: what is kept, and which of it was proven.

use clap::Args;
use ourkv_domain::ids::InstanceId;
use ourkv_store::StoreError;

use super::row::Row;
use crate::cli::Context;

/// List backups, the newest first, with the time when each was last proven by loading it
#[derive(Debug, Args)]
pub(in crate::cli) struct Ls {
    /// Only those of this instance, which may be gone
    instance: Option<InstanceId>,
}

impl Ls {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let opened = context.open().await?;
        let read = opened.store.read(move |tx| tx.all_backups(self.instance.as_ref()));
        let backups = read.await.map_err(|error: StoreError| error)?;
        context.output.list(&backups.into_iter().map(Row::of).collect::<Vec<_>>())
    }
}
