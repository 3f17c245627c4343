//! What a run stands on: a directory on a disk, two loopback blocks, and an end.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// The longest that a run of all figures may take.
pub(crate) const LONGEST_RUN: Duration = Duration::from_mins(12);
/// The longest wait for any one thing.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// Where Redis is documented to listen.
pub(crate) const REDIS_PORT: u16 = 6379;
/// Between two tries of something that is about to come about.
pub(crate) const TIGHT: Duration = Duration::from_micros(100);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// When it has to have ended, and how long that is.
static END: OnceLock<(Instant, Duration)> = OnceLock::new();

/// A /16 of loopback that this run has to itself.
#[derive(Debug)]
pub(crate) struct Block {
    second: u8,
    _claim: TcpListener,
}

impl Block {
    /// The address that claims the block, also where servers of this run listen: far beyond what
    /// instances are given.
    pub(crate) fn own(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.second, 255, 254)
    }

    /// As `ourkv serve --address-block` takes it.
    pub(crate) fn cidr(&self) -> String {
        format!("127.{}.0.0/16", self.second)
    }

    /// The `index`-th address, for a server of the floor.
    pub(crate) fn address(&self, index: usize) -> SocketAddrV4 {
        let [high, low] = u16::try_from(index + 1).unwrap_or(u16::MAX).to_be_bytes();
        SocketAddrV4::new(Ipv4Addr::new(127, self.second, high, low), REDIS_PORT)
    }
}

/// What a run stands on.
#[derive(Debug)]
pub(crate) struct Ground {
    dir: TempDir,
    /// For bare servers.
    pub(crate) floor: Block,
    /// For what ourkv creates.
    pub(crate) ours: Block,
}

impl Ground {
    /// Makes the directory, beside what cargo builds, and claims the blocks.
    pub(crate) fn claim() -> anyhow::Result<Self> {
        let dir =
            tempfile::Builder::new().prefix("bench").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mut blocks = (240..=254).rev().filter_map(|second| {
            let claim =
                TcpListener::bind((Ipv4Addr::new(127, second, 255, 254), REDIS_PORT)).ok()?;
            Some(Block { second, _claim: claim })
        });
        let none_free = "no two blocks of 127.240.0.0 - 127.254.0.0 are free at port 6379";
        let floor = blocks.next().context(none_free)?;
        let ours = blocks.next().context(none_free)?;
        Ok(Self { dir, floor, ours })
    }

    /// Where everything of this run is kept.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// Makes SIGINT and SIGTERM end the run in order, so that what it started is ended with it.
pub(crate) fn watch_signals(longest: Duration) -> anyhow::Result<()> {
    END.get_or_init(|| (Instant::now() + longest, longest));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            INTERRUPTED.store(true, Ordering::Relaxed);
        });
    });
    Ok(())
}

/// An error once the run has to end.
pub(crate) fn checkpoint() -> anyhow::Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    if let Some((end, longest)) = END.get()
        && Instant::now() > *end
    {
        bail!("the run takes longer than {} s", longest.as_secs());
    }
    Ok(())
}

/// Tries until `attempt` has a value, waiting `pause` in between.
pub(crate) fn until<T>(
    what: &str,
    pause: Duration,
    mut attempt: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(value) = attempt()? {
            return Ok(value);
        }
        checkpoint()?;
        if began.elapsed() > PATIENCE {
            bail!("not within {} s: {what}", PATIENCE.as_secs());
        }
        std::thread::sleep(pause);
    }
}

/// Says something to whoever watches.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
