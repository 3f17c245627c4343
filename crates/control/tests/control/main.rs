//! The control plane's parts together, over a real SQLite store and the fake substrate.

#![expect(clippy::unwrap_used, reason = "what can't be set up fails the test")]

mod backups;
mod common;
mod jobs;
mod jobs_backups;
mod keeping;
mod reconciler;
mod restore;
mod substrate_contract;
