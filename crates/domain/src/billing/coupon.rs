//! Coupons: discounts that an operator gave to an account, each good for one order.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::Money;
use crate::ids::{AccountId, CouponNo, Malformed, OrderId};

/// The documented default of `CouponNo`, which stands for no coupon.
pub const BLANK: &str = "youhuiquan_promotion_option_id_for_blank";
/// What newer clients send for the same.
const BLANK_OF_LATER_CLIENTS: &str = "default";

/// A discount that can be used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coupon {
    /// Its number.
    pub no: CouponNo,
    /// Who may use it.
    pub account: AccountId,
    /// What it takes off, at most the price itself.
    pub amount: Money,
    /// The smallest price for which it may be used.
    pub min_spend: Money,
    /// From then on it is worth nothing.
    pub expires: Timestamp,
    /// The order that used it up.
    pub used_by: Option<OrderId>,
}

/// What a request says about coupons (`CreateInstance` page, rows `CouponNo` and `AutoUseCoupon`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CouponWish {
    /// Use none.
    None,
    /// Use this one or refuse the order.
    Named(CouponNo),
    /// Use whichever takes off most, if any does.
    Best,
}

/// Why a named coupon cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CouponError {
    /// The account has no such coupon.
    #[error("the account has no such coupon")]
    NotFound,
    /// An order has used it up.
    #[error("the coupon has been used")]
    Used,
    /// Its time is over.
    #[error("the coupon has expired")]
    Expired,
    /// The order is too small for it.
    #[error("the order does not reach the coupon's minimum")]
    BelowMinimum,
}

impl CouponWish {
    /// A named coupon goes before the automatic choice.
    pub fn parse(coupon_no: Option<&str>, auto_use: bool) -> Result<Self, Malformed> {
        match coupon_no {
            Some(no) if no != BLANK && no != BLANK_OF_LATER_CLIENTS => {
                CouponNo::parse(no).map(Self::Named)
            }
            _ if auto_use => Ok(Self::Best),
            _ => Ok(Self::None),
        }
    }

    /// The coupon to use on an order of that price, out of the coupons of any accounts.
    ///
    /// The best one takes off most of the price; among equals the one that expires first, then
    /// the one with the lower number.
    pub fn choose<'a>(
        &self,
        coupons: &'a [Coupon],
        account: &AccountId,
        price: Money,
        now: Timestamp,
    ) -> Result<Option<&'a Coupon>, CouponError> {
        let mut owned = coupons.iter().filter(|coupon| coupon.account == *account);
        match self {
            Self::None => Ok(None),
            Self::Named(no) => {
                let coupon = owned.find(|coupon| coupon.no == *no).ok_or(CouponError::NotFound)?;
                coupon.check(price, now).map(|()| Some(coupon))
            }
            Self::Best => Ok(owned
                .filter(|coupon| coupon.check(price, now).is_ok())
                .filter(|coupon| coupon.discount(price) > Money::ZERO)
                .max_by_key(|coupon| {
                    (coupon.discount(price), Reverse(coupon.expires), Reverse(&coupon.no))
                })),
        }
    }
}

impl Coupon {
    /// What it takes off an order of that price: never more than the price, never less than
    /// nothing.
    pub fn discount(&self, price: Money) -> Money {
        self.amount.min(price).max(Money::ZERO)
    }

    /// Whether it may be used on an order of that price.
    fn check(&self, price: Money, now: Timestamp) -> Result<(), CouponError> {
        if self.used_by.is_some() {
            Err(CouponError::Used)
        } else if now >= self.expires {
            Err(CouponError::Expired)
        } else if price < self.min_spend {
            Err(CouponError::BelowMinimum)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_000_000, 0);

    fn account(text: &str) -> AccountId {
        AccountId::parse(text).unwrap()
    }

    fn coupon(no: &str, yuan: i64, expires_in: i64) -> Coupon {
        Coupon {
            no: CouponNo::parse(no).unwrap(),
            account: account("1000000000000001"),
            amount: Money::from_yuan(yuan).unwrap(),
            min_spend: Money::ZERO,
            expires: Timestamp::from_second(NOW.as_second() + expires_in).unwrap(),
            used_by: None,
        }
    }

    fn chosen(
        wish: &CouponWish,
        coupons: &[Coupon],
        price: i64,
    ) -> Result<Option<String>, CouponError> {
        let price = Money::from_yuan(price).unwrap();
        wish.choose(coupons, &account("1000000000000001"), price, NOW)
            .map(|coupon| coupon.map(|coupon| coupon.no.to_string()))
    }

    fn named(no: &str) -> CouponWish {
        CouponWish::Named(CouponNo::parse(no).unwrap())
    }

    #[rstest]
    #[case(None, false, CouponWish::None)]
    #[case(Some(BLANK), false, CouponWish::None)]
    #[case(Some("default"), false, CouponWish::None)]
    #[case(None, true, CouponWish::Best)]
    #[case(Some(BLANK), true, CouponWish::Best)]
    #[case(Some("c1"), true, named("c1"))]
    fn the_blank_value_is_no_coupon(
        #[case] no: Option<&str>,
        #[case] auto_use: bool,
        #[case] wish: CouponWish,
    ) {
        assert_eq!(CouponWish::parse(no, auto_use), Ok(wish));
    }

    #[test]
    fn a_malformed_number_is_refused() {
        assert!(CouponWish::parse(Some("a b\n"), true).is_err());
    }

    #[test]
    fn a_named_coupon_must_be_usable() {
        let mut used = coupon("used", 5, 10);
        used.used_by = Some(OrderId::parse("1").unwrap());
        let mut large = coupon("large", 5, 10);
        large.min_spend = Money::from_yuan(101).unwrap();
        let mut foreign = coupon("foreign", 5, 10);
        foreign.account = account("1000000000000002");
        let coupons = [used, coupon("old", 5, 0), large, foreign, coupon("good", 5, 1)];
        for (no, verdict) in [
            ("used", Err(CouponError::Used)),
            ("old", Err(CouponError::Expired)),
            ("large", Err(CouponError::BelowMinimum)),
            ("foreign", Err(CouponError::NotFound)),
            ("none", Err(CouponError::NotFound)),
            ("good", Ok(Some("good".to_owned()))),
        ] {
            assert_eq!(chosen(&named(no), &coupons, 100), verdict, "{no}");
        }
    }

    #[test]
    fn the_best_takes_off_most_and_spares_what_lasts_longer() {
        let coupons =
            [coupon("a", 50, 9), coupon("b", 80, 9), coupon("c", 90, 5), coupon("d", 99, -1)];
        assert_eq!(chosen(&CouponWish::Best, &coupons, 100), Ok(Some("c".into())));
        // All three would make it free: the one that expires first goes first.
        assert_eq!(chosen(&CouponWish::Best, &coupons, 40), Ok(Some("c".into())));
        assert_eq!(chosen(&CouponWish::Best, &coupons[..2], 40), Ok(Some("a".into())));
        assert_eq!(chosen(&CouponWish::Best, &[], 40), Ok(None));
        assert_eq!(chosen(&CouponWish::Best, &coupons, 0), Ok(None));
    }

    #[test]
    fn a_discount_is_between_nothing_and_the_price() {
        let price = Money::from_yuan(30).unwrap();
        assert_eq!(coupon("a", 50, 1).discount(price), price);
        assert_eq!(coupon("a", -50, 1).discount(price), Money::ZERO);
    }
}
