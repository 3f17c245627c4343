//! Addresses of instances, out of pools.
//!
//! A pool hands its addresses out in a circle, so an address that was given back rests for as long
//! as there are others: a client that still holds the address of a deleted instance does not meet
//! the next one.

use std::net::Ipv4Addr;

use ourkv_domain::ids::InstanceId;

use crate::column::{columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

/// Another instance has the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another instance has the address")]
pub struct AddressTaken;

struct Circle {
    first: Ipv4Addr,
    last: Ipv4Addr,
    next: Ipv4Addr,
}

impl Tx<'_> {
    /// Makes a pool of the addresses from `first` to `last`, or gives it these ends.
    pub fn ensure_pool(
        &mut self,
        pool: &str,
        first: Ipv4Addr,
        last: Ipv4Addr,
    ) -> Result<(), StoreError> {
        let row = columns! { name: pool, first_ip: first, last_ip: last, next_ip: first };
        let tail = "ON CONFLICT (name) DO UPDATE \
                    SET first_ip = excluded.first_ip, last_ip = excluded.last_ip, \
                        next_ip = excluded.next_ip \
                    WHERE pools.first_ip <> excluded.first_ip \
                       OR pools.last_ip <> excluded.last_ip";
        self.insert("pools", &row, tail).map(|_| ())
    }

    /// Takes a free address for an instance; `None` if the pool has none left or is unknown.
    pub fn take_next(
        &mut self,
        pool: &str,
        instance: &InstanceId,
    ) -> Result<Option<Ipv4Addr>, StoreError> {
        let Some(circle) = self.lock_pool(pool)? else {
            return Ok(None);
        };
        let mut free = self.first_free(pool, circle.next, circle.last)?;
        if free.is_none() {
            free = self.first_free(pool, circle.first, circle.last)?;
        }
        let Some(free) = free else { return Ok(None) };
        // The lock on the pool is not held by those who take an exact address: they may have been
        // quicker by a moment, and then the whole transaction is tried again.
        if self.take_exact(pool, free, instance)?.is_err() {
            return Err(self.collided());
        }
        let next = if free == circle.last { circle.first } else { successor(free) };
        self.execute("UPDATE pools SET next_ip = $1 WHERE name = $2", &values![next, pool])?;
        Ok(Some(free))
    }

    /// Takes that very address for an instance. Whether it lies in the pool is the caller's to
    /// know.
    pub fn take_exact(
        &mut self,
        pool: &str,
        ip: Ipv4Addr,
        instance: &InstanceId,
    ) -> Result<Result<(), AddressTaken>, StoreError> {
        let row = columns! { pool: pool, ip: ip, instance: instance };
        let taken = self.insert("addresses", &row, "ON CONFLICT DO NOTHING")? == 1;
        Ok(if taken { Ok(()) } else { Err(AddressTaken) })
    }

    /// Gives back every address of an instance, and returns how many it had.
    pub fn release_addresses(&mut self, instance: &InstanceId) -> Result<u64, StoreError> {
        self.execute("DELETE FROM addresses WHERE instance = $1", &values![instance])
    }

    /// How many addresses of a pool are taken.
    pub fn addresses_used(&mut self, pool: &str) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) AS used FROM addresses WHERE pool = $1";
        self.count("addresses", sql, &values![pool], "used")
    }

    pub(crate) fn delete_pool(&mut self, pool: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM pools WHERE name = $1", &values![pool]).map(|_| ())
    }

    fn lock_pool(&mut self, pool: &str) -> Result<Option<Circle>, StoreError> {
        let sql = format!("SELECT * FROM pools WHERE name = $1{}", self.for_update());
        let Some(mut row) = self.select_one("pools", &sql, &values![pool])? else {
            return Ok(None);
        };
        Ok(Some(Circle {
            first: row.take("first_ip")?,
            last: row.take("last_ip")?,
            next: row.take("next_ip")?,
        }))
    }

    /// The first free address at or after `from`. One look at the index where `from` is free, as
    /// it is until the circle closes; after that, a walk to the end of the taken run.
    fn first_free(
        &mut self,
        pool: &str,
        from: Ipv4Addr,
        last: Ipv4Addr,
    ) -> Result<Option<Ipv4Addr>, StoreError> {
        let sql = "SELECT ip FROM addresses WHERE pool = $1 AND ip = $2";
        if self.select_one("addresses", sql, &values![pool, from])?.is_none() {
            return Ok(Some(from));
        }
        let sql = "SELECT taken.ip + 1 AS ip FROM addresses AS taken \
                   WHERE taken.pool = $1 AND taken.ip >= $2 AND taken.ip < $3 \
                     AND NOT EXISTS (SELECT 1 FROM addresses AS following \
                                     WHERE following.pool = $1 AND following.ip = taken.ip + 1) \
                   ORDER BY taken.ip LIMIT 1";
        let row = self.select_one("addresses", sql, &values![pool, from, last])?;
        row.map(|mut row| row.take("ip")).transpose()
    }
}

fn successor(ip: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(ip).wrapping_add(1))
}
