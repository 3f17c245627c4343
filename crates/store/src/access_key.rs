//! AccessKeys; their secrets are sealed.

use ourkv_domain::access_key::AccessKey;
use ourkv_domain::ids::AccessKeyId;

use crate::column::{Row, ToValue, Value, columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

impl Tx<'_> {
    /// The key of that id.
    pub fn access_key(&mut self, id: &AccessKeyId) -> Result<Option<AccessKey>, StoreError> {
        let sql = "SELECT * FROM access_keys WHERE id = $1";
        let row = self.select_one("access_keys", sql, &values![id])?;
        row.map(|row| self.read_access_key(row)).transpose()
    }

    /// Every key, oldest first.
    pub fn access_keys(&mut self) -> Result<Vec<AccessKey>, StoreError> {
        let sql = "SELECT * FROM access_keys ORDER BY created_at, id";
        let rows = self.select("access_keys", sql, &[])?;
        rows.into_iter().map(|row| self.read_access_key(row)).collect()
    }

    /// Adds a key.
    pub fn insert_access_key(&mut self, key: &AccessKey) -> Result<(), StoreError> {
        let row = self.access_key_columns(key);
        self.insert("access_keys", &row, "").map(|_| ())
    }

    /// Writes all fields of a key; false if there is none of that id.
    pub fn save_access_key(&mut self, key: &AccessKey) -> Result<bool, StoreError> {
        let row = self.access_key_columns(key);
        self.update("access_keys", &row, ("id", key.id.to_value()))
    }

    /// Deletes a key; false if there is none of that id.
    pub fn delete_access_key(&mut self, id: &AccessKeyId) -> Result<bool, StoreError> {
        Ok(self.execute("DELETE FROM access_keys WHERE id = $1", &values![id])? == 1)
    }

    fn access_key_columns(&self, key: &AccessKey) -> [(&'static str, Value); 6] {
        let AccessKey { id, secret, account, active, calls_per_second, created_at } = key;
        columns! {
            id: id,
            account: account,
            secret: self.sealer().seal(secret, &context(id)),
            active: active,
            calls_per_second: calls_per_second,
            created_at: created_at,
        }
    }

    fn read_access_key(&self, mut row: Row) -> Result<AccessKey, StoreError> {
        let id = row.take("id")?;
        Ok(AccessKey {
            account: row.take("account")?,
            secret: self.unseal(&row.take::<Vec<u8>>("secret")?, &context(&id))?,
            active: row.take("active")?,
            calls_per_second: row.take("calls_per_second")?,
            created_at: row.take("created_at")?,
            id,
        })
    }
}

/// What binds a sealed secret to its key.
pub(crate) fn context(id: &AccessKeyId) -> String {
    format!("access_keys/secret/{id}")
}
