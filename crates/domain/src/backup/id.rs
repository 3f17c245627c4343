//! Numbers of backups and of the jobs that take them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::Malformed;

/// Nine decimal digits: SDKs read these numbers into 32 bits.
const RANGE: std::ops::RangeInclusive<i64> = 100_000_000..=999_999_999;

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(i64);

        impl $name {
            /// Takes a number of nine decimal digits.
            pub fn new(number: i64) -> Option<Self> {
                RANGE.contains(&number).then_some(Self(number))
            }

            /// The number as it stands on the wire.
            pub fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                let digits = text.bytes().all(|b| b.is_ascii_digit());
                let number = text.parse().ok().filter(|_| digits && text.len() == 9);
                number.and_then(Self::new).ok_or(Malformed { kind: stringify!($name) })
            }
        }

        impl TryFrom<i64> for $name {
            type Error = Malformed;
            fn try_from(number: i64) -> Result<Self, Malformed> {
                Self::new(number).ok_or(Malformed { kind: stringify!($name) })
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> i64 {
                id.0
            }
        }
    )+};
}

numbers! {
    /// A backup.
    BackupId,
    /// The job that takes a backup.
    BackupJobId,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("100000000")]
    #[case("999999999")]
    fn accepts_nine_digits(#[case] text: &str) {
        let id: BackupId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(serde_json::to_string(&id).unwrap(), text);
        assert_eq!(serde_json::from_str::<BackupId>(text).unwrap(), id);
    }

    #[rstest]
    #[case::empty("")]
    #[case::short("99999999")]
    #[case::long("1000000000")]
    #[case::leading_zero("012345678")]
    #[case::sign("+12345678")]
    #[case::another_script("１23456789")]
    #[case::list("123456789,123456789")]
    fn refuses(#[case] text: &str) {
        assert!(text.parse::<BackupJobId>().is_err());
        assert!(BackupId::new(99_999_999).is_none());
    }
}
