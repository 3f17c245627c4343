//! The clock of the machine.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use ourkv_domain::clock::{Clock, Uptime};
use rustix::time::{ClockId, clock_gettime};

use super::run::BOOT_ID;

/// The machine's own time; everything else is handed a [`Clock`].
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where time comes from")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Counts on while the machine sleeps, and is not moved when its time of day is set.
    fn uptime(&self) -> Uptime {
        let since = clock_gettime(ClockId::Boottime);
        Uptime {
            boot: fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned(),
            elapsed: SignedDuration::new(since.tv_sec, i32::try_from(since.tv_nsec).unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_only_grows_and_names_the_boot() {
        let (first, second) = (SystemClock.uptime(), SystemClock.uptime());
        assert!(!first.boot.is_empty());
        assert_eq!(first.boot, second.boot);
        assert!(SignedDuration::ZERO < first.elapsed && first.elapsed <= second.elapsed);
    }
}
