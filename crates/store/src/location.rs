//! Where a database is.

use std::path::PathBuf;
use std::str::FromStr;

/// A file of this machine or a PostgreSQL server.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// The path of a SQLite file.
    Sqlite(PathBuf),
    /// A `postgres://` URL; may hold a password. TLS is not supported: `sslmode=require` fails.
    Postgres(String),
}

impl FromStr for Location {
    type Err = std::convert::Infallible;

    /// A `postgres://` or `postgresql://` URL, else a path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Ok(Self::Postgres(text.to_owned()))
        } else {
            Ok(Self::Sqlite(PathBuf::from(text)))
        }
    }
}

impl std::fmt::Debug for Location {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(***)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_no_password() {
        let location: Location = "postgres://me:Passw0rd@db/ourkv".parse().unwrap();
        assert_eq!(format!("{location:?}"), "Postgres(***)");
    }

    #[test]
    fn takes_what_is_no_url_for_a_path() {
        let location: Location = "/var/lib/ourkv.db".parse().unwrap();
        assert_eq!(location, Location::Sqlite("/var/lib/ourkv.db".into()));
    }
}
