//! The reconciler: makes the instances of one node what they should be.
//!
//! It takes no hint. Woken by a nudge, by the death of an engine or by the clock, it rereads what
//! should be from the store and what is from the substrate, and goes from there: [`load`],
//! [`observe`], [`plan`], [`apply`], [`record`]. Every step can be cut off and done again. One
//! pass at a time goes over an instance, many instances are gone over at once, and what one of
//! them suffers (trouble, a hang, a panic) delays no other. What takes as long as the data are
//! large, the gathering of a restore, is done beside the passes: [`gather`]. Who is the master of a
//! pair is decided in [`elect`], and engines that hang are found by [`pulse`]; what has to go on
//! without the store is kept in [`memory`]. Who slept asks first whether it still acts: [`vigil`].
//!
//! It decides nothing about money or permission, and it never stops an engine that the store does
//! not know: such are named in the log.

mod alarm;
mod apply;
mod backoff;
mod driver;
mod elect;
mod failover;
mod forget;
mod gather;
mod journal;
mod keepsake;
mod lane;
mod load;
mod memory;
mod observe;
mod pass;
mod password;
mod perform;
mod phase;
mod plan;
mod pulse;
mod record;
mod report;
mod restore;
mod roles;
mod stage;
mod step;
mod switch;
mod vigil;
mod wish;

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use ourkv_domain::clock::Clock;
use ourkv_domain::ids::NodeId;
use ourkv_store::Store;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::backoff::Delays;
use self::gather::Gatherings;
use self::memory::Memory;
pub use self::memory::{Damping, Suspicion};
pub use self::step::{Step, failpoint_names};
use self::vigil::Vigil;
use crate::backup::Datasets;
use crate::substrate::Substrate;

/// What the reconciler works with.
pub struct Reconciler {
    /// What should be.
    pub store: Store,
    /// What is.
    pub substrate: Arc<dyn Substrate>,
    /// Where the data of restores and clones come from.
    pub datasets: Arc<dyn Datasets>,
    /// When things were seen.
    pub clock: Arc<dyn Clock>,
    /// Whose instances these are; those of other nodes are left alone.
    pub node: NodeId,
    /// How patient and how parallel it is.
    pub settings: Settings,
}

/// How patient and how parallel the reconciler is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often every instance is looked at and logged into; spread over that time.
    pub sweep: Duration,
    /// Engines that are started at once: that is work for the processor.
    pub starts: usize,
    /// Instances that are gone over at once: that is mostly waiting.
    pub passes: usize,
    /// How long a troublesome instance is left alone.
    pub delays: Delays,
    /// Restores and clones whose data are gathered at once.
    pub gatherings: usize,
    /// How long one step may take; a step that takes as long as the data are large, how long it
    /// may stand still.
    pub step_limit: Duration,
    /// How long a restore may be tried before a failure ends it.
    pub restore_limit: Duration,
    /// Engines that are promoted at once.
    pub promotions: usize,
    /// How long a replica may take to get what was written, in a planned switch: clients wait.
    pub catch_up: Duration,
    /// How long the store may take to answer before an instance is looked after without it.
    pub store_patience: Duration,
    /// When silence of an engine counts as its end.
    pub suspicion: Suspicion,
    /// When roles are left alone.
    pub damping: Damping,
    /// How long the steps under way may take at the end.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            sweep: Duration::from_secs(10),
            starts: processors + 1,
            passes: 256,
            delays: Delays::default(),
            gatherings: 8,
            step_limit: Duration::from_mins(2),
            restore_limit: Duration::from_mins(10),
            promotions: 8,
            catch_up: Duration::from_secs(1),
            store_patience: Duration::from_secs(2),
            suspicion: Suspicion::default(),
            damping: Damping::default(),
            grace: Duration::from_secs(5),
        }
    }
}

/// A running reconciler. Clones are of the same one; it ends with the last of them.
#[derive(Clone)]
pub struct Handle {
    nudge: Arc<Notify>,
    looked: watch::Receiver<bool>,
    settle: mpsc::UnboundedSender<oneshot::Sender<()>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Reconciler {
    /// Starts it: adopts what runs, and then keeps things as they should be.
    pub fn spawn(self) -> Handle {
        let nudge = Arc::new(Notify::new());
        let (settle, waiters) = mpsc::unbounded_channel();
        let (looking, looked) = watch::channel(false);
        let (gathering, gathered) = mpsc::unbounded_channel();
        let (hanging, hung) = mpsc::unbounded_channel();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let world = Arc::new(World {
            starts: Semaphore::new(self.settings.starts.max(1)),
            passes: Semaphore::new(self.settings.passes.max(1)),
            promotions: Semaphore::new(self.settings.promotions.max(1)),
            memory: Memory::default(),
            vigil: Vigil::new(),
            gatherings: Gatherings::new(self.settings.gatherings, gathering, stop.clone()),
            store: self.store,
            substrate: self.substrate,
            datasets: self.datasets,
            clock: self.clock,
            node: self.node,
            settings: self.settings,
            stop: stop.clone(),
        });
        tasks.spawn(vigil::keep(Arc::clone(&world)));
        tasks.spawn(pulse::feel(Arc::clone(&world), hanging));
        let woken = driver::Woken { nudge: Arc::clone(&nudge), gathered, hung, waiters };
        tasks.spawn(driver::drive(world, woken, looking));
        tasks.close();
        Handle { nudge, looked, settle, stop, tasks }
    }
}

impl Handle {
    /// Says that what should be has changed. Costs nothing; many at once count as one.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Waits until every instance of this node was gone over once since the start.
    pub async fn looked(&self) {
        // A reconciler that ended will look at nothing any more.
        let _ = self.looked.clone().wait_for(|looked| *looked).await;
    }

    /// Waits until every instance is what it should be and nothing is under way. Waits for ever
    /// where an instance can't become so.
    pub async fn settle(&self) {
        let (settled, waiter) = oneshot::channel();
        if self.settle.send(settled).is_ok() {
            // A reconciler that ended will change nothing any more: that is settled, too.
            let _ = waiter.await;
        }
    }

    /// Ends it: begins nothing more, waits a while for the steps under way, and leaves every
    /// engine as it is.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// What every pass shares.
struct World {
    store: Store,
    substrate: Arc<dyn Substrate>,
    datasets: Arc<dyn Datasets>,
    gatherings: Gatherings,
    clock: Arc<dyn Clock>,
    node: NodeId,
    settings: Settings,
    memory: Memory,
    vigil: Vigil,
    starts: Semaphore,
    passes: Semaphore,
    promotions: Semaphore,
    stop: CancellationToken,
}
