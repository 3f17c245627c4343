//! The API as its callers see it: a real `ourkv serve`, real engines, signed calls.

mod common;
mod create_instance;
#[cfg(feature = "failpoints")]
mod failpoints;
mod instances;
mod postgres;
mod protocol;
mod tokens;
