//! How long an instance that gives trouble is left alone before the next try.
//!
//! Delays double from the first to the cap, without jitter: instances fail at different times
//! already, and starts are bounded elsewhere. An engine that dies soon after it answered is
//! trouble too, beyond a few times; one that dies after a long life is started again at once.

use std::time::Duration;

use tokio::time::Instant;

/// Deaths in quick succession that are answered with an immediate start.
const FORGIVEN_DEATHS: u32 = 3;

/// The bounds of the delays.
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    /// After the first failure.
    pub first: Duration,
    /// The longest.
    pub cap: Duration,
    /// A death this long after the instance answered counts as the first one.
    pub quick: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            cap: Duration::from_mins(1),
            quick: Duration::from_secs(10),
        }
    }
}

impl Delays {
    /// How long to wait after that many failures in a row.
    pub(super) fn after(&self, failures: u32) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let doublings = failures.saturating_sub(1).min(30);
        self.first.saturating_mul(1 << doublings).min(self.cap)
    }
}

/// The record of one instance's trouble.
#[derive(Debug, Clone, Default)]
pub(super) struct Backoff {
    failures: u32,
    quick_deaths: u32,
    settled_at: Option<Instant>,
    until: Option<Instant>,
}

impl Backoff {
    /// A try failed.
    pub(super) fn failed(&mut self, now: Instant, delays: &Delays) {
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + delays.after(self.failures));
    }

    /// It is as it should be.
    pub(super) fn settled(&mut self, now: Instant) {
        self.failures = 0;
        self.until = None;
        self.settled_at = Some(now);
    }

    /// An engine of it died.
    pub(super) fn died(&mut self, now: Instant, delays: &Delays) {
        let Some(settled_at) = self.settled_at.take() else {
            return;
        };
        let quick = now.saturating_duration_since(settled_at) < delays.quick;
        self.quick_deaths = if quick { self.quick_deaths.saturating_add(1) } else { 1 };
        if self.quick_deaths > FORGIVEN_DEATHS {
            self.until = Some(now + delays.after(self.quick_deaths - FORGIVEN_DEATHS));
        }
    }

    /// Until when it is left alone; `None` when it may be tried at once.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(backoff: &Backoff, now: Instant) -> Duration {
        backoff.until(now).map_or(Duration::ZERO, |until| until - now)
    }

    #[test]
    fn doubles_up_to_the_cap_and_starts_over_after_success() {
        let (now, delays) = (Instant::now(), Delays::default());
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            backoff.failed(now, &delays);
            waits.push(wait(&backoff, now).as_millis());
        }
        let expected = [250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000, 60000];
        assert_eq!(waits, expected);
        backoff.settled(now);
        assert_eq!(backoff.until(now), None);
        backoff.failed(now, &delays);
        assert_eq!(wait(&backoff, now), delays.first);
    }

    #[test]
    fn is_over_when_its_time_has_come() {
        let (now, delays) = (Instant::now(), Delays::default());
        let mut backoff = Backoff::default();
        backoff.failed(now, &delays);
        assert_eq!(backoff.until(now + delays.first), None);
    }

    #[test]
    fn holds_back_what_dies_again_and_again() {
        let (now, delays) = (Instant::now(), Delays::default());
        let mut backoff = Backoff::default();
        for _ in 0..FORGIVEN_DEATHS {
            backoff.settled(now);
            backoff.died(now, &delays);
            assert_eq!(backoff.until(now), None);
        }
        backoff.settled(now);
        backoff.died(now, &delays);
        assert_eq!(wait(&backoff, now), delays.first);
        backoff.settled(now);
        backoff.died(now + delays.quick, &delays);
        assert_eq!(backoff.until(now + delays.quick), None);
    }
}
