//! The clock of the machine.

use jiff::Timestamp;
use ourkv_domain::clock::Clock;

/// The machine's own time; everything else is handed a [`Clock`].
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where time comes from")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
