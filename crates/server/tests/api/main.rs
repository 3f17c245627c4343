//! The API as its callers see it: a real `ourkv serve`, real engines, signed calls.
#![expect(clippy::unwrap_used, reason = "a test that can't go on should end there")]

mod common;
mod create_instance;
#[cfg(feature = "failpoints")]
mod failpoints;
mod instances;
mod postgres;
mod protocol;
#[cfg(feature = "failpoints")]
mod refusals;
mod tokens;
