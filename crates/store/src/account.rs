//! Accounts and their balances.

use jiff::Timestamp;
use ourkv_domain::account::Account;
use ourkv_domain::billing::Money;
use ourkv_domain::ids::AccountId;

use crate::column::{Row, ToValue, Value, columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

impl Tx<'_> {
    /// The account of that id.
    pub fn account(&mut self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let sql = "SELECT * FROM accounts WHERE id = $1";
        self.select_one("accounts", sql, &values![id])?.map(read).transpose()
    }

    /// The account of that id, kept to this transaction until it ends. Whatever decides on an
    /// account's quotas or money begins with this.
    pub fn lock_account(&mut self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let sql = format!("SELECT * FROM accounts WHERE id = $1{}", self.for_update());
        self.select_one("accounts", &sql, &values![id])?.map(read).transpose()
    }

    /// Every account, oldest first.
    pub fn accounts(&mut self) -> Result<Vec<Account>, StoreError> {
        let sql = "SELECT * FROM accounts ORDER BY created_at, id";
        self.select("accounts", sql, &[])?.into_iter().map(read).collect()
    }

    /// Adds an account.
    pub fn insert_account(&mut self, account: &Account) -> Result<(), StoreError> {
        self.insert("accounts", &columns_of(account), "").map(|_| ())
    }

    /// Writes all fields of an account; false if there is none of that id.
    pub fn save_account(&mut self, account: &Account) -> Result<bool, StoreError> {
        self.update("accounts", &columns_of(account), ("id", account.id.to_value()))
    }

    /// Adds `delta`, which may be negative, to a balance; `None` if there is no such account.
    ///
    /// The arrears begin at `now` when the balance falls below zero, and end when it no longer is.
    /// A balance too large to count is an error and changes nothing.
    pub fn change_balance(
        &mut self,
        id: &AccountId,
        delta: Money,
        now: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        let Some(mut account) = self.lock_account(id)? else {
            return Ok(None);
        };
        account.balance = account.balance.checked_add(delta).ok_or_else(|| {
            StoreError::Constraint { detail: "the balance is too large to count".into() }
        })?;
        account.arrears_since =
            if account.balance < Money::ZERO { account.arrears_since.or(Some(now)) } else { None };
        self.save_account(&account)?;
        Ok(Some(account))
    }
}

fn columns_of(account: &Account) -> [(&'static str, Value); 10] {
    let Account {
        id,
        name,
        balance,
        real_name,
        payment_method,
        finance,
        postpaid_quota,
        postpaid_quota_per_region,
        arrears_since,
        created_at,
    } = account;
    columns! {
        id: id,
        name: name,
        balance: balance,
        real_name: real_name,
        payment_method: payment_method,
        finance: finance,
        postpaid_quota: postpaid_quota,
        postpaid_quota_per_region: postpaid_quota_per_region,
        arrears_since: arrears_since,
        created_at: created_at,
    }
}

fn read(mut row: Row) -> Result<Account, StoreError> {
    Ok(Account {
        id: row.take("id")?,
        name: row.take("name")?,
        balance: row.take("balance")?,
        real_name: row.take("real_name")?,
        payment_method: row.take("payment_method")?,
        finance: row.take("finance")?,
        postpaid_quota: row.take("postpaid_quota")?,
        postpaid_quota_per_region: row.take("postpaid_quota_per_region")?,
        arrears_since: row.take("arrears_since")?,
        created_at: row.take("created_at")?,
    })
}
