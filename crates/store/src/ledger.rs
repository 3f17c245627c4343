//! The ledger and the hourly meters; both outlive their instances.
//!
//! Two entries of an instance never begin at the same instant; that they follow each other without
//! a hole is the rule of the domain that makes them.

use jiff::{SignedDuration, Timestamp};
use ourkv_domain::billing::{LedgerEntry, Money};
use ourkv_domain::ids::{AccountId, InstanceId};

use crate::column::{Row, columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

/// The meter of an hourly-paid instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    /// What is metered.
    pub instance: InstanceId,
    /// Who pays.
    pub account: AccountId,
    /// Where the hours are counted from.
    pub opened: Timestamp,
    /// Up to where the ledger has entries.
    pub metered_until: Timestamp,
    /// What an hour costs, fixed when the meter was opened.
    pub hourly_price: Money,
    /// When metering ended, if it has.
    pub closed: Option<Timestamp>,
}

impl Tx<'_> {
    /// Adds a meter.
    pub fn open_meter(&mut self, meter: &Meter) -> Result<(), StoreError> {
        let Meter { instance, account, opened, metered_until, hourly_price, closed } = meter;
        let row = columns! {
            instance: instance,
            account: account,
            opened_at: opened,
            metered_until: metered_until,
            hourly_price: hourly_price,
            closed_at: closed,
        };
        self.insert("meters", &row, "").map(|_| ())
    }

    /// The meter of an instance.
    pub(crate) fn meter(&mut self, instance: &InstanceId) -> Result<Option<Meter>, StoreError> {
        let sql = "SELECT * FROM meters WHERE instance = $1";
        self.select_one("meters", sql, &values![instance])?.map(read_meter).transpose()
    }

    /// The meter of an instance, kept to this transaction until it ends. Whoever charges has
    /// locked the account before.
    pub fn lock_meter(&mut self, instance: &InstanceId) -> Result<Option<Meter>, StoreError> {
        let sql = format!("SELECT * FROM meters WHERE instance = $1{}", self.for_update());
        self.select_one("meters", &sql, &values![instance])?.map(read_meter).transpose()
    }

    /// Up to `limit` open meters that have an hour or more to charge at `now`, those furthest
    /// behind first.
    pub fn meters_behind(&mut self, now: Timestamp, limit: i64) -> Result<Vec<Meter>, StoreError> {
        let hour_ago = now.saturating_sub(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MIN);
        let sql = "SELECT * FROM meters WHERE closed_at IS NULL AND metered_until <= $1 \
                   ORDER BY metered_until, instance LIMIT $2";
        let rows = self.select("meters", sql, &values![hour_ago, limit])?;
        rows.into_iter().map(read_meter).collect()
    }

    /// Writes how far a meter was read, unless another got further meanwhile or closed it: then
    /// false, and the entries of this transaction would be charged twice.
    pub fn save_meter(&mut self, meter: &Meter) -> Result<bool, StoreError> {
        let sql = "UPDATE meters SET metered_until = $1 \
                   WHERE instance = $2 AND metered_until <= $1 AND closed_at IS NULL";
        Ok(self.execute(sql, &values![meter.metered_until, meter.instance])? == 1)
    }

    /// Ends a meter; false if there is no open one.
    pub fn close_meter(
        &mut self,
        instance: &InstanceId,
        closed: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE meters SET closed_at = $1 WHERE instance = $2 AND closed_at IS NULL";
        Ok(self.execute(sql, &values![closed, instance])? == 1)
    }

    /// Adds an entry; a second one that begins at the same instant is an error.
    pub fn insert_entry(&mut self, entry: &LedgerEntry) -> Result<(), StoreError> {
        let LedgerEntry { instance, account, from, to, amount, kind } = entry;
        let row = columns! {
            instance: instance,
            starts_at: from,
            ends_at: to,
            account: account,
            amount: amount,
            kind: kind,
        };
        self.insert("ledger", &row, "").map(|_| ())
    }

    /// Every entry of an instance, in the order of time.
    pub fn ledger(&mut self, instance: &InstanceId) -> Result<Vec<LedgerEntry>, StoreError> {
        let sql = "SELECT * FROM ledger WHERE instance = $1 ORDER BY starts_at";
        self.select("ledger", sql, &values![instance])?.into_iter().map(read_entry).collect()
    }
}

fn read_meter(mut row: Row) -> Result<Meter, StoreError> {
    Ok(Meter {
        instance: row.take("instance")?,
        account: row.take("account")?,
        opened: row.take("opened_at")?,
        metered_until: row.take("metered_until")?,
        hourly_price: row.take("hourly_price")?,
        closed: row.take("closed_at")?,
    })
}

fn read_entry(mut row: Row) -> Result<LedgerEntry, StoreError> {
    Ok(LedgerEntry {
        instance: row.take("instance")?,
        from: row.take("starts_at")?,
        to: row.take("ends_at")?,
        account: row.take("account")?,
        amount: row.take("amount")?,
        kind: row.take("kind")?,
    })
}
