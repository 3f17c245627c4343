//! Time as an argument: rules and jobs are told the time, they never ask for it.
//!
//! The time of day can be set by anyone who runs the machine, and by mistake. What must not
//! happen early because of that goes by [`Steady`] time.

mod steady;

use std::sync::{Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};

pub use steady::{MalformedSteady, Steady};

/// Something that knows the time of day.
pub trait Clock: Send + Sync + 'static {
    /// The current instant.
    fn now(&self) -> Timestamp;

    /// How long the machine has been up; nobody can set that.
    fn uptime(&self) -> Uptime;
}

/// How long a machine has been up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    /// Names this run of the machine among all others; a word.
    pub boot: String,
    /// Since the machine was started, with the time that it slept.
    pub elapsed: SignedDuration,
}

/// A clock that stands still until it is moved; for tests and drills.
#[derive(Debug)]
pub struct ManualClock(Mutex<Hands>);

#[derive(Debug)]
struct Hands {
    now: Timestamp,
    boots: u32,
    elapsed: SignedDuration,
}

impl ManualClock {
    /// Starts at `now` and stays there.
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Hands { now, boots: 1, elapsed: SignedDuration::ZERO }))
    }

    /// Lets time go by; a negative duration moves the time of day back, and nothing else.
    pub fn advance(&self, by: SignedDuration) {
        self.hands().advance(by);
    }

    /// Lets time go by until it is `now`.
    pub fn set(&self, now: Timestamp) {
        let mut hands = self.hands();
        let by = now.duration_since(hands.now);
        hands.advance(by);
    }

    /// Sets the time of day forward or back, while no time goes by.
    pub fn jump(&self, by: SignedDuration) {
        self.hands().jump(by);
    }

    /// Starts the machine again, in no time.
    pub fn reboot(&self) {
        let mut hands = self.hands();
        hands.boots += 1;
        hands.elapsed = SignedDuration::ZERO;
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Hands {
    fn advance(&mut self, by: SignedDuration) {
        self.jump(by);
        self.elapsed = self.elapsed.saturating_add(by.max(SignedDuration::ZERO));
    }

    fn jump(&mut self, by: SignedDuration) {
        let end = if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
        self.now = self.now.checked_add(by).unwrap_or(end);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.hands().now
    }

    fn uptime(&self) -> Uptime {
        let hands = self.hands();
        Uptime { boot: format!("boot-{}", hands.boots), elapsed: hands.elapsed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_no_uptime_and_a_restart_ends_it() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        clock.advance(SignedDuration::from_secs(5));
        clock.jump(SignedDuration::from_secs(100));
        assert_eq!(clock.now(), Timestamp::constant(105, 0));
        let before = clock.uptime();
        assert_eq!(before.elapsed, SignedDuration::from_secs(5));
        clock.reboot();
        assert_ne!(clock.uptime().boot, before.boot);
        assert_eq!(clock.uptime().elapsed, SignedDuration::ZERO);
    }
}
