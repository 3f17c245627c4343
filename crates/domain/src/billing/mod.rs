//! Money: prices, periods, coupons, orders, the hourly meter and what happens when money ends.
//!
//! Pure rules over integers: amounts are micro-CNY, instants are handed in. Nothing here charges
//! anyone; the store applies entries to balances in one transaction with their cause.

pub mod coupon;
pub mod ledger;
pub mod lifecycle;
pub mod money;
pub mod order;
pub mod period;
pub mod price;

pub use coupon::{Coupon, CouponError, CouponWish};
pub use ledger::{EntryKind, LedgerEntry, closing_entries, hourly_entries};
pub use lifecycle::{Stage, arrears_stage, prepaid_stage, renewal_due};
pub use money::Money;
pub use order::{Order, OrderKind};
pub use period::{AutoRenewPeriod, InvalidPeriod, Months, Period, end_time, renewed_end};

/// What a purchase asks of an account's balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A prepaid period: the amount, less the discount, is taken at once.
    Period {
        /// The price of the whole period.
        amount: Money,
        /// What a coupon takes off.
        discount: Money,
    },
    /// An hourly meter: nothing is taken yet, but one hour must be covered.
    Hourly {
        /// The price of an hour.
        price: Money,
    },
}

/// Whether the balance is enough (`CreateInstance` page, error `InsufficientBalance`).
pub fn can_afford(balance: Money, due: Due) -> bool {
    let needed = match due {
        Due::Period { amount, discount } => amount.saturating_sub(discount),
        Due::Hourly { price } => price,
    };
    balance >= needed
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn yuan(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[rstest]
    #[case("100", "100", "0", true)]
    #[case("99.99", "100", "0", false)]
    #[case("90", "100", "10", true)]
    #[case("0", "100", "100", true)]
    #[case("-1", "100", "100", false)]
    fn a_period_needs_its_price_less_the_discount(
        #[case] balance: &str,
        #[case] amount: &str,
        #[case] discount: &str,
        #[case] enough: bool,
    ) {
        let due = Due::Period { amount: yuan(amount), discount: yuan(discount) };
        assert_eq!(can_afford(yuan(balance), due), enough);
    }

    #[rstest]
    #[case("0.21", true)]
    #[case("0.20", false)]
    #[case("-5", false)]
    fn a_meter_needs_one_hour(#[case] balance: &str, #[case] enough: bool) {
        assert_eq!(can_afford(yuan(balance), Due::Hourly { price: yuan("0.21") }), enough);
    }
}
