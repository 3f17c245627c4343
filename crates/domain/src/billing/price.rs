//! What an hour and a prepaid period cost (`data/price_book.json`).
//!
//! The vendor documents hourly units only. A month is priced as so many hours, times the percent
//! that the price book sets for the length of the period.

use std::sync::OnceLock;

use serde::Deserialize;

use super::{Money, Months};
use crate::catalogue::{Class, Region};

/// The rules that turn hours into periods.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceBook {
    currency: String,
    hours_per_month: i64,
    /// In ascending order of `from_months`; the last that applies counts.
    periods: Vec<PeriodRate>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeriodRate {
    from_months: u8,
    percent: u32,
}

impl PriceBook {
    fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<PriceBook> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            serde_json::from_str(include_str!("../../data/price_book.json"))
                .expect("the embedded price book is the one that the tests of this module read")
        })
    }

    fn percent(&self, months: Months) -> u32 {
        let applies = |rate: &&PeriodRate| rate.from_months <= months.get();
        self.periods.iter().rfind(applies).map_or(100, |rate| rate.percent)
    }
}

/// The currency of every amount, for answers that name it.
pub fn currency() -> &'static str {
    &PriceBook::builtin().currency
}

/// The price of an hour of that class in that region.
pub fn hourly(class: &Class, region: &Region) -> Money {
    Money::from_micros(class.hourly_price).percent(region.price_percent)
}

/// The price of so many months of that class in that region.
pub fn prepaid(class: &Class, region: &Region, months: Months) -> Money {
    let book = PriceBook::builtin();
    hourly(class, region)
        .saturating_mul(book.hours_per_month)
        .saturating_mul(i64::from(months.get()))
        .percent(book.percent(months))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::billing::Period;
    use crate::catalogue::Catalogue;
    use crate::ids::RegionId;

    fn region(id: &str) -> &'static Region {
        Catalogue::builtin().region(&RegionId::parse(id).unwrap()).unwrap()
    }

    fn class(code: &str) -> &'static Class {
        Catalogue::builtin().class(code).unwrap()
    }

    fn months(text: &str) -> Months {
        Period::parse(text).unwrap().months()
    }

    #[rstest]
    #[case("redis.master.small.default", "cn-hangzhou", "0.21")]
    #[case("redis.master.micro.default", "cn-hangzhou", "0.063")]
    #[case("redis.master.small.default", "cn-hongkong", "0.2415")]
    #[case("redis.master.small.default", "cn-zhangjiakou", "0.1575")]
    #[case("redis.basic.small.default", "cn-hangzhou", "0.126")]
    fn an_hour_costs_the_class_price_times_the_region(
        #[case] code: &str,
        #[case] id: &str,
        #[case] price: &str,
    ) {
        assert_eq!(hourly(class(code), region(id)).to_string(), price);
    }

    #[rstest]
    #[case("1", "151.20")]
    #[case("12", "1814.40")]
    #[case("36", "5443.20")]
    fn a_month_costs_720_hours(#[case] period: &str, #[case] price: &str) {
        let class = class("redis.master.small.default");
        assert_eq!(prepaid(class, region("cn-hangzhou"), months(period)).to_string(), price);
    }

    #[test]
    fn every_price_can_be_counted() {
        for class in Catalogue::builtin().classes() {
            for region in Catalogue::builtin().regions() {
                let most = prepaid(class, region, months("36"));
                assert!(most > Money::ZERO && most < Money::from_yuan(1_000_000_000).unwrap());
            }
        }
    }

    #[test]
    fn the_price_book_is_in_order() {
        let book = PriceBook::builtin();
        assert!(book.periods.is_sorted_by_key(|rate| rate.from_months));
        assert!(book.periods.iter().all(|rate| (1..=100).contains(&rate.percent)));
        assert_eq!(currency(), "CNY");
    }

    #[test]
    fn the_longest_rate_that_applies_counts() {
        let rate = |from_months, percent| PeriodRate { from_months, percent };
        let book = PriceBook {
            currency: "CNY".into(),
            hours_per_month: 720,
            periods: vec![rate(1, 100), rate(12, 85), rate(24, 70)],
        };
        let percent = |text| book.percent(months(text));
        assert_eq!([percent("9"), percent("12"), percent("24"), percent("36")], [100, 85, 70, 70]);
    }
}
