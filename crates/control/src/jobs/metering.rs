//! Charging the hours of what is paid afterwards.
//!
//! An hour is charged when it is over, and the hour that has begun when its instance is gone. An
//! entry begins where the last one ended, whatever the clock does: set back, nothing is charged
//! until it has caught up. Entries, balance and the end of the meter are one transaction.

use jiff::Timestamp;
use ourkv_domain::billing::{EntryKind, LedgerEntry, Money, closing_entries, hourly_entries};
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::InstanceId;
use ourkv_store::{Meter, Store, StoreError, Tx};

use super::Report;

/// Meters that are read in one transaction.
const BATCH: i64 = 100;

type Hours = Vec<(Timestamp, Timestamp)>;

/// Charges every hour that is over and not charged yet.
pub async fn run_once(store: &Store, clock: &dyn Clock) -> Result<Report, StoreError> {
    let now = clock.now();
    let mut report = Report::default();
    loop {
        let charged = store.write(move |tx| charge_batch(tx, now)).await?;
        if charged == 0 {
            return Ok(report);
        }
        report.changed += charged;
    }
}

/// Charges what is left to charge of an instance, the hour that has begun included, and ends its
/// meter. Does nothing where there is no open meter.
pub(crate) fn close(
    tx: &mut Tx<'_>,
    instance: &InstanceId,
    now: Timestamp,
) -> Result<(), StoreError> {
    while let Some(meter) = tx.lock_meter(instance)?.filter(|meter| meter.closed.is_none()) {
        let hours = closing_entries(meter.opened, meter.metered_until, now);
        if hours.is_empty() {
            tx.close_meter(instance, now)?;
        } else {
            charge(tx, meter, &hours, now)?;
        }
    }
    Ok(())
}

/// Returns how many hours were charged.
fn charge_batch(tx: &mut Tx<'_>, now: Timestamp) -> Result<u64, StoreError> {
    let mut charged = 0;
    for behind in tx.meters_behind(now, BATCH)? {
        let Some(meter) = tx.lock_meter(&behind.instance)?.filter(|it| it.closed.is_none()) else {
            continue;
        };
        let hours = hourly_entries(meter.opened, meter.metered_until, now);
        if !hours.is_empty() {
            charged += charge(tx, meter, &hours, now)?;
        }
    }
    Ok(charged)
}

fn charge(
    tx: &mut Tx<'_>,
    mut meter: Meter,
    hours: &Hours,
    now: Timestamp,
) -> Result<u64, StoreError> {
    for &(from, to) in hours {
        tx.insert_entry(&LedgerEntry {
            instance: meter.instance.clone(),
            account: meter.account.clone(),
            from,
            to,
            amount: meter.hourly_price,
            kind: EntryKind::Hourly,
        })?;
        meter.metered_until = to;
    }
    let count = i64::try_from(hours.len()).unwrap_or(i64::MAX);
    let amount = meter.hourly_price.saturating_mul(count);
    tx.change_balance(&meter.account, Money::ZERO.saturating_sub(amount), now)?;
    if tx.save_meter(&meter)? {
        Ok(count.unsigned_abs())
    } else {
        // Someone else charged these hours meanwhile: undo all of it and look again.
        Err(StoreError::Conflict)
    }
}
