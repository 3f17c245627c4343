//! What can go wrong: [`StoreError`] while working, [`OpenError`] when opening.
//!
//! Neither ever holds a value of a row, a password or a key.

use std::path::PathBuf;

/// A transaction that did not take place, unless [`StoreError::Unavailable`] says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is full or is locked. If the answer to a commit was lost,
    /// the transaction may have taken place.
    #[error("the database is not available: {detail}")]
    Unavailable {
        /// What the database or the driver said.
        detail: String,
    },
    /// Other transactions were in the way each time; it may be tried again.
    #[error("the transaction kept colliding with others")]
    Conflict,
    /// A row would break a uniqueness or a reference.
    #[error("a constraint of the database refuses this: {detail}")]
    Constraint {
        /// What the database said; names tables and columns.
        detail: String,
    },
    /// The database refused a statement: a defect of this program or of the schema.
    #[error("the database refuses a statement: {detail}")]
    Statement {
        /// What the database said.
        detail: String,
    },
    /// A stored value is not what this program writes.
    #[error("inconsistent value in {table}.{column}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A sealed value does not open with this key at this place.
    #[error("a sealed value cannot be opened: {context}")]
    Unreadable {
        /// Table, column and id of the value.
        context: String,
    },
    /// Another control plane acts for this machine since. Whoever gets this must act no more.
    #[error("another control plane has taken this machine over")]
    Superseded,
    /// The work panicked; it was rolled back.
    #[error("the transaction panicked")]
    Panicked,
}

/// Why a database was not opened. It is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its directory cannot be used.
    #[error("cannot use the database file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a database, or a damaged one.
    #[error(
        "{} is damaged ({detail}); nothing was changed: put a copy of it back, or have `ourkv doctor \
         --rebuild` make a new one of the manifests of the instances",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The database was written by a later program.
    #[error(
        "the database has schema version {database}, this program knows only {program}: use the \
         later program"
    )]
    NewerSchema {
        /// The version of the database.
        database: i64,
        /// The latest version that this program knows.
        program: i64,
    },
    /// The secrets in the database were sealed with another key.
    #[error(
        "the key does not fit this database: its secrets were sealed with another key file; put \
         that one back"
    )]
    WrongKey,
    /// The URL of the database cannot be used.
    #[error("the database URL cannot be used: {detail}")]
    Url {
        /// What is wrong, without the URL itself.
        detail: String,
    },
    /// The schema cannot be brought up to date.
    #[error("cannot migrate the database: {detail}")]
    Migration {
        /// What went wrong.
        detail: String,
    },
    /// The database cannot be reached or used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An error's message and those of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}
