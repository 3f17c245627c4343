//! Periods that are paid in advance, and when they end.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{Span, Timestamp};

/// China Standard Time has no daylight saving; the vendor's days begin at 16:00:00Z.
const CHINA: Offset = jiff::tz::offset(8);

/// A number of months, 1 to 36.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Months(u8);

/// The text is not one of the documented numbers of months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of the documented numbers of months")]
pub struct InvalidPeriod;

impl Months {
    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// A period to buy: 1 to 9, 12, 24 or 36 months (`CreateInstance` page, row Period).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period(Months);

impl Period {
    const LISTED: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 24, 36];

    /// Takes one of the listed numbers, in plain decimal.
    pub fn parse(text: &str) -> Result<Self, InvalidPeriod> {
        listed(text, Self::LISTED).map(Self)
    }

    /// The length.
    pub fn months(self) -> Months {
        self.0
    }
}

/// A period of automatic renewal: 1, 2, 3, 6 or 12 months (`CreateInstance` page, row
/// `AutoRenewPeriod`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AutoRenewPeriod(Months);

impl AutoRenewPeriod {
    const LISTED: &[u8] = &[1, 2, 3, 6, 12];

    /// Takes one of the listed numbers, in plain decimal.
    pub fn parse(text: &str) -> Result<Self, InvalidPeriod> {
        listed(text, Self::LISTED).map(Self)
    }

    /// The length.
    pub fn months(self) -> Months {
        self.0
    }
}

/// Comparing texts, not numbers, leaves no second spelling (`+1`, `01`, `１`).
fn listed(text: &str, list: &[u8]) -> Result<Months, InvalidPeriod> {
    list.iter().find(|months| months.to_string() == text).map(|m| Months(*m)).ok_or(InvalidPeriod)
}

/// When a period that starts at `start` ends: so many calendar months later in China, the day
/// clamped to the end of a shorter month, and then the first midnight there (16:00:00Z) that is
/// not earlier.
///
/// Beyond the last instant that can be written, it is that instant.
pub fn end_time(start: Timestamp, months: Months) -> Timestamp {
    aligned_end(start, months).unwrap_or(Timestamp::MAX)
}

/// When a renewed instance ends: the months count from the old end, or from the renewal if the
/// instance had expired.
pub fn renewed_end(old_end: Timestamp, now: Timestamp, months: Months) -> Timestamp {
    end_time(old_end.max(now), months)
}

fn aligned_end(start: Timestamp, months: Months) -> Result<Timestamp, jiff::Error> {
    let months = Span::new().try_months(months.get())?;
    let later = CHINA.to_datetime(start).checked_add(months)?;
    CHINA.to_timestamp(midnight_at_or_after(later)?)
}

fn midnight_at_or_after(moment: DateTime) -> Result<DateTime, jiff::Error> {
    let midnight = moment.start_of_day();
    if midnight == moment { Ok(midnight) } else { midnight.tomorrow() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn periods_are_the_listed_ones() {
        let accepted = |parse: fn(&str) -> Option<u8>| -> Vec<u8> {
            (0..=255_u8).filter(|n| parse(&n.to_string()) == Some(*n)).collect()
        };
        let period = |text: &str| Period::parse(text).ok().map(|p| p.months().get());
        let renewal = |text: &str| AutoRenewPeriod::parse(text).ok().map(|p| p.months().get());
        assert_eq!(accepted(period), [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 24, 36]);
        assert_eq!(accepted(renewal), [1, 2, 3, 6, 12]);
    }

    #[rstest]
    #[case("")]
    #[case("01")]
    #[case("+1")]
    #[case("1.0")]
    #[case(" 1")]
    #[case("１")]
    #[case("257")]
    #[case("-1")]
    fn refuses_other_spellings(#[case] text: &str) {
        assert_eq!(Period::parse(text), Err(InvalidPeriod));
        assert_eq!(AutoRenewPeriod::parse(text), Err(InvalidPeriod));
    }

    #[rstest]
    // The EndTime sample of the CreateInstance page.
    #[case("2018-12-18T08:00:00Z", 1, "2019-01-18T16:00:00Z")]
    #[case("2018-12-18T16:00:00Z", 1, "2019-01-18T16:00:00Z")]
    #[case("2018-12-18T16:00:01Z", 1, "2019-01-19T16:00:00Z")]
    #[case("2018-12-18T15:59:59.999Z", 1, "2019-01-18T16:00:00Z")]
    // 31 January in China, and a February of 28 days: the last day of February, then midnight.
    #[case("2019-01-31T04:00:00Z", 1, "2019-02-28T16:00:00Z")]
    #[case("2020-01-31T04:00:00Z", 1, "2020-02-29T16:00:00Z")]
    // 30 January in London is 31 January in China.
    #[case("2019-01-30T16:00:00Z", 1, "2019-02-27T16:00:00Z")]
    #[case("2020-02-29T04:00:00Z", 12, "2021-02-28T16:00:00Z")]
    #[case("2019-05-05T05:05:05Z", 36, "2022-05-05T16:00:00Z")]
    fn ends_at_the_midnight_after_so_many_months(
        #[case] start: &str,
        #[case] months: u8,
        #[case] end: &str,
    ) {
        assert_eq!(end_time(at(start), Months(months)), at(end));
    }

    #[rstest]
    #[case("2019-01-10T00:00:00Z", "2019-02-18T16:00:00Z")]
    #[case("2019-01-25T08:00:00Z", "2019-02-25T16:00:00Z")]
    fn renewal_counts_from_the_old_end_or_from_the_renewal_when_expired(
        #[case] now: &str,
        #[case] end: &str,
    ) {
        assert_eq!(renewed_end(at("2019-01-18T16:00:00Z"), at(now), Months(1)), at(end));
    }

    #[test]
    fn the_end_of_time_is_an_end() {
        assert_eq!(end_time(Timestamp::MAX, Months(36)), Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn a_period_is_never_shorter_than_its_months(
            seconds in 0_i64..4_000_000_000,
            months in prop::sample::select(Period::LISTED),
        ) {
            let start = Timestamp::from_second(seconds).unwrap();
            let end = end_time(start, Months(months));
            prop_assert_eq!((end.as_second() - 16 * 3600) % 86_400, 0);
            let days = end.duration_since(start).as_hours() / 24;
            let months = i64::from(months);
            prop_assert!((28 * months..=31 * months + 1).contains(&days));
        }
    }
}
