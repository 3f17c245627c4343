//! Runs an action of the API in this process, beside the server, on behalf of the account that it
//! is about. What it writes is the same as if that account had called, and so is what it refuses;
//! the server finds it within a second.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use ourkv_domain::audit::{AuditLine, masked};
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::{AccessKeyId, AccountId, NodeId};
use ourkv_wire::Params;
use serde_json::Value;
use tokio::sync::watch;

use super::{Context, env, output};
use crate::actions::{self, Caller, Ctx, Failure};
use crate::opening::{Opened, ServeLock};
use crate::wiring;

/// Stands in the audit for a key: nobody signed.
const KEY: &str = "ourkv-cli";

/// An action to run.
pub(super) struct Act {
    /// Its name.
    pub(super) action: &'static str,
    /// What it is given.
    pub(super) params: Params,
    /// On whose behalf.
    pub(super) account: AccountId,
    /// The node that is to serve what it makes.
    pub(super) node: NodeId,
}

impl Act {
    /// Runs it, and returns its answer.
    pub(super) async fn run(self, context: &Context, opened: &Opened) -> anyhow::Result<Value> {
        let action = actions::find(self.action);
        let action = action.with_context(|| format!("there is no action {}", self.action))?;
        let now = opened.clock.now();
        let line = AuditLine {
            request_id: uuid::Uuid::new_v4().as_hyphenated().to_string().to_uppercase(),
            at: now,
            action: self.action.to_owned(),
            account: Some(self.account.clone()),
            access_key: None,
            source: "the command line".into(),
            parameters: masked(self.params.iter()),
            status: 200,
            code: None,
        };
        let (_, looked) = watch::channel(true);
        let links = env::endpoint(&context.config);
        // The server looks by itself for what others wrote.
        let nudge = Arc::new(|| {});
        let mut platform = wiring::platform(&context.config, opened, links, looked, nudge);
        platform.node = self.node;
        let caller = Caller { account: self.account, access_key: AccessKeyId::parse(KEY)? };
        let ctx = Ctx::new(platform, caller, now, line);
        match action.call(&ctx, &self.params).await {
            Ok(answer) => Ok(answer),
            Err(Failure::Fault(fault)) => bail!("{}: {}", fault.code, fault.message),
            Err(Failure::Unavailable(error) | Failure::Internal(error)) => Err(anyhow!(error)),
        }
    }
}

/// Says so where no server of this directory will do what was asked for.
pub(super) fn say_if_unserved(opened: &Opened, node: &NodeId) {
    if *node != opened.node {
        output::say(&format!("this is for node {node} to do"));
        return;
    }
    if !ServeLock::seems_taken(&opened.dir) {
        output::say("no server runs on this directory: it begins when `ourkv serve` does");
    }
}
