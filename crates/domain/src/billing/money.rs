//! Amounts of money: whole micro-CNY, never a float.

use serde::{Deserialize, Serialize};

/// An amount in micro-CNY (one millionth of a yuan); may be negative.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Money(i64);

/// The text is not an amount of at most six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an amount of CNY: digits, at most six of them after the point")]
pub struct InvalidMoney;

const MICROS_PER_YUAN: i64 = 1_000_000;

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many micro-CNY.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// So many whole yuan; none if that is too much to count.
    pub const fn from_yuan(yuan: i64) -> Option<Self> {
        match yuan.checked_mul(MICROS_PER_YUAN) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// The amount in micro-CNY, as it is stored.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The sum, unless it is too much to count.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, unless it is too much to count.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// So many times the amount, unless it is too much to count.
    pub fn checked_mul(self, times: i64) -> Option<Self> {
        self.0.checked_mul(times).map(Self)
    }

    /// The difference, or the nearest amount that can be counted.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// So many times the amount, or the nearest amount that can be counted.
    #[must_use]
    pub fn saturating_mul(self, times: i64) -> Self {
        Self(self.0.saturating_mul(times))
    }

    /// So many percent of the amount, halves of a micro-CNY rounded away from zero.
    #[must_use]
    pub fn percent(self, percent: u32) -> Self {
        let hundredths = i128::from(self.0) * i128::from(percent);
        let rounded = (hundredths + 50 * hundredths.signum()) / 100;
        let bound = if rounded < 0 { i64::MIN } else { i64::MAX };
        Self(i64::try_from(rounded).unwrap_or(bound))
    }
}

impl std::fmt::Display for Money {
    /// Yuan with two decimals, or with as many as it takes to be exact: `12.34`, `0.063`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let decimals = format!("{:06}", micros % MICROS_PER_YUAN.unsigned_abs());
        let (fen, rest) = decimals.split_at(2);
        let rest = rest.trim_end_matches('0');
        write!(f, "{sign}{}.{fen}{rest}", micros / MICROS_PER_YUAN.unsigned_abs())
    }
}

impl std::str::FromStr for Money {
    type Err = InvalidMoney;

    fn from_str(text: &str) -> Result<Self, InvalidMoney> {
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (yuan, decimals) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        if yuan.is_empty()
            || !digits(yuan)
            || !(1..=6).contains(&decimals.len())
            || !digits(decimals)
        {
            return Err(InvalidMoney);
        }
        let number = |part: &str| part.parse::<i64>().map_err(|_| InvalidMoney);
        let micros = number(&format!("{decimals:0<6}"))?;
        let amount = number(yuan)?
            .checked_mul(MICROS_PER_YUAN)
            .and_then(|whole| whole.checked_add(micros))
            .ok_or(InvalidMoney)?;
        Ok(Self(if negative { -amount } else { amount }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(12_340_000, "12.34")]
    #[case(0, "0.00")]
    #[case(63_000, "0.063")]
    #[case(1, "0.000001")]
    #[case(-12_340_000, "-12.34")]
    #[case(-10_000, "-0.01")]
    #[case(i64::MIN, "-9223372036854.775808")]
    fn shows_yuan_exactly(#[case] micros: i64, #[case] text: &str) {
        assert_eq!(Money::from_micros(micros).to_string(), text);
    }

    #[rstest]
    #[case("")]
    #[case(".5")]
    #[case("1.")]
    #[case("1.2345678")]
    #[case("1,5")]
    #[case("+1")]
    #[case("--1")]
    #[case("1e3")]
    #[case("١")]
    #[case("99999999999999")]
    fn refuses_what_is_not_an_amount(#[case] text: &str) {
        assert_eq!(text.parse::<Money>(), Err(InvalidMoney));
    }

    #[test]
    fn arithmetic_says_when_it_cannot_count() {
        let most = Money::from_micros(i64::MAX);
        assert_eq!(most.checked_add(Money::from_micros(1)), None);
        assert_eq!(most.checked_mul(2), None);
        assert_eq!(Money::from_micros(i64::MIN).checked_sub(Money::from_micros(1)), None);
        assert_eq!(Money::from_yuan(i64::MAX), None);
        assert_eq!(most.percent(200), most);
    }

    #[rstest]
    #[case(210_000, 115, 241_500)]
    #[case(1, 50, 1)]
    #[case(1, 49, 0)]
    #[case(-1, 50, -1)]
    fn percent_rounds_halves_away_from_zero(
        #[case] micros: i64,
        #[case] percent: u32,
        #[case] expected: i64,
    ) {
        assert_eq!(Money::from_micros(micros).percent(percent).micros(), expected);
    }

    proptest! {
        #[test]
        fn reads_back_what_it_shows(micros in i64::MIN + 1..=i64::MAX) {
            let money = Money::from_micros(micros);
            prop_assert_eq!(money.to_string().parse::<Money>(), Ok(money));
        }
    }
}
