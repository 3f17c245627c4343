//! The rules of ourkv, and nothing else.
//!
//! Pure: no I/O, no async, no clock, no randomness of its own. Everything here can be tested by
//! a table. Time comes in as a [`jiff::Timestamp`], randomness as a [`mint::Mint`].

pub mod access_key;
pub mod account;
pub mod audit;
pub mod backup;
pub mod billing;
pub mod catalogue;
pub mod clock;
pub mod event;
pub mod idempotency;
pub mod ids;
pub mod instance;
pub mod mint;
pub mod network;
pub mod parameter;
pub mod secret;
pub mod security;
