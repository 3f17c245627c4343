//! Chaos: pairs of engines live under load while their processes, and the control plane's, are
//! killed, stopped and exchanged; a ledger says what of their clients' writes is left.
//!
//! A pair lives for a few faults only, as a pair whose master ends too often is damped. Every
//! choice is drawn from a seed that is printed; how long things take is not, so a seed repeats the
//! choices and not the moments.

mod check;
mod fault;
mod ledger;
mod life;
mod report;

use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::ground::{Ground, checkpoint, say};
use crate::server::Server;
use report::Report;

/// The first argument that asks for chaos.
pub(crate) const ARGUMENT: &str = "chaos";
/// Pairs that live at a time.
const PAIRS: u64 = 3;
/// How often the run says how far it is.
const SAID_EVERY: Duration = Duration::from_secs(30);

/// What a run is to be like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// No pair is begun after this.
    duration: Duration,
    seed: u64,
}

/// What all lives of a run share.
struct Stage<'a> {
    /// Whoever calls the API holds it; whoever ends the control plane has it alone.
    server: RwLock<Server<'a>>,
    report: Mutex<Report>,
    until: Instant,
}

impl Options {
    /// Reads `seconds=120 seed=7`; each may be missing.
    pub(crate) fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let mut options = Self { duration: Duration::from_mins(2), seed: 20_150_101 };
        for argument in arguments {
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            let number = value.parse().with_context(|| format!("{argument}: not name=number"))?;
            match name {
                "seconds" => options.duration = Duration::from_secs(number),
                "seed" => options.seed = number,
                _ => anyhow::bail!("{argument}: there are seconds=… and seed=…"),
            }
        }
        Ok(options)
    }

    /// The longest that the run may take.
    pub(crate) fn longest(&self) -> Duration {
        self.duration + Duration::from_mins(5)
    }
}

/// Runs it, prints the report, and fails where something was broken that must not be.
pub(crate) fn run(ground: &Ground, options: Options) -> anyhow::Result<()> {
    say(&format!("chaos seed={} seconds={}", options.seed, options.duration.as_secs()));
    let mut server = Server::new(ground.dir().join("chaos"), &ground.ours)?;
    server.start()?;
    let stage = Stage {
        server: RwLock::new(server),
        report: Mutex::default(),
        until: Instant::now() + options.duration,
    };
    let lived = std::thread::scope(|scope| {
        let stage = &stage;
        let lines: Vec<_> = (0..PAIRS)
            .map(|line| scope.spawn(move || stage.live_on(options.seed.wrapping_add(line))))
            .collect();
        lines.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let ended = stage.end();
    let report = stage.report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.print()?;
    for lived in lived {
        lived.map_err(|_| anyhow::anyhow!("a line of lives panicked"))??;
    }
    ended?;
    report.verdict()
}

impl Stage<'_> {
    /// One pair after the other.
    fn live_on(&self, seed: u64) -> anyhow::Result<()> {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut said = Instant::now();
        while Instant::now() < self.until {
            checkpoint()?;
            life::live(self, &mut random)?;
            if said.elapsed() > SAID_EVERY {
                said = Instant::now();
                say(&self.report().progress());
            }
        }
        Ok(())
    }

    fn report(&self) -> std::sync::MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What must be true once nothing is left to live.
    fn end(&self) -> anyhow::Result<()> {
        let server = self.server.read().unwrap_or_else(PoisonError::into_inner);
        check::nothing_is_left(&server)?;
        check::log_is_clean(&server.log())
    }
}
