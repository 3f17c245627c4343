//! Coupons; each is used up once.

use ourkv_domain::billing::Coupon;
use ourkv_domain::ids::{AccountId, CouponNo, OrderId};

use crate::column::{Row, columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

impl Tx<'_> {
    /// Every coupon of an account, also those used up, by number.
    pub fn coupons(&mut self, account: &AccountId) -> Result<Vec<Coupon>, StoreError> {
        let sql = "SELECT * FROM coupons WHERE account = $1 ORDER BY no";
        self.select("coupons", sql, &values![account])?.into_iter().map(read).collect()
    }

    /// The coupon of that number.
    pub fn coupon(&mut self, no: &CouponNo) -> Result<Option<Coupon>, StoreError> {
        let sql = "SELECT * FROM coupons WHERE no = $1";
        self.select_one("coupons", sql, &values![no])?.map(read).transpose()
    }

    /// Adds a coupon.
    pub fn insert_coupon(&mut self, coupon: &Coupon) -> Result<(), StoreError> {
        let Coupon { no, account, amount, min_spend, expires, used_by } = coupon;
        let row = columns! {
            no: no,
            account: account,
            amount: amount,
            min_spend: min_spend,
            expires_at: expires,
            used_by: used_by,
        };
        self.insert("coupons", &row, "").map(|_| ())
    }

    /// Uses a coupon up for an order; false if there is none of that number or it was used before.
    pub fn use_coupon(&mut self, no: &CouponNo, order: &OrderId) -> Result<bool, StoreError> {
        let sql = "UPDATE coupons SET used_by = $1 WHERE no = $2 AND used_by IS NULL";
        Ok(self.execute(sql, &values![order, no])? == 1)
    }
}

fn read(mut row: Row) -> Result<Coupon, StoreError> {
    Ok(Coupon {
        no: row.take("no")?,
        account: row.take("account")?,
        amount: row.take("amount")?,
        min_spend: row.take("min_spend")?,
        expires: row.take("expires_at")?,
        used_by: row.take("used_by")?,
    })
}
