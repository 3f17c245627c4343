//! One transaction, handed to the work of [`Store::write`](crate::Store::write) and
//! [`Store::read`](crate::Store::read).
//!
//! What can be done in it is in the files named after the nouns. A statement that fails spoils
//! the whole transaction, also where the work goes on as if nothing had happened: PostgreSQL can
//! do nothing else, and both databases behave alike here.

use ourkv_domain::secret::Secret;

use crate::column::{Row, Value};
use crate::driver::Connection;
use crate::error::StoreError;
use crate::seal::Sealer;

/// A transaction under way.
pub struct Tx<'a> {
    connection: &'a mut dyn Connection,
    sealer: &'a Sealer,
    failed: Option<StoreError>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(connection: &'a mut dyn Connection, sealer: &'a Sealer) -> Self {
        Self { connection, sealer, failed: None }
    }

    /// The first statement that failed, if any did.
    pub(crate) fn into_failure(self) -> Option<StoreError> {
        self.failed
    }

    pub(crate) fn sealer(&self) -> &'a Sealer {
        self.sealer
    }

    /// What makes a `SELECT` keep its rows to this transaction until it ends.
    pub(crate) fn for_update(&self) -> &'static str {
        self.connection.for_update()
    }

    /// What makes a `SELECT` keep others from changing its rows until this transaction ends.
    pub(crate) fn for_share(&self) -> &'static str {
        if self.for_update().is_empty() { "" } else { " FOR SHARE" }
    }

    /// Runs a statement and returns the number of rows that it wrote.
    pub(crate) fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        debug_assert!(in_order(sql, values.len()), "placeholders out of order: {sql}");
        let result = self.connection.execute(sql, values);
        self.note(result)
    }

    /// Runs a query of `table`.
    pub(crate) fn select(
        &mut self,
        table: &'static str,
        sql: &str,
        values: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        debug_assert!(in_order(sql, values.len()), "placeholders out of order: {sql}");
        let result = self.connection.query(sql, values);
        let rows = self.note(result)?;
        let columns = rows.columns;
        Ok(rows.values.into_iter().map(|row| Row::new(table, columns.clone(), row)).collect())
    }

    /// Runs a query of `table` that yields a row or none.
    pub(crate) fn select_one(
        &mut self,
        table: &'static str,
        sql: &str,
        values: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.select(table, sql, values)?.pop())
    }

    /// Inserts a row; `tail` follows the values, as in `ON CONFLICT DO NOTHING`.
    pub(crate) fn insert(
        &mut self,
        table: &'static str,
        row: &[(&str, Value)],
        tail: &str,
    ) -> Result<u64, StoreError> {
        let names: Vec<_> = row.iter().map(|(name, _)| *name).collect();
        let places: Vec<_> = (1..=row.len()).map(|place| format!("${place}")).collect();
        let sql = format!(
            "INSERT INTO {table} ({}) VALUES ({}) {tail}",
            names.join(", "),
            places.join(", ")
        );
        let values: Vec<_> = row.iter().map(|(_, value)| value.clone()).collect();
        self.execute(&sql, &values)
    }

    /// Writes columns of the row whose key column has that value; returns whether there is one.
    pub(crate) fn update(
        &mut self,
        table: &'static str,
        row: &[(&str, Value)],
        key: (&str, Value),
    ) -> Result<bool, StoreError> {
        let sets: Vec<_> =
            row.iter().zip(1..).map(|((name, _), place)| format!("{name} = ${place}")).collect();
        let sql =
            format!("UPDATE {table} SET {} WHERE {} = ${}", sets.join(", "), key.0, row.len() + 1);
        let mut values: Vec<_> = row.iter().map(|(_, value)| value.clone()).collect();
        values.push(key.1);
        Ok(self.execute(&sql, &values)? == 1)
    }

    /// Runs a query of `table` whose only row has one number in `column`.
    pub(crate) fn count(
        &mut self,
        table: &'static str,
        sql: &str,
        values: &[Value],
        column: &'static str,
    ) -> Result<i64, StoreError> {
        match self.select_one(table, sql, values)? {
            Some(mut row) => row.take(column),
            None => Err(StoreError::Inconsistent { table, column }),
        }
    }

    /// Opens a sealed value.
    pub(crate) fn unseal(&self, sealed: &[u8], context: &str) -> Result<Secret, StoreError> {
        self.sealer
            .open(sealed, context)
            .map_err(|_| StoreError::Unreadable { context: context.to_owned() })
    }

    /// The error of a transaction that met another one and is to be run again.
    pub(crate) fn collided(&mut self) -> StoreError {
        self.failed.get_or_insert(StoreError::Conflict).clone()
    }

    fn note<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.failed.get_or_insert_with(|| error.clone());
        }
        result
    }
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("failed", &self.failed).finish_non_exhaustive()
    }
}

/// SQLite numbers `$n` by first appearance whatever its name says, so the names must say the same.
fn in_order(sql: &str, count: usize) -> bool {
    let mut highest = 0;
    for part in sql.split('$').skip(1) {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        match part[..digits].parse::<usize>() {
            Ok(place) if place <= highest => {}
            Ok(place) if place == highest + 1 => highest = place,
            _ => return false,
        }
    }
    highest == count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_placeholders_that_are_out_of_order() {
        assert!(in_order("SELECT 1", 0));
        assert!(in_order("a = $1 AND b = $2 AND (c = $1)", 2));
        assert!(!in_order("a = $2 AND b = $1", 2));
        assert!(!in_order("a = $1", 2));
    }
}
