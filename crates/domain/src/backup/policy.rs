//! When backups are taken without being asked for, and how long they are kept.

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::weekdays::Weekdays;
use super::window::BackupWindow;
use crate::ids::InstanceId;

/// What an instance has while its owner says nothing else, in days.
const DEFAULT_RETENTION: u16 = 7;
/// What an owner can ask for, in days.
const RETENTION: std::ops::RangeInclusive<u16> = 7..=730;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The text is not a part of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a part of a backup policy")]
pub struct MalformedPolicy;

/// What an owner settled about the backups of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupPolicy {
    /// The part of the day.
    pub window: BackupWindow,
    /// The days on which the window begins.
    pub days: Weekdays,
    /// How many days a backup is kept after its end.
    pub retention_days: u16,
}

/// A policy and what comes of it next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// The policy.
    pub policy: BackupPolicy,
    /// When the next backup is due.
    pub next_at: Timestamp,
}

impl BackupPolicy {
    /// The first moment after `now` at which a backup of that instance is due, at most eight days
    /// and a bit ahead. Each instance has its own moment in the window, the same every day, so a
    /// thousand instances with one window do not fork at once.
    pub fn slot_after(&self, now: Timestamp, instance: &InstanceId) -> Timestamp {
        let seconds = self.window.length().as_secs().unsigned_abs();
        let into_window = SignedDuration::from_secs((draw(instance) % seconds).cast_signed());
        let into_day = self.window.start() + into_window;
        // A slot after midnight belongs to a window that began the day before.
        let midnight = midnight_before(now).saturating_sub(DAY).unwrap_or(Timestamp::MIN);
        let days = (0..=9).map_while(|day| midnight.checked_add(DAY * day).ok());
        let chosen = days
            .filter(|midnight| self.days.contains(Offset::UTC.to_datetime(*midnight).weekday()));
        let mut slots = chosen.map_while(|midnight| midnight.checked_add(into_day).ok());
        slots.find(|slot| *slot > now).unwrap_or(Timestamp::MAX)
    }
}

/// Every day, 18:00Z-19:00Z, kept for 7 days.
impl Default for BackupPolicy {
    fn default() -> Self {
        Self {
            window: BackupWindow::default(),
            days: Weekdays::ALL,
            retention_days: DEFAULT_RETENTION,
        }
    }
}

/// Takes a number of days: 7 to 730 (ModifyBackupPolicy, row BackupRetentionPeriod).
pub fn parse_retention_days(text: &str) -> Result<u16, MalformedPolicy> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let days = text.parse().ok().filter(|days| digits && RETENTION.contains(days));
    days.ok_or(MalformedPolicy)
}

fn midnight_before(now: Timestamp) -> Timestamp {
    let seconds = now.as_second();
    let midnight = seconds - seconds.rem_euclid(DAY.as_secs());
    Timestamp::from_second(midnight).unwrap_or(Timestamp::MIN)
}

/// A number that an id always yields, spread over all numbers.
fn draw(instance: &InstanceId) -> u64 {
    let digest = Sha256::digest(instance.as_str().as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
