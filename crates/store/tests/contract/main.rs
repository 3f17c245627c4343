//! What the store promises, checked on both databases.
#![expect(
    clippy::unwrap_used,
    clippy::redundant_closure_for_method_calls,
    reason = "a panic is how a test fails, and `|tx| tx.noun()` reads alike for all nouns"
)]

mod account;
mod address;
mod audit;
mod backup;
mod backup_policy;
mod billing;
mod database;
mod event;
mod idempotency;
mod instance;
mod instance_filter;
mod manifest;
mod network;
mod opening;
mod password;
mod reseal;
mod restore;
mod role;
mod sample;
mod secrecy;
mod security_ips;
mod transaction;
mod upgrade;
mod zone;

/// Makes a test on SQLite and one on PostgreSQL of each function.
macro_rules! on_both {
    ($($rule:ident),+ $(,)?) => {$(
        mod $rule {
            #[test]
            fn sqlite() {
                super::$rule(&$crate::database::Database::sqlite());
            }
            #[test]
            fn postgres() {
                super::$rule(&$crate::database::Database::postgres());
            }
        }
    )+};
}
pub(crate) use on_both;
