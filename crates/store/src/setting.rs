//! Settings: named texts that an operator or a first start leaves behind.

use crate::column::{columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

impl Tx<'_> {
    /// The value of a setting.
    pub fn setting(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT * FROM settings WHERE name = $1";
        let row = self.select_one("settings", sql, &values![name])?;
        row.map(|mut row| row.take("value")).transpose()
    }

    /// Gives a setting a value.
    pub fn set_setting(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        let row = columns! { name: name, value: value };
        let tail = "ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.insert("settings", &row, tail).map(|_| ())
    }

    /// Removes a setting; false if there is none of that name.
    pub fn delete_setting(&mut self, name: &str) -> Result<bool, StoreError> {
        Ok(self.execute("DELETE FROM settings WHERE name = $1", &values![name])? == 1)
    }
}
