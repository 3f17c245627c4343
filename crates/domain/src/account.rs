//! Accounts, and every fact about one that CreateInstance may be refused for.

use jiff::Timestamp;

use crate::billing::Money;
use crate::ids::AccountId;

/// Who owns instances and pays for them. Each field is set by an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Sixteen digits.
    pub id: AccountId,
    /// What the operator calls it.
    pub name: String,
    /// What it has; below zero it is in arrears.
    pub balance: Money,
    /// Whether it passed the real-name authentication.
    pub real_name: bool,
    /// Whether a means of payment is on file; needed for what is paid afterwards.
    pub payment_method: bool,
    /// Whether it belongs to a financial institution: then it may only use finance regions.
    pub finance: bool,
    /// How many hourly-paid instances it may have in all.
    pub postpaid_quota: i64,
    /// How many hourly-paid instances it may have in one region.
    pub postpaid_quota_per_region: i64,
    /// Since when its balance is below zero.
    pub arrears_since: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}
