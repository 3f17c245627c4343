//! The ledger: which stretch of time of which instance was paid, and the hourly meter.
//!
//! The entries of an instance follow each other: each begins where the one before ended, the
//! first at the opening. The meter only ever looks at the end of the last entry, so running it
//! twice, late, or on a clock that went back neither charges an hour twice nor skips one.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::Money;
use crate::ids::{AccountId, InstanceId};

/// How the time of an entry was sold.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// One metered hour.
    Hourly,
    /// A prepaid period.
    Period,
}

/// Money taken for a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// What was used.
    pub instance: InstanceId,
    /// Who paid.
    pub account: AccountId,
    /// The first instant that is covered.
    pub from: Timestamp,
    /// The first instant that is covered no more.
    pub to: Timestamp,
    /// What it cost.
    pub amount: Money,
    /// How it was sold.
    pub kind: EntryKind,
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The most entries that one pass yields: about a year. A pass that yields so many is to be
/// followed by another; so a clock that jumps to the far end cannot exhaust memory.
pub const MAX_ENTRIES: usize = 24 * 366;

/// The hours that are over at `now` and not metered yet, in order.
///
/// `metered_until` is the end of the last entry, or the opening if there is none. Hours are
/// counted from the opening.
pub fn hourly_entries(
    opened: Timestamp,
    metered_until: Timestamp,
    now: Timestamp,
) -> Vec<(Timestamp, Timestamp)> {
    hours(opened, metered_until).take_while(|(_, to)| *to <= now).take(MAX_ENTRIES).collect()
}

/// The hours to charge when the meter is closed at `closed`: those of [`hourly_entries`] and the
/// hour that has begun, which counts in full.
pub fn closing_entries(
    opened: Timestamp,
    metered_until: Timestamp,
    closed: Timestamp,
) -> Vec<(Timestamp, Timestamp)> {
    hours(opened, metered_until).take_while(|(from, _)| *from < closed).take(MAX_ENTRIES).collect()
}

/// Hour after hour, beginning where metering stopped.
fn hours(
    opened: Timestamp,
    metered_until: Timestamp,
) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let start = metered_until.max(opened);
    let ends = move |from: &Timestamp| aligned_end(opened, *from);
    std::iter::successors(Some(start), ends).map_while(move |from| Some((from, ends(&from)?)))
}

/// The end of the hour, counted from the opening, in which `from` lies: a whole hour later for
/// anything the meter itself wrote, and back in step after an entry that ended elsewhere.
fn aligned_end(opened: Timestamp, from: Timestamp) -> Option<Timestamp> {
    let into_hour = from.duration_since(opened).as_nanos().checked_rem(HOUR.as_nanos())?;
    let into_hour = SignedDuration::from_nanos(i64::try_from(into_hour).ok()?);
    from.checked_add(HOUR.checked_sub(into_hour)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn in_seconds(entries: &[(Timestamp, Timestamp)]) -> Vec<(i64, i64)> {
        entries.iter().map(|(from, to)| (from.as_second(), to.as_second())).collect()
    }

    #[rstest]
    #[case(0, 0, &[])]
    #[case(0, 3_599, &[])]
    #[case(0, 3_600, &[(0, 3_600)])]
    #[case(0, 7_300, &[(0, 3_600), (3_600, 7_200)])]
    #[case(3_600, 7_300, &[(3_600, 7_200)])]
    #[case(7_200, 7_300, &[])]
    // The clock went back: nothing until it has caught up.
    #[case(7_200, 100, &[])]
    fn charges_the_hours_that_are_over(
        #[case] metered_until: i64,
        #[case] now: i64,
        #[case] entries: &[(i64, i64)],
    ) {
        // The opening is not on a full hour of the clock.
        let shift = 1_234;
        let shifted: Vec<_> = entries.iter().map(|(a, b)| (a + shift, b + shift)).collect();
        let got = hourly_entries(at(shift), at(metered_until + shift), at(now + shift));
        assert_eq!(in_seconds(&got), shifted);
    }

    #[rstest]
    #[case(0, 0, &[])]
    #[case(0, 1, &[(0, 3_600)])]
    #[case(0, 3_600, &[(0, 3_600)])]
    #[case(0, 3_601, &[(0, 3_600), (3_600, 7_200)])]
    #[case(3_600, 3_600, &[])]
    #[case(7_200, 100, &[])]
    fn closing_charges_the_begun_hour_in_full(
        #[case] metered_until: i64,
        #[case] closed: i64,
        #[case] entries: &[(i64, i64)],
    ) {
        assert_eq!(in_seconds(&closing_entries(at(0), at(metered_until), at(closed))), entries);
    }

    #[test]
    fn a_pass_is_bounded_and_the_next_one_goes_on() {
        let first = hourly_entries(at(0), at(0), Timestamp::MAX);
        assert_eq!(first.len(), MAX_ENTRIES);
        let end = first.last().unwrap().1;
        assert_eq!(hourly_entries(at(0), end, Timestamp::MAX)[0].0, end);
    }

    #[test]
    fn the_end_of_time_ends_the_meter() {
        assert_eq!(closing_entries(Timestamp::MAX, Timestamp::MAX, Timestamp::MAX), []);
    }

    proptest! {
        /// The job runs at arbitrary times on a clock that jumps both ways, then the meter is
        /// closed: the entries cover the life without a hole and without an overlap.
        #[test]
        fn entries_never_overlap_and_leave_no_hole(
            opened in 0_i64..1_000_000,
            runs in prop::collection::vec(-50_000_i64..500_000, 0..20),
            closed in 0_i64..500_000,
        ) {
            let mut until = at(opened);
            for run in runs {
                let now = at((opened + run).max(0));
                let entries = hourly_entries(at(opened), until, now);
                for (from, to) in entries {
                    prop_assert_eq!(from, until);
                    prop_assert_eq!(to.duration_since(from), HOUR);
                    prop_assert!(to <= now);
                    until = to;
                }
                prop_assert_eq!(hourly_entries(at(opened), until, now), []);
            }
            for (from, to) in closing_entries(at(opened), until, at(opened + closed)) {
                prop_assert_eq!(from, until);
                prop_assert_eq!(to.duration_since(from), HOUR);
                until = to;
            }
            prop_assert!(until >= at(opened + closed));
            prop_assert_eq!(closing_entries(at(opened), until, at(opened + closed)), []);
        }
    }
}
