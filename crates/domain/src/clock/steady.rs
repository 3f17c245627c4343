//! A time that a jump of the time of day does not move.
//!
//! What is kept for a span of days is removed by steady time only, so a clock that is set to
//! another year removes nothing. Steady time may fall behind the time of day (after a jump, or
//! when the machine was off for long), and then things are kept longer; it is never ahead by
//! more than what the time of day was set back by, and [`Steady::due`] takes the earlier one.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::Uptime;

/// A difference between the time of day and the uptime that is a clock being corrected; more is
/// a jump.
const CORRECTION: SignedDuration = SignedDuration::from_mins(5);
/// While a machine was off only its time of day tells for how long: that much of it is believed.
const BELIEVED_OFF: SignedDuration = SignedDuration::from_hours(24);

/// Steady time, and what it was last measured by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steady {
    trusted: Timestamp,
    wall: Timestamp,
    boot: String,
    elapsed: SignedDuration,
}

/// The text is not a steady time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a steady time")]
pub struct MalformedSteady;

impl Steady {
    /// Takes the time of day for true, for want of anything to compare it with.
    pub fn begin(now: Timestamp, uptime: &Uptime) -> Self {
        let Uptime { boot, elapsed } = uptime.clone();
        Self { trusted: now, wall: now, boot, elapsed }
    }

    /// Steady time at a later moment.
    #[must_use]
    pub fn after(self, now: Timestamp, uptime: &Uptime) -> Self {
        let by = self.gone_by(now, uptime).max(SignedDuration::ZERO);
        let trusted = self.trusted.checked_add(by).unwrap_or(Timestamp::MAX);
        Self { trusted, ..Self::begin(now, uptime) }
    }

    /// The time by which something may be overdue: no later than steady time, nor than the time
    /// of day.
    pub fn due(&self, now: Timestamp) -> Timestamp {
        self.trusted.min(now)
    }

    /// Steady time.
    pub fn trusted(&self) -> Timestamp {
        self.trusted
    }

    fn gone_by(&self, now: Timestamp, uptime: &Uptime) -> SignedDuration {
        let by_wall = now.duration_since(self.wall);
        if uptime.boot != self.boot {
            return by_wall.min(BELIEVED_OFF);
        }
        let by_uptime = uptime.elapsed.saturating_sub(self.elapsed);
        let difference = by_wall.saturating_sub(by_uptime);
        if (-CORRECTION..=CORRECTION).contains(&difference) { by_wall } else { by_uptime }
    }
}

/// Four words: steady time, the time of day, the boot, and its uptime in nanoseconds.
impl fmt::Display for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trusted, wall, boot, elapsed } = self;
        write!(f, "{trusted} {wall} {boot} {}", elapsed.as_nanos())
    }
}

impl FromStr for Steady {
    type Err = MalformedSteady;

    fn from_str(text: &str) -> Result<Self, MalformedSteady> {
        let words: Vec<_> = text.split(' ').collect();
        let [trusted, wall, boot, elapsed] = words[..] else { return Err(MalformedSteady) };
        let time = |text: &str| text.parse::<Timestamp>().map_err(|_| MalformedSteady);
        let nanos: i64 = elapsed.parse().map_err(|_| MalformedSteady)?;
        Ok(Self {
            trusted: time(trusted)?,
            wall: time(wall)?,
            boot: boot.to_owned(),
            elapsed: SignedDuration::from_nanos(nanos),
        })
    }
}
