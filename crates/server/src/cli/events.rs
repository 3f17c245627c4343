//! `ourkv events`: the journal of an instance.

use std::num::NonZeroU32;

use clap::Args;
use jiff::Timestamp;
use ourkv_domain::event::Event;
use ourkv_domain::ids::InstanceId;
use ourkv_store::StoreError;
use serde::Serialize;

use super::Context;

/// Show what was decided about an instance and why, oldest first; it may be gone
#[derive(Debug, Args)]
pub(super) struct Events {
    /// The instance
    instance: InstanceId,
    /// How many of the latest
    #[arg(long, short = 'n', default_value = "50", value_name = "N")]
    lines: NonZeroU32,
}

#[derive(Serialize)]
struct Row {
    at: Timestamp,
    event: String,
    detail: String,
}

impl Events {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let opened = context.open().await?;
        let limit = i64::from(self.lines.get());
        let read = opened.store.read(move |tx| tx.events(&self.instance, limit));
        let events: Result<Vec<Event>, StoreError> = read.await;
        let rows: Vec<_> = events?.into_iter().rev().map(Row::of).collect();
        context.output.list(&rows)
    }
}

impl Row {
    fn of(event: Event) -> Self {
        Self { at: event.at, event: event.kind.to_string(), detail: event.detail }
    }
}
