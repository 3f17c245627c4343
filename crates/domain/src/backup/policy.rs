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
    /// The first moment after `now` at which a backup of that instance is due, at most a week
    /// ahead. Each instance has its own moment in the window, the same every day, so a
    /// thousand instances with one window do not fork at once.
    pub fn slot_after(&self, now: Timestamp, instance: &InstanceId) -> Timestamp {
        let seconds = self.window.length().as_secs().unsigned_abs();
        let into_window = SignedDuration::from_secs((draw(instance) % seconds).cast_signed());
        let into_day = self.window.start() + into_window;
        // A slot after midnight belongs to a window that began the day before.
        let midnight = midnight_before(now).saturating_sub(DAY).unwrap_or(Timestamp::MIN);
        let days = (0..=8).map_while(|day| midnight.checked_add(DAY * day).ok());
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use jiff::civil::Weekday;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    fn id(number: u32) -> InstanceId {
        InstanceId::parse(format!("r-bp1{number}")).unwrap()
    }

    fn policy(window: &str, days: &str) -> BackupPolicy {
        BackupPolicy {
            window: window.parse().unwrap(),
            days: days.parse().unwrap(),
            ..BackupPolicy::default()
        }
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    // 2024-01-01 is a Monday.
    #[rstest]
    #[case::today("18:00Z-18:01Z", "Monday", "2024-01-01T12:00:00Z", "2024-01-01T18:00:00Z")]
    #[case::over_for_today(
        "18:00Z-18:01Z",
        "Monday",
        "2024-01-01T18:01:00Z",
        "2024-01-08T18:00:00Z"
    )]
    #[case::another_day(
        "18:00Z-18:01Z",
        "Thursday",
        "2024-01-01T12:00:00Z",
        "2024-01-04T18:00:00Z"
    )]
    #[case::daily(
        "18:00Z-18:01Z",
        "Monday,Tuesday",
        "2024-01-01T19:00:00Z",
        "2024-01-02T18:00:00Z"
    )]
    #[case::at_midnight("00:00Z-00:01Z", "Sunday", "2024-01-06T23:59:59Z", "2024-01-07T00:00:00Z")]
    #[case::leap_day("18:00Z-18:01Z", "Thursday", "2024-02-28T19:00:00Z", "2024-02-29T18:00:00Z")]
    fn a_slot_is_in_the_next_window(
        #[case] window: &str,
        #[case] days: &str,
        #[case] now: &str,
        #[case] begin: &str,
    ) {
        let slot = policy(window, days).slot_after(time(now), &id(1));
        assert!(time(begin) <= slot && slot < time(begin) + MINUTE, "{slot}");
    }

    #[test]
    fn a_window_across_midnight_belongs_to_the_day_on_which_it_begins() {
        let policy = policy("23:59Z-12:00Z", "Monday");
        let slot = policy.slot_after(time("2024-01-01T00:00:00Z"), &id(1));
        assert!(slot > time("2024-01-02T00:00:00Z") && slot < time("2024-01-02T12:00:00Z"));
        // Shortly before, on Tuesday, it is still to come; then it is a week away.
        assert_eq!(policy.slot_after(slot - MINUTE, &id(1)), slot);
        assert_eq!(policy.slot_after(slot, &id(1)), slot + DAY * 7);
    }

    #[test]
    fn a_thousand_instances_are_spread_over_the_window() {
        let now = time("2024-01-01T00:00:00Z");
        let policy = BackupPolicy::default();
        let slots: Vec<_> = (0..1000).map(|number| policy.slot_after(now, &id(number))).collect();
        for quarter in 0..4 {
            let begin = time("2024-01-01T18:00:00Z") + MINUTE * 15 * quarter;
            let many = slots.iter().filter(|slot| (begin..begin + MINUTE * 15).contains(slot));
            assert!((200..300).contains(&many.count()));
        }
        assert!(slots.iter().collect::<HashSet<_>>().len() > 800);
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        let policy = BackupPolicy::default();
        assert!(policy.slot_after(Timestamp::MIN, &id(1)) > Timestamp::MIN);
        assert_eq!(policy.slot_after(Timestamp::MAX, &id(1)), Timestamp::MAX);
    }

    #[rstest]
    #[case("7", 7)]
    #[case("730", 730)]
    fn takes_a_retention(#[case] text: &str, #[case] days: u16) {
        assert_eq!(parse_retention_days(text), Ok(days));
    }

    #[rstest]
    #[case("")]
    #[case("6")]
    #[case("731")]
    #[case("99999")]
    #[case("+7")]
    #[case("7.0")]
    #[case("-7")]
    fn refuses_a_retention(#[case] text: &str) {
        assert!(parse_retention_days(text).is_err());
    }

    proptest! {
        #[test]
        fn a_slot_is_later_within_a_week_and_inside_the_window_of_a_chosen_day(
            (start, end) in (0..1440_u16, 0..1440_u16).prop_filter("distinct", |(a, b)| a != b),
            days in 1..128_u8,
            now in 0..4_000_000_000_i64,
            number in any::<u32>(),
        ) {
            let clock = |at: u16| format!("{:02}:{:02}Z", at / 60, at % 60);
            let names = [
                "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
            ];
            let chosen: Vec<_> = names.iter().enumerate()
                .filter(|(place, _)| days & (1 << place) != 0).map(|(_, name)| *name).collect();
            let window = format!("{}-{}", clock(start), clock(end));
            let policy = policy(&window, &chosen.join(","));
            let now = Timestamp::from_second(now).unwrap();
            let slot = policy.slot_after(now, &id(number));
            prop_assert!(now < slot && slot <= now + DAY * 7);
            let begins = |midnight: Timestamp| {
                let begin = midnight + policy.window.start();
                let weekday: Weekday = Offset::UTC.to_datetime(midnight).weekday();
                policy.days.contains(weekday)
                    && begin <= slot && slot < begin + policy.window.length()
            };
            let midnight = midnight_before(slot);
            prop_assert!(begins(midnight) || begins(midnight - DAY), "{slot} not in {window}");
            prop_assert_eq!(policy.slot_after(slot - MINUTE, &id(number)), slot);
        }
    }
}
