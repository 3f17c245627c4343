//! What stands between engines and those who may not reach them.

use std::fmt::Debug;
use std::net::Ipv4Addr;

use async_trait::async_trait;

use super::Trouble;

/// Asked before an engine listens.
#[async_trait]
pub trait Gate: Debug + Send + Sync {
    /// Returns when nobody reaches an address who may not. At once in nearly all cases.
    async fn stands_before(&self, address: Ipv4Addr) -> Result<(), Trouble>;
}
