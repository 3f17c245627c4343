//! What happens because time passes: hours are charged, periods renewed, the unpaid stopped and
//! released, and what is old is forgotten.
//!
//! Each job takes no input. It reads the clock and the store, changes what is due in small
//! transactions, and may be run at any time, twice, late or by several processes: what is done
//! already is not due any more. A job changes what instances *should* be and leaves the rest to
//! the reconciler. None of them knows a substrate.

pub mod expiry;
pub mod forgetting;
pub mod metering;
pub mod renewal;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::SignedDuration;
use ourkv_domain::clock::Clock;
use ourkv_domain::mint::Mint;
use ourkv_store::{Store, StoreError};
use strum::{Display, VariantArray};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the jobs work with.
#[derive(Clone)]
pub struct Jobs {
    /// What is remembered.
    pub store: Store,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where order numbers come from.
    pub mint: Arc<Mint>,
    /// Told when what an instance should be has changed.
    pub nudge: Arc<dyn Fn() + Send + Sync>,
    /// How often they run and how long things are kept.
    pub settings: Settings,
}

/// How often the jobs run and how long things are kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between two runs of a job.
    pub every: Duration,
    /// How long audit lines are kept.
    pub audit_kept: SignedDuration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { every: Duration::from_mins(1), audit_kept: SignedDuration::from_hours(24 * 180) }
    }
}

/// The jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Job {
    /// Charges the hours that are over.
    Metering,
    /// Renews what is to be renewed automatically.
    Renewal,
    /// Stops, releases and revives by what is paid.
    Expiry,
    /// Forgets what is old.
    Forgetting,
}

/// What one run of a job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// How many things it changed.
    pub changed: u64,
    /// How many things were due and could not be done.
    pub failed: u64,
}

/// The jobs, running.
#[derive(Debug, Clone)]
pub struct Handle {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Jobs {
    /// Runs one job once.
    pub async fn run_once(&self, job: Job) -> Result<Report, StoreError> {
        let (store, clock) = (&self.store, self.clock.as_ref());
        let report = match job {
            Job::Metering => metering::run_once(store, clock).await?,
            Job::Renewal => renewal::run_once(store, clock, &self.mint).await?,
            Job::Expiry => expiry::run_once(store, clock).await?,
            Job::Forgetting => forgetting::run_once(store, clock, self.settings.audit_kept).await?,
        };
        if report.changed > 0 && matches!(job, Job::Renewal | Job::Expiry) {
            (self.nudge)();
        }
        Ok(report)
    }

    /// Runs every job at its interval, the first time at once.
    pub fn spawn(self) -> Handle {
        let handle = Handle { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        for job in Job::VARIANTS {
            let stop = handle.stop.clone();
            handle.tasks.spawn(self.clone().repeat(*job, stop));
        }
        handle.tasks.close();
        handle
    }

    async fn repeat(self, job: Job, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.settings.every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            // A transaction that was begun is ended; the next run finds what was left over.
            match AssertUnwindSafe(self.run_once(job)).catch_unwind().await {
                Ok(Ok(report)) => publish(job, report),
                Ok(Err(error)) => tracing::warn!(%job, %error, "a job failed"),
                Err(_panic) => tracing::error!(%job, "a job panicked"),
            }
        }
    }
}

impl Handle {
    /// Ends the jobs; a run under way is finished.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

fn publish(job: Job, report: Report) {
    let Report { changed, failed } = report;
    metrics::counter!("ourkv_job_changes_total", "job" => job.to_string()).increment(changed);
    metrics::counter!("ourkv_job_failures_total", "job" => job.to_string()).increment(failed);
    if failed > 0 {
        tracing::warn!(%job, changed, failed, "job ran");
    } else if changed > 0 {
        tracing::info!(%job, changed, "job ran");
    }
}
