//! What a process takes of the memory: its proportional set size, so that what processes share
//! is counted once.

use anyhow::Context as _;

/// PSS of a process, MiB.
pub(crate) fn pss(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).with_context(|| path.clone())?;
    Ok(kib.trim().parse::<f64>()? / 1024.0)
}

/// PSS of several processes, MiB each.
pub(crate) fn pss_of_each(pids: &[u32]) -> anyhow::Result<Vec<f64>> {
    pids.iter().map(|pid| pss(*pid)).collect()
}
