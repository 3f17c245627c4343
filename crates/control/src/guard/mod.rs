//! Whitelists, put in force in front of the engines by the machine's packet filter.
//!
//! Actions only write rows; the [`keeper`] of a node makes them true: it reads all whitelists of
//! the node and gives the kernel one table of its own, whole and in one transaction. An instance
//! whose whitelist was never changed needs no rule: the table lets 127.0.0.1 and nobody else
//! reach any address of the node's block, whether or not an instance is there yet. So an engine
//! starts behind closed doors, and creating one costs nothing here. An address outside of the
//! block, or one whose list differs from the default, is asked for by its engine's start: that
//! waits until the rules are those of the store ([`Gate`]).
//!
//! The rules look at every packet towards an engine, not only at those that begin a connection:
//! whoever is taken off a list is cut off in the middle of a session. Refused clients get a reset
//! and fail at once.
//!
//! The table outlives this process, as the engines do; the next one finds it by its digest, or
//! replaces it. What others put into the packet filter is not touched, and may refuse more.

mod keeper;
mod nft;
mod rules;
mod step;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ipnet::Ipv4Net;
use ourkv_domain::ids::NodeId;
use ourkv_store::Store;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::nft::{Nft, NftError, NotEnforced};
pub use self::rules::{Rules, Trusted};
pub use self::step::{Step, failpoint_names};
use crate::substrate::{Gate, Trouble};

/// What the keeper works with.
pub struct Guard {
    /// Which whitelists there are.
    pub store: Store,
    /// The packet filter.
    pub nft: Nft,
    /// Whose instances these are.
    pub node: NodeId,
    /// The addresses of the node.
    pub block: Ipv4Net,
    /// Users under which ourkv and engines run.
    pub trusted: Trusted,
    /// How patient it is.
    pub settings: Settings,
}

/// How patient the keeper is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often it looks whether the rules are still there: others may flush the packet filter.
    pub look: Duration,
    /// How long it rests after each pass, however often it is nudged.
    pub rest: Duration,
    /// After how long something that failed is tried again; doubled each time.
    pub retry: Duration,
    /// The longest such time.
    pub retry_cap: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(10),
            rest: Duration::from_millis(10),
            retry: Duration::from_millis(250),
            retry_cap: Duration::from_mins(1),
        }
    }
}

/// Who waits until the rules are those of the store.
type Waiter = oneshot::Sender<Result<(), String>>;

/// The rules that the kernel has, as far as this process knows.
type InForce = Arc<Mutex<Option<Rules>>>;

/// A running keeper. Clones are of the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    nudge: Arc<Notify>,
    waiters: mpsc::UnboundedSender<Waiter>,
    in_force: InForce,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Guard {
    /// Starts it. The rules are put in force at once.
    pub fn spawn(self) -> Handle {
        let (nudge, in_force) = (Arc::new(Notify::new()), InForce::default());
        let (sender, waiters) = mpsc::unbounded_channel();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        nudge.notify_one();
        let calls = keeper::Calls { nudge: Arc::clone(&nudge), waiters, stop: stop.clone() };
        tasks.spawn(keeper::keep(self, Arc::clone(&in_force), calls));
        tasks.close();
        Handle { nudge, waiters: sender, in_force, stop, tasks }
    }
}

impl Handle {
    /// Has it look into the store. Takes no hint and returns at once.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Ends it. The rules stay.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }

    /// Whether the rules treat an address as that of an instance whose list was never changed.
    fn is_plain(&self, address: Ipv4Addr) -> bool {
        let in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        in_force.as_ref().is_some_and(|rules| rules.is_plain(address))
    }
}

#[async_trait]
impl Gate for Handle {
    async fn stands_before(&self, address: Ipv4Addr) -> Result<(), Trouble> {
        const WAITING: &str = "putting its whitelist in force";
        if self.is_plain(address) {
            return Ok(());
        }
        let trouble = |answer| Trouble::Unexpected { doing: WAITING, answer };
        let (sender, answer) = oneshot::channel();
        let ended = || trouble("this process is ending".into());
        self.waiters.send(sender).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?.map_err(trouble)
    }
}
