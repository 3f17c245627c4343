//! The part of a day in which backups are taken (ModifyBackupPolicy, row PreferredBackupTime).

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;

use super::policy::MalformedPolicy;

const DAY: u16 = 24 * 60;

/// A part of each day, `HH:mmZ-HH:mmZ`. The documentation speaks of one hour and shows four; any
/// two different times of day are taken. An end before the start is on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackupWindow {
    /// Minutes after midnight, UTC.
    start: u16,
    end: u16,
}

impl BackupWindow {
    /// How long after midnight (UTC) it begins.
    pub fn start(self) -> SignedDuration {
        SignedDuration::from_mins(self.start.into())
    }

    /// How long it lasts: a minute to a day less a minute.
    pub fn length(self) -> SignedDuration {
        SignedDuration::from_mins(((DAY + self.end - self.start) % DAY).into())
    }
}

/// 18:00Z-19:00Z, two in the morning in China.
impl Default for BackupWindow {
    fn default() -> Self {
        Self { start: 18 * 60, end: 19 * 60 }
    }
}

impl fmt::Display for BackupWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end } = self;
        write!(f, "{:02}:{:02}Z-{:02}:{:02}Z", start / 60, start % 60, end / 60, end % 60)
    }
}

impl FromStr for BackupWindow {
    type Err = MalformedPolicy;

    fn from_str(text: &str) -> Result<Self, MalformedPolicy> {
        let (start, end) = text.split_once('-').ok_or(MalformedPolicy)?;
        let (start, end) = (minutes(start)?, minutes(end)?);
        if start == end { Err(MalformedPolicy) } else { Ok(Self { start, end }) }
    }
}

/// Minutes after midnight, out of `HH:mmZ`.
fn minutes(text: &str) -> Result<u16, MalformedPolicy> {
    let [h1, h2, b':', m1, m2, b'Z'] = *text.as_bytes() else { return Err(MalformedPolicy) };
    let number = |tens: u8, ones: u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| u16::from(tens - b'0') * 10 + u16::from(ones - b'0'))
    };
    match (number(h1, h2), number(m1, m2)) {
        (Some(hour @ 0..24), Some(minute @ 0..60)) => Ok(hour * 60 + minute),
        _ => Err(MalformedPolicy),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::default("18:00Z-19:00Z", 60)]
    #[case::four_hours("02:00Z-06:00Z", 240)]
    #[case::across_midnight("23:30Z-00:30Z", 60)]
    #[case::until_midnight("23:00Z-00:00Z", 60)]
    #[case::nearly_a_day("12:00Z-11:59Z", 1439)]
    fn takes_any_two_times(#[case] text: &str, #[case] minutes: i64) {
        let window: BackupWindow = text.parse().unwrap();
        assert_eq!(window.to_string(), text);
        assert_eq!(window.length(), SignedDuration::from_mins(minutes));
    }

    #[rstest]
    #[case::empty("")]
    #[case::equal("18:00Z-18:00Z")]
    #[case::one("18:00Z")]
    #[case::no_zone("18:00-19:00")]
    #[case::end_of_day("23:00Z-24:00Z")]
    #[case::minute("18:60Z-19:00Z")]
    #[case::one_digit("1:00Z-2:00Z")]
    #[case::seconds("18:00:00Z-19:00:00Z")]
    #[case::spaces("18:00Z - 19:00Z")]
    #[case::three("18:00Z-19:00Z-20:00Z")]
    #[case::sign("+1:00Z-02:00Z")]
    fn refuses(#[case] text: &str) {
        assert!(text.parse::<BackupWindow>().is_err());
    }

    #[test]
    fn the_default_is_two_in_the_morning_in_china() {
        assert_eq!(BackupWindow::default().to_string(), "18:00Z-19:00Z");
    }
}
