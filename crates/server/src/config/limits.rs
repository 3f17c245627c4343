//! The section `limits`: what one client may take from the others.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use serde::Deserialize;

/// What clients may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open API connections; further ones wait until one closes.
    pub connections: NonZeroUsize,
    /// Seconds for the head of a request to arrive; an idle connection is closed after as many.
    pub header_seconds: NonZeroU64,
    /// Seconds for the body of a request to arrive.
    pub body_seconds: NonZeroU64,
    /// Seconds after which a client that takes nothing of its answer is left.
    pub stall_seconds: NonZeroU64,
    /// Seconds that requests under way get at the end of the program.
    pub shutdown_seconds: u64,
}

impl Limits {
    /// How long the head of a request may take.
    pub fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_seconds.get())
    }

    /// How long the body of a request may take.
    pub fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_seconds.get())
    }

    /// How long a client may take nothing of its answer.
    pub fn stall_timeout(&self) -> Duration {
        Duration::from_secs(self.stall_seconds.get())
    }

    /// How long requests under way get at the end.
    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: NonZeroUsize::MIN.saturating_add(16_383),
            header_seconds: NonZeroU64::MIN.saturating_add(29),
            body_seconds: NonZeroU64::MIN.saturating_add(14),
            stall_seconds: NonZeroU64::MIN.saturating_add(29),
            shutdown_seconds: 10,
        }
    }
}
