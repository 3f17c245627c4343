//! Where the addresses of names come from.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use ourkv_store::{Store, StoreError};

/// Something that knows the serving addresses of endpoints.
#[async_trait]
pub trait Names: Send + Sync + 'static {
    /// The serving address of a `ConnectionDomain`, given in lower case without a final dot.
    async fn address(&self, domain: &str) -> Result<Option<Ipv4Addr>, StoreError>;
}

#[async_trait]
impl Names for Store {
    async fn address(&self, domain: &str) -> Result<Option<Ipv4Addr>, StoreError> {
        let domain = domain.to_owned();
        self.read(move |tx| tx.serving_ip_of_domain(&domain)).await
    }
}
