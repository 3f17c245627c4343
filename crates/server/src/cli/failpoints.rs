//! `ourkv failpoints`: the places where a test can break this program.

use clap::Args;
use ourkv_control::{backup, guard, reconciler};
use serde::Serialize;

use crate::gateway;

use super::Context;

/// List the failpoints; FAILPOINTS=name=return;… sets them
#[derive(Debug, Args)]
pub(super) struct Failpoints {}

#[derive(Serialize)]
struct Row {
    name: &'static str,
}

impl Failpoints {
    pub(super) fn run(context: &Context) -> anyhow::Result<()> {
        let steps = reconciler::failpoint_names().into_iter().chain(backup::failpoint_names());
        let steps = steps.chain(guard::failpoint_names());
        let rows: Vec<_> = steps.chain(gateway::FAILPOINTS).map(|name| Row { name }).collect();
        context.output.list(&rows)
    }
}
