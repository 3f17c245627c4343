//! Orders: written once, never changed; they outlive their instances.

use ourkv_domain::billing::Order;
use ourkv_domain::ids::AccountId;

use crate::column::{Row, columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

impl Tx<'_> {
    /// Every order of an account, oldest first.
    pub fn orders(&mut self, account: &AccountId) -> Result<Vec<Order>, StoreError> {
        let sql = "SELECT * FROM orders WHERE account = $1 ORDER BY created_at, id";
        self.select("orders", sql, &values![account])?.into_iter().map(read).collect()
    }

    /// Adds an order.
    pub fn insert_order(&mut self, order: &Order) -> Result<(), StoreError> {
        let Order {
            id,
            account,
            instance,
            kind,
            amount,
            discount,
            coupon,
            business_info,
            created_at,
        } = order;
        let row = columns! {
            id: id,
            account: account,
            instance: instance,
            kind: kind,
            amount: amount,
            discount: discount,
            coupon: coupon,
            business_info: business_info,
            created_at: created_at,
        };
        self.insert("orders", &row, "").map(|_| ())
    }
}

fn read(mut row: Row) -> Result<Order, StoreError> {
    Ok(Order {
        id: row.take("id")?,
        account: row.take("account")?,
        instance: row.take("instance")?,
        kind: row.take("kind")?,
        amount: row.take("amount")?,
        discount: row.take("discount")?,
        coupon: row.take("coupon")?,
        business_info: row.take("business_info")?,
        created_at: row.take("created_at")?,
    })
}
