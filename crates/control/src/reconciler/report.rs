//! What a pass over one instance came to, for logs and metrics.

use std::time::Duration;

use ourkv_domain::ids::InstanceId;
use ourkv_store::StoreError;

use super::step::Step;
use crate::substrate::Trouble;

/// What a pass came to.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) id: InstanceId,
    /// The generation of the intent that it worked for; `None` where it was not loaded.
    pub(super) generation: Option<i64>,
    /// The steps that were done.
    pub(super) steps: Vec<Step>,
    pub(super) outcome: Result<Outcome, Failure>,
    pub(super) took: Duration,
}

/// How a pass without failure ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It should run and let its tenant in.
    Answering,
    /// It should stop and nothing of it runs.
    Resting,
    /// Nothing of it is left, not even the memory.
    Gone,
    /// It is as it should be but for something that is under way elsewhere or can wait.
    Waiting {
        /// It lets its tenant in meanwhile.
        answering: bool,
    },
    /// It was looked at only, being left alone for a while.
    LookedAt,
    /// What it should be changed meanwhile.
    Overtaken,
    /// The control plane is ending.
    Interrupted,
}

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The substrate could not do what it was told.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// The store could not be read or written.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// The instance is remembered without its secrets.
    #[error("its secrets are missing from the store")]
    NoSecrets,
    /// The data of a clone could not be had.
    #[error("{reason}")]
    NotGathered {
        /// Why not.
        reason: String,
        /// The kind of failure behind it.
        kind: &'static str,
    },
    /// A fault in ourkv itself; the log has its place.
    #[error("an internal fault of ourkv")]
    Panicked,
}

impl Failure {
    /// The label of the failure in metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Trouble(Trouble::AddressInUse { .. }) => "address_in_use",
            Self::Trouble(
                Trouble::AddressOfInterface { .. } | Trouble::AddressOfGateway { .. },
            ) => "address_of_machine",
            Self::Trouble(Trouble::AddressNotAdded { .. }) => "address_not_added",
            Self::Trouble(Trouble::NoEngine { .. }) => "no_engine",
            Self::Trouble(Trouble::Ended { .. }) => "ended",
            Self::Trouble(Trouble::Silent { .. }) => "silent",
            Self::Trouble(Trouble::Unexpected { .. }) => "unexpected",
            Self::Trouble(Trouble::Machine { .. }) => "machine",
            Self::Trouble(Trouble::Dataset { .. }) => "dataset",
            Self::Trouble(Trouble::Slept { .. }) => "slept",
            Self::Trouble(Trouble::Failpoint(_)) => "failpoint",
            Self::Store(_) => "store",
            Self::NoSecrets => "no_secrets",
            Self::NotGathered { kind, .. } => kind,
            Self::Panicked => "panicked",
        }
    }
}

impl Report {
    /// Counts and logs it.
    pub(super) fn publish(&self) {
        let duration_ms = self.took.as_secs_f64() * 1000.0;
        let steps: Vec<_> = self.steps.iter().map(|step| step.name()).collect();
        match &self.outcome {
            Ok(outcome) if self.steps.is_empty() => {
                tracing::trace!(instance.id = %self.id, ?outcome, duration_ms, "instance checked");
            }
            Ok(outcome) => {
                tracing::info!(instance.id = %self.id, ?outcome, ?steps, duration_ms,
                    "instance reconciled");
            }
            Err(failure) => {
                metrics::counter!("ourkv_troubles_total", "kind" => failure.kind()).increment(1);
                tracing::warn!(instance.id = %self.id, error = %failure, ?steps, duration_ms,
                    "instance in trouble");
            }
        }
    }
}
