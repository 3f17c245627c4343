//! The API as its callers see it: a real `ourkv serve`, real engines, signed calls.
#![expect(clippy::unwrap_used, reason = "a test that can't go on should end there")]

mod backup_faults;
#[cfg(feature = "failpoints")]
mod backup_steps;
mod backups;
mod callers;
mod canaries;
mod clone;
#[cfg_attr(
    not(feature = "failpoints"),
    expect(dead_code, reason = "the tests with failpoints use more of it")
)]
mod common;
mod connections;
mod coverage;
mod create_instance;
mod damage;
mod database_loss;
mod disk;
mod disk_faults;
mod failover;
#[cfg(feature = "failpoints")]
mod failpoints;
mod host_faults;
mod instances;
mod key_file;
mod kills;
mod names;
#[expect(dead_code, reason = "the tests of the command line use more of it")]
#[path = "../../../control/tests/local/own_namespace.rs"]
mod own_namespace;
mod passwords;
mod postgres;
mod power_cuts;
mod protocol;
mod races;
mod rebuild;
#[cfg(feature = "failpoints")]
mod refusals;
mod relay;
#[cfg(feature = "failpoints")]
mod remembered;
mod restore;
mod saver;
mod schedules;
mod shelf;
mod store_damage;
mod tenant;
mod tokens;
mod two_planes;
