//! The loop that gives the kernel what the store says.
//!
//! It is told of nothing in particular: each pass reads all whitelists of the node and compares
//! them with the rules in force. So whatever was missed, by an error or by the end of a process, is
//! made up for by the next pass.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use ourkv_store::StoreError;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Guard, InForce, NftError, Rules, Step, Waiter};
use crate::substrate::Trouble;

/// What wakes the keeper, beside the clock.
pub(super) struct Calls {
    pub(super) nudge: Arc<Notify>,
    pub(super) waiters: mpsc::UnboundedReceiver<Waiter>,
    pub(super) stop: CancellationToken,
}

/// Why the rules are not those of the store.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Nft(#[from] NftError),
    #[error(transparent)]
    Step(#[from] Trouble),
    #[error("it panicked")]
    Panic,
}

struct Keeper {
    guard: Guard,
    in_force: InForce,
    /// How often it failed since it last succeeded, and when it is tried again.
    failures: u32,
    retry_at: Option<Instant>,
}

/// Runs until told to stop.
pub(super) async fn keep(guard: Guard, in_force: InForce, mut calls: Calls) {
    let mut looks = tokio::time::interval(guard.settings.look);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rest = guard.settings.rest;
    let mut keeper = Keeper { guard, in_force, failures: 0, retry_at: None };
    let mut waiting = Vec::new();
    loop {
        let retry = keeper.retry_at;
        let look = tokio::select! {
            biased;
            () = calls.stop.cancelled() => break,
            Some(waiter) = calls.waiters.recv() => {
                waiting.push(waiter);
                false
            }
            _ = looks.tick() => true,
            () = tokio::time::sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {
                false
            }
            () = calls.nudge.notified(), if retry.is_none() => false,
        };
        while let Ok(waiter) = calls.waiters.try_recv() {
            waiting.push(waiter);
        }
        let Some(done) = calls.stop.run_until_cancelled(keeper.go(look)).await else {
            break;
        };
        for waiter in waiting.drain(..) {
            // Whoever stopped waiting need not be told.
            let _ = waiter.send(done.clone());
        }
        // Nudges come as often as instances are created, and most of them change nothing here.
        let _ = calls.stop.run_until_cancelled(tokio::time::sleep(rest)).await;
    }
}

impl Keeper {
    /// One pass, and what comes of it.
    async fn go(&mut self, look: bool) -> Result<(), String> {
        let passed = AssertUnwindSafe(self.pass(look)).catch_unwind().await;
        let passed = passed.unwrap_or(Err(Failure::Panic));
        metrics::gauge!("ourkv_whitelists_in_force").set(f64::from(u8::from(passed.is_ok())));
        match passed {
            Ok(()) => {
                (self.failures, self.retry_at) = (0, None);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "whitelists are not in force as they are stored");
                self.retry_at = Some(Instant::now() + self.delay());
                self.failures = self.failures.saturating_add(1);
                Err(error.to_string())
            }
        }
    }

    /// Makes the rules those of the store. `look` asks the kernel whether it still has what it was
    /// given.
    async fn pass(&mut self, look: bool) -> Result<(), Failure> {
        let wanted = self.wanted().await?;
        let known = self.knows(&wanted);
        if known && !look {
            return Ok(());
        }
        // An earlier process may have left just these rules.
        if !self.guard.nft.has(&wanted).await? {
            if known {
                tracing::warn!("somebody took the rules of whitelists away; they are put back");
            }
            self.know(None);
            let applied = Step::Apply.run(async {
                self.guard.nft.apply(&wanted).await?;
                Ok::<_, Failure>(())
            });
            applied.await?;
            tracing::info!(lists = wanted.lists(), "whitelists are in force");
        }
        self.know(Some(wanted));
        Ok(())
    }

    async fn wanted(&self) -> Result<Rules, StoreError> {
        let Guard { store, node, block, trusted, .. } = &self.guard;
        let (node, ends) = (node.clone(), (block.network(), block.broadcast()));
        let rules = Rules::new(&node, *block, trusted.clone());
        let read = store.read(move |tx| {
            let outside = tx.served_outside(&node, ends.0, ends.1)?;
            Ok::<_, StoreError>((outside, tx.whitelists_of_node(&node)?))
        });
        let (outside, whitelists) = read.await?;
        Ok(rules.with(outside, &whitelists))
    }

    fn knows(&self, rules: &Rules) -> bool {
        let in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        in_force.as_ref() == Some(rules)
    }

    fn know(&self, rules: Option<Rules>) {
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    fn delay(&self) -> Duration {
        let settings = &self.guard.settings;
        let doubled = settings.retry.saturating_mul(1 << self.failures.min(16));
        doubled.min(settings.retry_cap)
    }
}
