//! The section-less key `database`: where the store is.

use ourkv_domain::secret::Secret;
use serde::Deserialize;

/// Which database holds the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Database {
    /// SQLite, in the data directory.
    #[default]
    Embedded,
    /// PostgreSQL at this URL, which may hold a password.
    Postgres(Secret),
}

/// Deliberately without the text.
#[derive(Debug, thiserror::Error)]
#[error("must be `sqlite` or a URL that begins with postgres://")]
pub struct UnknownDatabase;

impl TryFrom<String> for Database {
    type Error = UnknownDatabase;

    fn try_from(text: String) -> Result<Self, UnknownDatabase> {
        match text.as_str() {
            "sqlite" => Ok(Self::Embedded),
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Self::Postgres(Secret::from(text)))
            }
            _ => Err(UnknownDatabase),
        }
    }
}
