//! `ourkv audit`: who called what, and how it ended.

use std::num::NonZeroU32;

use clap::Args;
use jiff::Timestamp;
use ourkv_domain::audit::AuditLine;
use ourkv_domain::ids::{AccessKeyId, AccountId};
use ourkv_store::Tx;
use serde::Serialize;

use super::Context;

/// Show the latest calls, oldest first, with secrets masked
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// How many
    #[arg(long, short = 'n', default_value = "20", value_name = "N")]
    lines: NonZeroU32,
    /// Only those with this text in request id, action, account, key or parameters
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
}

#[derive(Serialize)]
struct Row {
    at: Timestamp,
    request_id: String,
    action: String,
    status: u16,
    code: Option<String>,
    account: Option<AccountId>,
    access_key: Option<AccessKeyId>,
    source: String,
    parameters: String,
}

impl Audit {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let opened = context.open().await?;
        let limit = i64::from(self.lines.get());
        let read = move |tx: &mut Tx<'_>| anyhow::Ok(tx.audit_lines(limit, self.grep.as_deref())?);
        let mut lines = opened.store.read(read).await?;
        lines.sort_by_key(|line| line.at);
        context.output.list(&lines.into_iter().map(Row::of).collect::<Vec<_>>())
    }
}

impl Row {
    fn of(line: AuditLine) -> Self {
        Self {
            at: line.at,
            request_id: line.request_id,
            action: line.action,
            status: line.status,
            code: line.code,
            account: line.account,
            access_key: line.access_key,
            source: line.source,
            parameters: line.parameters,
        }
    }
}
