//! Charging the hours of what is paid afterwards.
//!
//! An hour is charged when it is over, and the hour that has begun when its instance is given
//! back. Entries, balance and meter are one transaction.

use jiff::Timestamp;
use ourkv_domain::ids::InstanceId;
use ourkv_store::{Store, StoreError, Tx};

use super::Report;

/// Meters that are looked for at a time.
const BATCH: i64 = 100;
/// Hours after which a transaction ends: accounts are locked meanwhile, and others wait.
const HOURS: u64 = 1000;

/// Charges every hour that is over by `now` and not charged yet.
pub async fn run_once(store: &Store, now: Timestamp) -> Result<Report, StoreError> {
    let mut report = Report::default();
    loop {
        let behind = store.read(move |tx| tx.meters_behind(now, BATCH)).await?;
        let behind: Vec<_> = behind.into_iter().map(|meter| meter.instance).collect();
        let charged = charge_all(store, &behind, now, &mut report).await?;
        report.changed += charged;
        if charged == 0 {
            return Ok(report);
        }
    }
}

/// Charges these instances, as many of them together as [`HOURS`] allows. Where one of them
/// can't be charged, each is charged by itself, so that it delays no other.
async fn charge_all(
    store: &Store,
    instances: &[InstanceId],
    now: Timestamp,
    report: &mut Report,
) -> Result<u64, StoreError> {
    let together = instances.to_vec();
    let error = match store.write(move |tx| charge(tx, &together, now)).await {
        Ok(charged) => return Ok(charged),
        Err(error) => error,
    };
    if matches!(error, StoreError::Unavailable { .. }) {
        return Err(error);
    }
    let mut charged = 0;
    for instance in instances {
        let alone = instance.clone();
        match store.write(move |tx| tx.charge_hours(&alone, now)).await {
            Ok(hours) => charged += hours,
            Err(error) => {
                tracing::warn!(instance.id = %instance, %error, "metering failed");
                report.failed += 1;
            }
        }
    }
    Ok(charged)
}

/// Returns how many hours were charged.
fn charge(tx: &mut Tx<'_>, instances: &[InstanceId], now: Timestamp) -> Result<u64, StoreError> {
    let mut charged = 0;
    for instance in instances {
        charged += tx.charge_hours(instance, now)?;
        if charged >= HOURS {
            break;
        }
    }
    Ok(charged)
}
