//! Waking those who make intent true, and how soon that is.

use std::sync::Arc;
use std::time::Duration;

use ourkv_control::{backup, guard, reconciler};
use tokio::sync::{SetOnce, watch};

use crate::actions::Nudge;
use crate::opening::Opened;

/// How long what is said of instances waits for the first look at them.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// How long what another process wrote waits.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Who is woken when something is wanted; nobody before they are there: they begin by looking at
/// everything.
#[derive(Clone, Default)]
pub(super) struct Sleepers {
    pub(super) reconciler: Arc<SetOnce<reconciler::Handle>>,
    pub(super) backups: Arc<SetOnce<backup::Handle>>,
    pub(super) guard: Arc<SetOnce<guard::Handle>>,
}

impl Sleepers {
    /// Wakes whoever is there.
    pub(super) fn nudge(&self) -> Nudge {
        let sleepers = self.clone();
        Arc::new(move || {
            if let Some(reconciler) = sleepers.reconciler.get() {
                reconciler.nudge();
            }
            if let Some(backups) = sleepers.backups.get() {
                backups.nudge();
            }
            if let Some(guard) = sleepers.guard.get() {
                guard.nudge();
            }
        })
    }
}

/// Tells when every instance was looked at: an engine may have ended while nobody watched. One
/// that is slow to come back is told as it was.
pub(super) async fn look_first(opened: Opened, sleepers: Sleepers, looking: watch::Sender<bool>) {
    let node = opened.node;
    let here = opened.store.read(move |tx| tx.instance_ids_of_node(&node)).await;
    if here.is_ok_and(|here| !here.is_empty()) {
        let look = async { sleepers.reconciler.wait().await.looked().await };
        if tokio::time::timeout(FIRST_LOOK, look).await.is_err() {
            tracing::warn!("instances are told of before every one was looked at");
        }
    }
    looking.send_replace(true);
}

/// Operators' commands and other nodes write into the same store and can't wake anybody here: what
/// they wrote is found at the next beat.
pub(super) async fn beat(nudge: Nudge) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        nudge();
    }
}
