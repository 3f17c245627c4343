//! The API as its callers see it: a real `ourkv serve`, real engines, signed calls.
#![expect(clippy::unwrap_used, reason = "a test that can't go on should end there")]

#[cfg_attr(
    not(feature = "failpoints"),
    expect(dead_code, reason = "the tests with failpoints use more of it")
)]
mod common;
mod coverage;
mod create_instance;
#[cfg(feature = "failpoints")]
mod failpoints;
mod instances;
mod kills;
mod names;
mod postgres;
mod protocol;
mod races;
#[cfg(feature = "failpoints")]
mod refusals;
#[cfg(feature = "failpoints")]
mod remembered;
#[expect(dead_code, reason = "the tests of backups use more of it")]
mod shelf;
mod tokens;
