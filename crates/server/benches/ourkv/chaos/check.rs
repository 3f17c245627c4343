//! What is true whatever happened, and where the processes of a pair are.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::ground::until;
use crate::pong;
use crate::server::{Created, Server};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// The processes of a pair.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) master: Pid,
    pub(super) replica: Pid,
}

impl Pair {
    /// Finds them: exactly two, one of which answers at the address.
    pub(super) fn find(engines: &Path, of: &Created) -> anyhow::Result<Self> {
        // A busy machine may not answer one connection in time.
        let master = until("the master says who it is", PAUSE, || {
            Ok(pong::pid(of.address, Some(&of.login)).ok())
        })?;
        let master = pid(master)?;
        let found = processes(engines, &of.id)?;
        ensure!(found.len() == 2, "{} has {} processes", of.id, found.len());
        let replica = found.iter().find(|found| **found != master).copied();
        ensure!(found.contains(&master), "a stranger answers for {}", of.id);
        Ok(Self { master, replica: replica.context("both engines are one")? })
    }
}

/// The engines that run in an instance's directory.
pub(super) fn processes(engines: &Path, id: &str) -> anyhow::Result<Vec<Pid>> {
    let mut found: Vec<(Pid, Option<Pid>)> = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(home) = std::fs::read_link(entry.path().join("cwd")) else { continue };
        let Ok(below) = home.strip_prefix(engines) else { continue };
        // A child that saves, or gives a replica the data, runs there, too, and is called otherwise.
        let name = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let saves =
            ["rdb-bgsave", "rdb-to-slaves", "aof-rewrite"].iter().any(|child| name.contains(child));
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if below.to_string_lossy().starts_with(id) && !saves && !is_over(&stat) {
            found.push((pid(number)?, parent(&stat)));
        }
    }
    // It is called so a moment after it was made.
    let is_child = |of: &Option<Pid>| found.iter().any(|(pid, _)| Some(*pid) == *of);
    Ok(found.iter().filter(|(_, parent)| !is_child(parent)).map(|(pid, _)| *pid).collect())
}

/// Sends a signal to a process that may have ended already.
pub(super) fn signal(to: Pid, signal: Signal) -> anyhow::Result<()> {
    match kill_process(to, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns once the pair is whole: its clients are served, and the replica has what they write.
pub(super) fn wait_until_whole(of: &Created) -> anyhow::Result<()> {
    until(&format!("{} is whole", of.id), PAUSE, || {
        let copies = pong::connect(of.address, Some(&of.login)).and_then(|mut connection| {
            let () = redis::cmd("SET").arg("whole").arg("?").query(&mut connection)?;
            let copies: u32 = redis::cmd("WAIT").arg(&[1, 50]).query(&mut connection)?;
            Ok(copies)
        });
        Ok(copies.is_ok_and(|copies| copies == 1).then_some(()))
    })
}

/// Nothing is left of any instance: no directory, no process.
pub(super) fn nothing_is_left(server: &Server<'_>) -> anyhow::Result<()> {
    until("all instances are gone", PAUSE, || Ok((server.left()? == 0).then_some(())))?;
    let left = processes(&server.engines(), "")?;
    ensure!(left.is_empty(), "engines are left: {left:?}");
    Ok(())
}

/// The control plane never panicked.
pub(super) fn log_is_clean(log: &str) -> anyhow::Result<()> {
    match log.lines().find(|line| line.contains("panicked")) {
        Some(line) => bail!("the control plane panicked: {line}"),
        None => Ok(()),
    }
}

fn is_over(stat: &str) -> bool {
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('Z'));
    state.unwrap_or(true)
}

fn parent(stat: &str) -> Option<Pid> {
    let (_, rest) = stat.rsplit_once(") ")?;
    Pid::from_raw(rest.split(' ').nth(1)?.parse().ok()?)
}

fn pid(number: u32) -> anyhow::Result<Pid> {
    Pid::from_raw(i32::try_from(number)?).context("0 is no pid")
}
