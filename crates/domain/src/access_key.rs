//! AccessKeys: what a caller signs with.

use jiff::Timestamp;

use crate::ids::{AccessKeyId, AccountId};
use crate::secret::Secret;

/// One pair of id and secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Sent in the clear.
    pub id: AccessKeyId,
    /// Signs; the store keeps it sealed.
    pub secret: Secret,
    /// On whose behalf it acts.
    pub account: AccountId,
    /// A disabled key is refused.
    pub active: bool,
    /// Calls per second beyond which the key is throttled; `None` for no limit.
    pub calls_per_second: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
}
