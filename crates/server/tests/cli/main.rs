//! The command line as operators see it: the real program on directories of its own.

#![expect(clippy::unwrap_used, reason = "helpers of tests end a test as tests do")]

mod admin;
mod backups;
mod bucket;
#[path = "../api/common.rs"]
#[expect(dead_code, reason = "the tests of the API use more of it")]
mod common;
mod confinement;
mod documentation;
mod host_addresses;
#[expect(dead_code, reason = "the tests of the API use more of it")]
#[path = "../../../control/tests/local/own_namespace.rs"]
mod own_namespace;
mod serve;
mod whitelist;
