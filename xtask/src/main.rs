//! The project's own checks, run as `cargo xtask NAME`.
//!
//! - `check-layers`: who may know whom among crates and folders, and file sizes.
//! - `check-dependencies`: licences, sources and doubles of everything that is linked.
//! - `fuzz-seeds DIRECTORY`: writes what `make fuzz` begins with.
//!
//! The checks read the workspace and change nothing. Each finding is one line; any finding
//! makes the command fail.

mod dependencies;
mod layers;
mod seeds;
mod source;
mod workspace;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use workspace::Workspace;

fn main() -> Result<ExitCode> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let findings = match name.as_str() {
        "check-layers" => layers::check(&Workspace::read()?)?,
        "check-dependencies" => dependencies::check(&Workspace::read()?),
        "fuzz-seeds" => return fuzz_seeds(),
        other => {
            bail!("no task '{other}': there is check-layers, check-dependencies and fuzz-seeds")
        }
    };
    report(&name, &findings)
}

fn fuzz_seeds() -> Result<ExitCode> {
    let into: PathBuf = std::env::args_os().nth(2).context("fuzz-seeds DIRECTORY")?.into();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has a parent")?;
    let count = seeds::write(root, &into)?;
    writeln!(io::stdout().lock(), "fuzz-seeds: {count} in {}", into.display())?;
    Ok(ExitCode::SUCCESS)
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
