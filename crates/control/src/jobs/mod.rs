//! What happens because time passes: hours are charged, periods renewed, the unpaid stopped and
//! released, backups come due and run out, and what is old is forgotten.
//!
//! Each job takes no input. It reads the clock and the store, changes what is due in small
//! transactions, and may be run at any time, twice, late or by several processes: what is done
//! already is not due any more. A job changes what instances *should* be and leaves the rest to
//! the reconciler and the keeper of backups. None of them knows a substrate.

pub mod backup_retention;
pub mod backup_schedule;
mod draws;
pub mod expiry;
pub mod forgetting;
pub mod metering;
pub mod renewal;
mod steady;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::SignedDuration;
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::NodeId;
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
    /// Where the numbers of orders and backups come from.
    pub mint: Arc<Mint>,
    /// Whose backups these jobs schedule and run out.
    pub node: NodeId,
    /// Told when what an instance should be has changed, or what backups there should be.
    pub nudge: Arc<dyn Fn() + Send + Sync>,
    /// How often they run and how long things are kept.
    pub settings: Settings,
}

/// How often the jobs run and how long things are kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between two runs of a job.
    pub every: Duration,
    /// How long audit lines and events are kept.
    pub audit_kept: SignedDuration,
    /// Whether what is released and was paid afterwards leaves a last backup.
    pub final_backup: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            every: Duration::from_mins(1),
            audit_kept: SignedDuration::from_hours(24 * 180),
            final_backup: true,
        }
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
    /// Queues the backups that are due.
    BackupSchedule,
    /// Removes backups that were kept long enough.
    BackupRetention,
    /// Forgets what is old.
    Forgetting,
}

impl Job {
    /// Whether somebody has to act on what it changes.
    fn is_acted_on(self) -> bool {
        match self {
            Self::Renewal | Self::Expiry | Self::BackupSchedule | Self::BackupRetention => true,
            Self::Metering | Self::Forgetting => false,
        }
    }
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
        let due = async || steady::due(store, clock, &self.node).await;
        let report = match job {
            Job::Metering => metering::run_once(store, due().await?).await?,
            Job::Renewal => renewal::run_once(store, &self.mint, due().await?).await?,
            Job::Expiry => {
                let mint = self.settings.final_backup.then_some(self.mint.as_ref());
                expiry::run_once(store, mint, due().await?).await?
            }
            Job::BackupSchedule => {
                backup_schedule::run_once(store, clock, &self.mint, &self.node).await?
            }
            Job::BackupRetention => {
                backup_retention::run_once(store, &self.node, due().await?).await?
            }
            Job::Forgetting => {
                forgetting::run_once(store, due().await?, self.settings.audit_kept).await?
            }
        };
        if report.changed > 0 && job.is_acted_on() {
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
