//! Accounts of instances: who logs in to an engine.

mod reset_account_password;

pub use reset_account_password::ResetAccountPassword;
