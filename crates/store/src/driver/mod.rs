//! The two databases behind one small trait.
//!
//! A driver knows how to run a statement, where a transaction begins and ends, and nothing of
//! what is stored. All SQL that is not about transactions is written once, in the files named
//! after the nouns.

pub(crate) mod batch;
pub(crate) mod postgres;
pub(crate) mod readers;
pub(crate) mod sqlite;
pub(crate) mod writer;

use std::sync::Arc;

use crate::column::Value;
use crate::error::StoreError;

/// One connection. Placeholders are `$1`, `$2`, …, numbered by first appearance.
pub(crate) trait Connection {
    /// Runs a statement and returns the number of rows that it wrote.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError>;

    /// Runs a query.
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Rows, StoreError>;

    /// Begins a transaction.
    fn begin(&mut self, access: Access) -> Result<(), StoreError>;

    /// Makes the transaction durable. After [`StoreError::Unavailable`] nobody knows whether it is.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Undoes the transaction, as far as the database has not done so itself.
    fn rollback(&mut self);

    /// Whether the transaction is still there: databases give one up on a full disk or a lost
    /// connection.
    fn in_transaction(&self) -> bool;

    /// What makes a `SELECT` keep its rows to the transaction; nothing where there is only one
    /// writer.
    fn for_update(&self) -> &'static str;
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// The result of a query.
pub(crate) struct Rows {
    pub(crate) columns: Arc<[String]>,
    pub(crate) values: Vec<Vec<Value>>,
}

/// A piece of work with someone who waits for its outcome.
pub(crate) trait Job: Send {
    /// Runs the work inside a transaction and keeps its outcome. May be called again.
    fn run(&mut self, connection: &mut dyn Connection) -> Verdict;

    /// Hands over the outcome, or the error for which the transaction did not take place.
    fn finish(self: Box<Self>, transaction: Result<(), StoreError>);

    /// Whether someone waits for it.
    fn urgent(&self) -> bool;
}

/// What becomes of the writes of a job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are to be committed.
    Keep,
    /// They are to be undone; with the error of the database, if that was the cause.
    Discard(Option<StoreError>),
}

/// The work of one caller.
pub(crate) type BoxedJob = Box<dyn Job>;
