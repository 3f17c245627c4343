//! Backups: taken, kept, proven and removed.
//!
//! Actions and jobs only write rows; the [`keeper`] of a node makes them true. It has an
//! engine save, seals what it saves chunk by chunk, and puts that on a [`Shelf`]; only what is
//! there as a whole, with size and digest, becomes `Success`. Then, one at a time and with low
//! priority, each is loaded into an engine of its own: what does not load, or has not the keys
//! that were saved, becomes `Failed` and is not offered any more.
//!
//! Whatever ends a backup early (an error, the end of this process, the engine's end) leaves a
//! `Failed` row with its reason and nothing on the shelf. Instances are left as they are: data
//! that is put back is the reconciler's business, which gets it as [`Datasets`].

mod archive;
mod bucket;
mod fetch;
mod keeper;
#[cfg(test)]
mod object_server;
mod prove;
mod pump;
mod record;
mod remove;
mod sealed;
mod shelf;
mod step;
mod take;
mod upload;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use ourkv_domain::clock::Clock;
use ourkv_domain::ids::NodeId;
use ourkv_store::{Store, StoreError};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::archive::{Archive, Kept};
pub use self::bucket::{Bucket, Limits};
pub use self::fetch::{Dataset, Datasets, Fetcher};
pub use self::shelf::{Place, Shelf, ShelfError};
pub use self::step::{Step, failpoint_names};
use crate::substrate::{Substrate, Trouble};

/// What the keeper works with.
pub struct Backups {
    /// Which backups there should be.
    pub store: Store,
    /// Where the engines are.
    pub substrate: Arc<dyn Substrate>,
    /// Where backups are kept.
    pub archive: Archive,
    /// When things happened.
    pub clock: Arc<dyn Clock>,
    /// Whose backups these are; those of other nodes are left alone.
    pub node: NodeId,
    /// Called when an instance that waited for its last backup waits no more.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// How parallel and how patient it is.
    pub settings: Settings,
}

/// How parallel and how patient the keeper is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Engines that save at once: each forks.
    pub saves: usize,
    /// Whether every backup is loaded once for trial.
    pub prove: bool,
    /// How often the store is asked for what is to be done.
    pub poll: Duration,
    /// How long an engine may give no data.
    pub stall: Duration,
    /// How long a trial load may take.
    pub trial_limit: Duration,
    /// How long the last backup of an instance is tried for, before the instance goes without.
    pub last_patience: Duration,
    /// After how long something that failed is tried again; doubled each time.
    pub retry: Duration,
    /// The longest such time.
    pub retry_cap: Duration,
    /// How long what is under way may take at the end.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            saves: 2,
            prove: true,
            poll: Duration::from_secs(1),
            stall: Duration::from_mins(5),
            trial_limit: Duration::from_hours(1),
            last_patience: Duration::from_mins(10),
            retry: Duration::from_secs(1),
            retry_cap: Duration::from_mins(10),
            grace: Duration::from_secs(5),
        }
    }
}

/// A running keeper. Clones are of the same one.
#[derive(Clone)]
pub struct Handle {
    nudge: Arc<Notify>,
    settle: mpsc::UnboundedSender<oneshot::Sender<()>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Backups {
    /// Starts it. What an earlier process left unfinished is looked at first.
    pub fn spawn(self) -> Handle {
        let nudge = Arc::new(Notify::new());
        let (settle, waiters) = mpsc::unbounded_channel();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let world = Arc::new(World { backups: self, stop: stop.clone() });
        tasks.spawn(keeper::keep(world, Arc::clone(&nudge), waiters));
        tasks.close();
        Handle { nudge, settle, stop, tasks }
    }
}

impl Handle {
    /// Says that there is something to do. Costs nothing; many at once count as one.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Waits until nothing is to be done but what was postponed.
    pub async fn settle(&self) {
        let (settled, waiter) = oneshot::channel();
        if self.settle.send(settled).is_ok() {
            // A keeper that ended will do nothing any more: that is settled, too.
            let _ = waiter.await;
        }
    }

    /// Ends it. Backups under way are given up and noted as failed, if that can be done soon;
    /// otherwise the next process does it.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// What everything under way shares.
struct World {
    backups: Backups,
    stop: CancellationToken,
}

impl std::ops::Deref for World {
    type Target = Backups;

    fn deref(&self) -> &Backups {
        &self.backups
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// It can be done later.
    #[error("{0}")]
    NotYet(String),
}
