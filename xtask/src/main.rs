//! The project's own checks, run as `cargo xtask NAME`.
//!
//! - `check-layers`: who may know whom among crates and folders, and file sizes.
//! - `check-dependencies`: licences, sources and doubles of everything that is linked.
//!
//! Both read the workspace and change nothing. Each finding is one line; any finding
//! makes the command fail.

mod dependencies;
mod layers;
mod source;
mod workspace;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use workspace::Workspace;

fn main() -> Result<ExitCode> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let findings = match name.as_str() {
        "check-layers" => layers::check(&Workspace::read()?)?,
        "check-dependencies" => dependencies::check(&Workspace::read()?),
        other => bail!("no task '{other}': there is check-layers and check-dependencies"),
    };
    report(&name, &findings)
}

fn report(name: &str, findings: &[String]) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    for finding in findings {
        writeln!(out, "{name}: {finding}")?;
    }
    if findings.is_empty() {
        writeln!(out, "{name}: ok")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
