//! The control plane's parts together, over a real SQLite store and the fake substrate.

#![expect(clippy::unwrap_used, reason = "what can't be set up fails the test")]

/// For the object server, which is also part of the library's own tests.
use ourkv_control::backup;

mod backups;
mod common;
mod failover;
mod jobs;
mod jobs_backups;
mod keeping;
mod keepsake;
#[path = "../../src/backup/object_server.rs"]
mod object_server;
mod passwords;
mod reconciler;
mod restore;
mod substrate_contract;
