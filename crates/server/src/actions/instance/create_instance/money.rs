//! Who may buy, how much, and what it costs.

use jiff::Timestamp;
use ourkv_domain::account::Account;
use ourkv_domain::billing::{
    Coupon, Due, EntryKind, LedgerEntry, Money, Order, OrderKind, can_afford, end_time, price,
};
use ourkv_domain::instance::Charge;
use ourkv_store::{Meter, Tx};

use super::request::Payment;
use super::{Creation, Refusal};
use crate::actions::Failure;

impl Creation {
    /// Permission and state of the account.
    pub(super) fn check_account(&self, account: &Account) -> Result<(), Refusal> {
        if !account.real_name {
            return Err(Refusal::NoRealName);
        }
        if account.finance && !self.region.id.as_str().contains("-finance") {
            return Err(Refusal::FinanceUser);
        }
        Ok(())
    }

    /// How many hourly-paid instances the account may have, in all and in the region.
    pub(super) fn check_quota(&self, tx: &mut Tx<'_>, account: &Account) -> Result<(), Failure> {
        if self.request.payment != Payment::Hourly {
            return Ok(());
        }
        if tx.count_postpaid(&account.id, None)? >= account.postpaid_quota {
            return Err(Refusal::AfterpayQuota.into());
        }
        let here = tx.count_postpaid(&account.id, Some(&self.region.id))?;
        if here >= account.postpaid_quota_per_region {
            return Err(Refusal::RegionQuota.into());
        }
        Ok(())
    }

    /// Takes the money, or opens the meter.
    pub(super) fn pay(&self, tx: &mut Tx<'_>, account: &Account) -> Result<Charge, Failure> {
        match self.request.payment {
            Payment::Hourly => {
                self.open_meter(tx, account)?;
                Ok(Charge::PostPaid)
            }
            Payment::Ahead { months, auto_renew } => {
                let end = end_time(self.now, months);
                let amount = price::prepaid(self.class, self.region, months);
                self.pay_ahead(tx, account, amount, end)?;
                Ok(Charge::PrePaid { end, auto_renew })
            }
        }
    }

    /// Hourly: something to charge afterwards must be on file, and an hour must be affordable.
    fn open_meter(&self, tx: &mut Tx<'_>, account: &Account) -> Result<(), Failure> {
        if !account.payment_method {
            return Err(Refusal::NoPaymentMethod.into());
        }
        let hourly_price = price::hourly(self.class, self.region);
        if !can_afford(account.balance, Due::Hourly { price: hourly_price }) {
            return Err(Refusal::NoMoney.into());
        }
        tx.insert_order(&self.order(OrderKind::Open, Money::ZERO, None))?;
        tx.open_meter(&Meter {
            instance: self.id.clone(),
            account: self.account.clone(),
            hourly_price,
            opened: self.now,
            metered_until: self.now,
            closed: None,
        })?;
        Ok(())
    }

    /// In advance: the whole period at once, less a coupon.
    fn pay_ahead(
        &self,
        tx: &mut Tx<'_>,
        account: &Account,
        amount: Money,
        end: Timestamp,
    ) -> Result<(), Failure> {
        let coupons = tx.coupons(&self.account)?;
        let coupon = self.request.coupon.choose(&coupons, &self.account, amount, self.now);
        let coupon = coupon.map_err(|_| Refusal::UnknownCoupon)?;
        let order = self.order(OrderKind::Buy, amount, coupon);
        if !can_afford(account.balance, Due::Period { amount, discount: order.discount }) {
            return Err(Refusal::NoMoney.into());
        }
        if let Some(coupon) = coupon
            && !tx.use_coupon(&coupon.no, &order.id)?
        {
            return Err(Refusal::UnknownCoupon.into());
        }
        tx.insert_order(&order)?;
        tx.change_balance(&self.account, Money::ZERO.saturating_sub(order.due()), self.now)?;
        tx.insert_entry(&LedgerEntry {
            instance: self.id.clone(),
            account: self.account.clone(),
            from: self.now,
            to: end,
            amount: order.due(),
            kind: EntryKind::Period,
        })?;
        Ok(())
    }

    fn order(&self, kind: OrderKind, amount: Money, coupon: Option<&Coupon>) -> Order {
        Order {
            id: self.platform.mint.order(),
            account: self.account.clone(),
            instance: self.id.clone(),
            kind,
            amount,
            discount: coupon.map_or(Money::ZERO, |coupon| coupon.discount(amount)),
            coupon: coupon.map(|coupon| coupon.no.clone()),
            business_info: self.request.business_info.clone(),
            created_at: self.now,
        }
    }
}
