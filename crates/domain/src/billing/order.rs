//! Orders: the record of each purchase.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::Money;
use crate::ids::{AccountId, CouponNo, InstanceId, OrderId};

/// What was ordered.
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
pub enum OrderKind {
    /// The first prepaid period.
    Buy,
    /// A further prepaid period.
    Renew,
    /// An hourly meter; costs nothing by itself.
    Open,
}

/// One purchase, complete when it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number, which answers show as `OrderId`.
    pub id: OrderId,
    /// Who pays.
    pub account: AccountId,
    /// What for.
    pub instance: InstanceId,
    /// What kind of purchase.
    pub kind: OrderKind,
    /// The price before the discount.
    pub amount: Money,
    /// What the coupon took off.
    pub discount: Money,
    /// The coupon that was used up.
    pub coupon: Option<CouponNo>,
    /// `BusinessInfo` of the request, kept as it came.
    pub business_info: Option<String>,
    /// When it was placed.
    pub created_at: Timestamp,
}

impl Order {
    /// What the account pays.
    pub fn due(&self) -> Money {
        self.amount.saturating_sub(self.discount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_store_are_read_back() {
        for kind in OrderKind::VARIANTS {
            assert_eq!(kind.to_string().parse(), Ok(*kind));
        }
        assert_eq!(OrderKind::Open.to_string(), "open");
    }
}
