//! What ourkv remembers, on SQLite or PostgreSQL.
//!
//! # Transactions
//!
//! All access goes through [`Store::write`] and [`Store::read`], which run a closure with a
//! [`Tx`]. Whatever belongs together (an instance, its address, its order, its token, its audit
//! line) is written in one closure and becomes durable as one. The closure may run more than once
//! and must have no other effects. Lookups return `Option`: that something is absent is no error.
//!
//! # What is durable
//!
//! Everything whose write returned `Ok`: SQLite syncs each commit to the disk, PostgreSQL does
//! what it is configured to do. The exceptions are writes of [`Store::write_later`], of which a
//! crash can lose the last fraction of a second. An error means that nothing was written, but for
//! one case: [`StoreError::Unavailable`] may stand for a commit whose answer was lost. Whoever
//! retries finds its own token or row then.
//!
//! What is *not* here: processes, addresses that answer, passwords in readable form. Secrets are
//! sealed by a [`Sealer`] before they reach a database; a key that does not fit is refused when the
//! store is opened.
//!
//! # One set of SQL
//!
//! Every statement is written once, in the file of its noun, for both databases. The types are
//! `BIGINT`, `TEXT` and `BYTEA`; conflicts are decided by `ON CONFLICT`, rows are kept by
//! [`Tx::lock_account`] and its like, which lock on PostgreSQL and need not on SQLite, where there
//! is one writer. A failed statement spoils its transaction on both.
//!
//! # To add a noun
//!
//! 1. A table in a new `migrations/V<n>__<noun>.sql`; released migrations never change.
//! 2. `src/<noun>.rs` with an `impl Tx<'_>`: `columns!` to write, `Row::take` to read. Types that
//!    have no column yet get one in `column.rs`.
//! 3. Tests in `tests/contract/<noun>.rs`, which run on both databases.

mod access_key;
mod account;
mod address;
mod audit;
mod backup;
mod backup_list;
mod backup_policy;
mod backup_row;
mod column;
mod coupon;
mod driver;
mod error;
mod event;
mod instance;
mod instance_filter;
mod instance_state;
mod instance_status;
mod job;
mod later;
mod ledger;
mod living;
mod location;
mod manifest;
mod metering;
mod network;
mod node;
mod nonce;
mod order;
mod part;
mod remember;
mod reseal;
mod restore;
mod role;
mod schema;
mod seal;
mod secrets;
mod security_ips;
mod setting;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
mod tx;
mod zone;

pub use address::AddressTaken;
pub use backup_list::BackupFilter;
pub use error::{OpenError, StoreError};
pub use instance_filter::{Filter, Page};
pub use ledger::Meter;
pub use location::Location;
pub use manifest::{Agreement, Gist, Manifest, ManifestError};
pub use network::Removal;
pub use node::Lease;
pub use seal::{Key, KeySource, Sealer, Unsealable};
pub use security_ips::Guarded;
pub use store::Store;
pub use tx::Tx;
