//! What is backed up: keys with values of 1 KiB that can't be compressed.

use anyhow::{Context as _, ensure};
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use redis::Connection;

/// Sets the size, MiB of values.
const VARIABLE: &str = "OURKV_BENCH_MIB";
/// How much there is if nobody says otherwise.
const USUAL: u64 = 1024;
/// The most that fits into the instances.
const MOST: u64 = 1400;
/// How many times the data is in memory at once, counting what forks copy and what files take.
const COPIES: u64 = 8;
/// Bytes of a value.
const VALUE: usize = 1024;
/// Keys of one pipeline.
const BATCH: u64 = 1000;

/// How much data there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data {
    keys: u64,
}

impl Data {
    /// What the environment asks for, if this machine has the memory.
    pub(super) fn asked_for() -> anyhow::Result<Self> {
        let mib = match std::env::var(VARIABLE) {
            Ok(text) => text.parse().with_context(|| format!("{VARIABLE}={text}"))?,
            Err(_) => USUAL,
        };
        ensure!((1..=MOST).contains(&mib), "{VARIABLE} is not between 1 and {MOST}");
        let free = available_mib()?;
        ensure!(
            free >= COPIES * mib,
            "{mib} MiB of data need {} MiB of memory, and {free} are free: {VARIABLE} sets less",
            COPIES * mib
        );
        // Counted as the others do: 1 GiB is a million keys of 1 KiB.
        Ok(Self { keys: (mib * 1_000_000).div_ceil(USUAL) })
    }

    /// Puts all of it into an empty server. It is the same in each.
    pub(super) fn fill(self, server: &mut Connection) -> anyhow::Result<()> {
        let mut random = SmallRng::seed_from_u64(2015);
        let mut value = [0; VALUE];
        for first in (0..self.keys).step_by(usize::try_from(BATCH)?) {
            let mut batch = redis::pipe();
            for key in first..self.keys.min(first + BATCH) {
                random.fill_bytes(&mut value);
                batch.cmd("SET").arg(name(key)).arg(&value).ignore();
            }
            let () = batch.query(server)?;
        }
        self.check(server)
    }

    /// That all keys are there.
    pub(super) fn check(self, server: &mut Connection) -> anyhow::Result<()> {
        let found: u64 = redis::cmd("DBSIZE").query(server)?;
        ensure!(found == self.keys, "{found} of {} keys are there", self.keys);
        Ok(())
    }

    /// One of the keys.
    pub(super) fn any(self, random: &mut SmallRng) -> String {
        name(random.random_range(0..self.keys))
    }
}

fn name(key: u64) -> String {
    format!("key:{key:09}")
}

/// What the system says it could give away, MiB.
fn available_mib() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).context("/proc/meminfo")?;
    Ok(kib.trim().parse::<u64>()? / 1024)
}
