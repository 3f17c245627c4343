//! The days of the week on which backups are taken (ModifyBackupPolicy, row
//! PreferredBackupPeriod).

use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;

use super::policy::MalformedPolicy;

/// In the order in which they are written.
const NAMES: [(Weekday, &str); 7] = [
    (Weekday::Monday, "Monday"),
    (Weekday::Tuesday, "Tuesday"),
    (Weekday::Wednesday, "Wednesday"),
    (Weekday::Thursday, "Thursday"),
    (Weekday::Friday, "Friday"),
    (Weekday::Saturday, "Saturday"),
    (Weekday::Sunday, "Sunday"),
];

/// Some days of the week, at least one; written as English names with commas between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Weekdays(u8);

impl Weekdays {
    /// Every day.
    pub const ALL: Self = Self(0x7f);

    /// Whether a day is among them.
    pub fn contains(self, day: Weekday) -> bool {
        self.0 & bit(day) != 0
    }
}

impl fmt::Display for Weekdays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMES.iter().filter(|(day, _)| self.contains(*day));
        f.write_str(&names.map(|(_, name)| *name).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Weekdays {
    type Err = MalformedPolicy;

    /// A name that comes twice counts once.
    fn from_str(text: &str) -> Result<Self, MalformedPolicy> {
        text.split(',').try_fold(Self(0), |days, name| {
            let known = NAMES.iter().find(|(_, known)| *known == name);
            known.map(|(day, _)| Self(days.0 | bit(*day))).ok_or(MalformedPolicy)
        })
    }
}

fn bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Monday", "Monday")]
    #[case("Sunday,Monday", "Monday,Sunday")]
    #[case("Friday,Friday", "Friday")]
    fn takes_names_in_any_order(#[case] text: &str, #[case] written: &str) {
        let days: Weekdays = text.parse().unwrap();
        assert_eq!(days.to_string(), written);
        assert_eq!(written.parse(), Ok(days));
    }

    #[test]
    fn all_are_seven_days() {
        let all = "Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday";
        assert_eq!(Weekdays::ALL.to_string(), all);
        assert_eq!(all.parse(), Ok(Weekdays::ALL));
    }

    #[rstest]
    #[case::empty("")]
    #[case::short("Mon")]
    #[case::lower_case("monday")]
    #[case::space("Monday, Tuesday")]
    #[case::trailing("Monday,")]
    #[case::number("1")]
    fn refuses(#[case] text: &str) {
        assert!(text.parse::<Weekdays>().is_err());
    }
}
