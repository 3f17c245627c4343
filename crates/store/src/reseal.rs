//! Every sealed value of the store, sealed anew with the newest key.
//!
//! One transaction: an interruption leaves all of them as they were. Whatever is sealed elsewhere
//! in the program has to be here, too; a test compares it with the columns of the schema.

use ourkv_domain::secret::Secret;

use crate::column::{Row, ToValue, Value};
use crate::error::StoreError;
use crate::schema::{CANARY, CANARY_CONTEXT};
use crate::tx::Tx;
use crate::{access_key, secrets, token};

/// A column of sealed values.
struct Sealed {
    table: &'static str,
    column: &'static str,
    /// The columns that name a row.
    key: &'static [&'static str],
    /// What a value of that row is bound to.
    context: fn(&[Value]) -> Option<String>,
}

/// A sealed value: the key of its row, what it is bound to, and itself.
type Found = (Vec<Value>, String, Vec<u8>);

/// All of them.
const SEALED: [Sealed; 7] = [
    Sealed {
        table: "access_keys",
        column: "secret",
        key: &["id"],
        context: |key| Some(access_key::context(&id(key, 0)?)),
    },
    Sealed {
        table: "instance_secrets",
        column: "password",
        key: &["instance"],
        context: |key| Some(secrets::context(&id(key, 0)?, "password")),
    },
    Sealed {
        table: "instance_secrets",
        column: "admin",
        key: &["instance"],
        context: |key| Some(secrets::context(&id(key, 0)?, "admin")),
    },
    Sealed {
        table: "instance_secrets",
        column: "replication",
        key: &["instance"],
        context: |key| Some(secrets::context(&id(key, 0)?, "replication")),
    },
    Sealed {
        table: "former_passwords",
        column: "password",
        key: &["instance", "serial"],
        context: |key| Some(secrets::former_context(&id(key, 0)?, id(key, 1)?)),
    },
    Sealed {
        table: "tokens",
        column: "fingerprint",
        key: &["account", "region", "action", "token"],
        context: |key| {
            let text = |at| id::<String>(key, at);
            Some(token::context_of(&text(0)?, &text(1)?, &text(2)?, &text(3)?))
        },
    },
    Sealed {
        table: "seals",
        column: "sealed",
        key: &["name"],
        context: |key| (id::<String>(key, 0)? == CANARY).then(|| CANARY_CONTEXT.to_owned()),
    },
];

impl Tx<'_> {
    /// Seals every value anew that was not sealed with the newest key; returns how many there were.
    pub fn reseal(&mut self) -> Result<u64, StoreError> {
        let mut resealed = 0;
        for sealed in &SEALED {
            resealed += self.reseal_column(sealed)?;
        }
        Ok(resealed)
    }

    /// How many values are sealed with each key, by its place; 0 is that of the newest one. One
    /// that no key opens is an error.
    pub fn sealed_by_key(&mut self) -> Result<Vec<u64>, StoreError> {
        let mut counts = Vec::new();
        for sealed in &SEALED {
            for (_, context, value) in self.sealed_values(sealed, "")? {
                let place = self.sealer().place_of_key(&value, &context);
                let place = place.ok_or(StoreError::Unreadable { context })?;
                counts.resize(counts.len().max(place + 1), 0);
                counts[place] += 1;
            }
        }
        Ok(counts)
    }

    fn reseal_column(&mut self, sealed: &Sealed) -> Result<u64, StoreError> {
        let mut resealed = 0;
        let conditions: Vec<_> = sealed
            .key
            .iter()
            .zip(2..)
            .map(|(column, place)| format!("{column} = ${place}"))
            .collect();
        let sql = format!(
            "UPDATE {} SET {} = $1 WHERE {}",
            sealed.table,
            sealed.column,
            conditions.join(" AND ")
        );
        // Nobody else changes them before this transaction ends.
        for (key, context, value) in self.sealed_values(sealed, self.for_update())? {
            if self.sealer().place_of_key(&value, &context) == Some(0) {
                continue;
            }
            let plain: Secret = self.unseal(&value, &context)?;
            let anew = self.sealer().seal(&plain, &context).to_value();
            let values: Vec<_> = std::iter::once(anew).chain(key).collect();
            resealed += self.execute(&sql, &values)?;
        }
        Ok(resealed)
    }

    /// The values of a column, each with the key of its row and what it is bound to.
    fn sealed_values(&mut self, sealed: &Sealed, tail: &str) -> Result<Vec<Found>, StoreError> {
        let Sealed { table, column, key, context } = sealed;
        let sql = format!(
            "SELECT {}, {column} FROM {table} WHERE {column} IS NOT NULL{tail}",
            key.join(", ")
        );
        let read = |mut row: Row| {
            let names = key.iter().map(|name| row.take::<Value>(name));
            let names = names.collect::<Result<Vec<_>, _>>()?;
            let bound = context(&names).ok_or_else(|| row.inconsistent(column))?;
            Ok((names, bound, row.take(column)?))
        };
        self.select(table, &sql, &[])?.into_iter().map(read).collect()
    }
}

/// A part of a row's key.
fn id<T: crate::column::FromValue>(key: &[Value], at: usize) -> Option<T> {
    T::from_value(key.get(at)?.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only column of bytes that holds nothing sealed.
    const DIGEST: &str = "digest";

    #[test]
    fn every_column_of_bytes_is_sealed_and_can_be_sealed_anew() {
        let schema = [
            include_str!("../migrations/V1__init.sql"),
            include_str!("../migrations/V2__backups.sql"),
            include_str!("../migrations/V3__roles.sql"),
            include_str!("../migrations/V5__passwords.sql"),
        ];
        let lines = schema.iter().flat_map(|text| text.lines());
        let bytes = lines.filter(|line| !line.starts_with("--") && line.contains(" BYTEA"));
        let columns = bytes.filter_map(|line| line.split_whitespace().next());
        let mut columns: Vec<_> = columns.filter(|column| *column != DIGEST).collect();
        let mut sealed: Vec<_> = SEALED.iter().map(|sealed| sealed.column).collect();
        columns.sort_unstable();
        sealed.sort_unstable();
        assert_eq!(columns, sealed);
    }
}
