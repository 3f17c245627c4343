//! A process that may do little: bounds on memory, time and files, the lowest priority.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit};

use super::process::Process;
use crate::engine::Binary;
use crate::engine::trial::launch;

/// What an engine needs beside the data, in bytes, and how much more than its class it may take:
/// address space, not memory.
const SPACE: u64 = 1 << 30;
const SPACE_FOR_EACH: u64 = 2;
/// Seconds of processor time, and MB of capacity for which there is one more.
const SECONDS: u64 = 120;
const MB_FOR_A_SECOND: u64 = 4;
const FILES: u64 = 64;
/// A log that grows longer ends the engine.
const LONGEST_FILE: u64 = 16 << 20;
const LOWEST_PRIORITY: i32 = 19;
/// The kernel's scale ends here.
const OOM_FIRST: &str = "1000";

/// Starts the engine. It waits for its configuration, and is confined by then.
pub(super) fn spawn(
    directory: &Path,
    binary: &Binary,
    capacity_mb: i64,
    log: File,
) -> io::Result<Process> {
    let launch = launch(binary);
    let mut child = Command::new(&binary.path)
        .args(&launch.arguments)
        .env_clear()
        .current_dir(directory)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let begun = Process::hold(child.id()).and_then(|process| {
        confine(child.id(), capacity_mb)?;
        if let (Some(mut input), Some(text)) = (child.stdin.take(), &launch.input) {
            input.write_all(text.expose().as_bytes())?;
        }
        Ok(process)
    });
    begun.or_else(|error| {
        child.kill()?;
        child.wait()?;
        Err(error)
    })
}

fn confine(pid: u32, capacity_mb: i64) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let capacity = u64::try_from(capacity_mb).unwrap_or(0);
    let space = (capacity << 20).saturating_mul(SPACE_FOR_EACH).saturating_add(SPACE);
    let bounds = [
        (Resource::As, space),
        (Resource::Cpu, SECONDS.saturating_add(capacity / MB_FOR_A_SECOND)),
        (Resource::Nofile, FILES),
        (Resource::Fsize, LONGEST_FILE),
        (Resource::Core, 0),
    ];
    for (resource, bound) in bounds {
        let limit = Rlimit { current: Some(bound), maximum: Some(bound) };
        rustix::process::prlimit(Some(pid), resource, limit)?;
    }
    rustix::process::setpriority_process(Some(pid), LOWEST_PRIORITY)?;
    // Where memory runs out it is the trial that goes, not the engine of a tenant.
    std::fs::write(format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero()), OOM_FIRST)
}
