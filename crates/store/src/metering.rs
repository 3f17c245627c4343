//! Reading the meters: hours become ledger entries and leave the balance, in one transaction.
//!
//! An entry begins where the last one ended, whatever the clock does: set back, nothing is charged
//! until it has caught up. Several processes may read one meter at once: account and meter are
//! locked, in that order, before the meter is looked at, so no hour is charged twice.

use jiff::Timestamp;
use ourkv_domain::billing::{EntryKind, LedgerEntry, Money, closing_entries, hourly_entries};
use ourkv_domain::ids::InstanceId;

use crate::error::StoreError;
use crate::ledger::Meter;
use crate::tx::Tx;

type Hours = Vec<(Timestamp, Timestamp)>;

impl Tx<'_> {
    /// Charges the hours that are over at `now` and not charged yet, up to about a year of them.
    /// Returns how many; none where there is no open meter.
    pub fn charge_hours(
        &mut self,
        instance: &InstanceId,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let Some(meter) = self.lock_open_meter(instance)? else {
            return Ok(0);
        };
        let hours = hourly_entries(meter.opened, meter.metered_until, now);
        self.charge(meter, &hours, now)
    }

    /// Charges what is left to charge of an instance, the hour that has begun included, and ends
    /// its meter. Does nothing where there is no open meter.
    pub fn end_meter(&mut self, instance: &InstanceId, now: Timestamp) -> Result<(), StoreError> {
        while let Some(meter) = self.lock_open_meter(instance)? {
            let hours = closing_entries(meter.opened, meter.metered_until, now);
            if self.charge(meter, &hours, now)? == 0 {
                self.close_meter(instance, now)?;
            }
        }
        Ok(())
    }

    fn lock_open_meter(&mut self, instance: &InstanceId) -> Result<Option<Meter>, StoreError> {
        let Some(meter) = self.meter(instance)? else {
            return Ok(None);
        };
        self.lock_account(&meter.account)?;
        Ok(self.lock_meter(instance)?.filter(|meter| meter.closed.is_none()))
    }

    fn charge(
        &mut self,
        mut meter: Meter,
        hours: &Hours,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        if hours.is_empty() {
            return Ok(0);
        }
        for &(from, to) in hours {
            self.insert_entry(&LedgerEntry {
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
        self.change_balance(&meter.account, Money::ZERO.saturating_sub(amount), now)?;
        if self.save_meter(&meter)? {
            Ok(count.unsigned_abs())
        } else {
            // It is locked and open: only a defect could have moved it.
            Err(StoreError::Inconsistent { table: "meters", column: "metered_until" })
        }
    }
}
