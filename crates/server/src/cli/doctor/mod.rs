//! `ourkv doctor`: what is wrong with this machine or data directory, and what to do about it.
//!
//! It changes nothing, but for `--rebuild`. A problem makes the exit code 1; a warning does not.

mod backups;
mod confinement;
mod directory;
mod machine;
mod manifests;
mod network;
mod rebuild;

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use strum::Display;

use super::Context;

/// Check the machine and the data directory, and say what to do
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Make a lost or damaged store anew, of the manifests beside the data of instances; the server
    /// must be stopped, engines go on. What was there is moved aside
    #[arg(long)]
    rebuild: bool,
    /// Do so also where a good store is
    #[arg(long, requires = "rebuild")]
    anew: bool,
}

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    found: String,
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, Serialize)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// Something will not work that not everyone needs.
    Warning,
    /// Something will not work.
    Problem,
}

impl Doctor {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if self.rebuild {
            return rebuild::run(context, self.anew).await;
        }
        let mut findings = directory::check(context).await;
        findings.extend(manifests::check(context).await);
        findings.extend(machine::check(&context.config).await);
        findings.extend(confinement::check(&context.config.engines));
        findings.extend(network::check(context).await);
        findings.extend(backups::check(context).await);
        context.output.list(&findings)?;
        let sound = findings.iter().all(|finding| finding.state != State::Problem);
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), advice: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { check, state: State::Warning, found: found.into(), advice }
    }

    fn problem(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { check, state: State::Problem, found: found.into(), advice }
    }
}
