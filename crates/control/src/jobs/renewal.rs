//! Automatic renewal of what is paid in advance: seven days before the end, for the number of
//! months that was chosen (`CreateInstance` page, rows AutoRenew and AutoRenewPeriod).
//!
//! Without enough money nothing happens, and the next run tries again until the instance is
//! released. What was stopped meanwhile runs again. The ledger entry begins at the old end even
//! where the months count from a later renewal: the days of grace are given with it.

use jiff::{SignedDuration, Timestamp};
use ourkv_domain::account::Account;
use ourkv_domain::billing::price::prepaid;
use ourkv_domain::billing::{
    Due, EntryKind, LedgerEntry, Money, Months, Order, OrderKind, can_afford, renewal_due,
    renewed_end,
};
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Charge, Instance, Intent};
use ourkv_domain::mint::Mint;
use ourkv_store::{Store, StoreError, Tx};

use super::Report;

/// Ends that are looked at; [`renewal_due`] decides which of them are due.
const HORIZON: SignedDuration = SignedDuration::from_hours(8 * 24);

/// What came of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Renewed,
    NotDue,
    /// Its owner has not enough, or it has no price any more.
    Unpaid,
}

/// Renews everything that is due by `now`.
pub async fn run_once(
    store: &Store,
    mint: &std::sync::Arc<Mint>,
    now: Timestamp,
) -> Result<Report, StoreError> {
    let horizon = now.saturating_add(HORIZON).unwrap_or(Timestamp::MAX);
    let ending = store.read(move |tx| tx.prepaid_ending_before(horizon)).await?;
    let mut report = Report::default();
    for candidate in ending.into_iter().filter(|it| months_due(it, now).is_some()) {
        let (id, mint) = (candidate.id.clone(), std::sync::Arc::clone(mint));
        match store.write(move |tx| renew(tx, &mint, &id, now)).await {
            Ok(Outcome::Renewed) => report.changed += 1,
            Ok(Outcome::NotDue) => {}
            Ok(Outcome::Unpaid) => report.failed += 1,
            Err(error) => {
                tracing::warn!(instance.id = %candidate.id, %error, "renewal failed");
                report.failed += 1;
            }
        }
    }
    Ok(report)
}

/// The months to renew by, and the present end.
fn months_due(instance: &Instance, now: Timestamp) -> Option<(Months, Timestamp)> {
    match instance.charge {
        Charge::PrePaid { end, auto_renew: Some(months) }
            if instance.intent != Intent::Delete && renewal_due(end, now) =>
        {
            Some((months, end))
        }
        Charge::PrePaid { .. } | Charge::PostPaid => None,
    }
}

fn renew(
    tx: &mut Tx<'_>,
    mint: &Mint,
    id: &InstanceId,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let Some(owner) = tx.instance(id)?.map(|instance| instance.account) else {
        return Ok(Outcome::NotDue);
    };
    let (account, instance) = (tx.lock_account(&owner)?, tx.lock_instance(id)?);
    let (Some(account), Some(instance)) = (account, instance) else {
        return Ok(Outcome::NotDue);
    };
    let Some((months, end)) = months_due(&instance, now) else {
        return Ok(Outcome::NotDue);
    };
    let Some(amount) = affordable(&account, &instance, months) else {
        return Ok(Outcome::Unpaid);
    };
    let renewed = renewed_end(end, now, months);
    tx.insert_order(&Order {
        id: mint.order(),
        account: owner.clone(),
        instance: id.clone(),
        kind: OrderKind::Renew,
        amount,
        discount: Money::ZERO,
        coupon: None,
        business_info: None,
        created_at: now,
    })?;
    tx.insert_entry(&LedgerEntry {
        instance: id.clone(),
        account: owner.clone(),
        from: end,
        to: renewed,
        amount,
        kind: EntryKind::Period,
    })?;
    tx.change_balance(&owner, Money::ZERO.saturating_sub(amount), now)?;
    tx.set_charge(id, &Charge::PrePaid { end: renewed, auto_renew: Some(months) })?;
    tx.set_intent(id, Intent::Run)?;
    Ok(Outcome::Renewed)
}

/// Today's price of so many months, if the account has that much.
fn affordable(account: &Account, instance: &Instance, months: Months) -> Option<Money> {
    let catalogue = Catalogue::builtin();
    let class = catalogue.class(&instance.spec.class)?;
    let amount = prepaid(class, catalogue.region(&instance.region)?, months);
    let due = Due::Period { amount, discount: Money::ZERO };
    can_afford(account.balance, due).then_some(amount)
}
