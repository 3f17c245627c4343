//! Buckets of S3 and what speaks like it.
//!
//! Nothing is taken from the environment of the process: what is not in the configuration is not
//! known. TLS is rustls with ring, chosen when the first bucket is opened.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStoreScheme, RetryConfig};
use ourkv_domain::secret::Secret;
use url::Url;

use super::shelf::ShelfError;

/// A bucket of an object store.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// `s3://bucket/prefix`.
    pub url: String,
    /// Options of the `object_store` crate by their names: `endpoint`, `region`,
    /// `access_key_id`, `secret_access_key`, `allow_http`, `virtual_hosted_style_request` and
    /// others. Any of them may be a secret.
    pub options: Vec<(String, Secret)>,
    /// How patient its clients are.
    pub limits: Limits,
}

/// How patient the clients of a bucket are.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection.
    pub connect: Duration,
    /// For one request with all of its data: a part of 8 MiB.
    pub request: Duration,
    /// How often a request that failed is made again.
    pub retries: usize,
    /// After this nothing is made again.
    pub retry_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(30),
            retries: 4,
            retry_for: Duration::from_secs(30),
        }
    }
}

/// The client of a bucket, and the prefix of its objects.
pub(super) fn open(bucket: &Bucket) -> Result<(Arc<AmazonS3>, Path), ShelfError> {
    let prefix = prefix(&bucket.url)?;
    // Whoever came first has chosen the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let limits = bucket.limits;
    let client =
        ClientOptions::new().with_connect_timeout(limits.connect).with_timeout(limits.request);
    let retry = RetryConfig {
        backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
        max_retries: limits.retries,
        retry_timeout: limits.retry_for,
    };
    let mut builder =
        AmazonS3Builder::new().with_client_options(client).with_retry(retry).with_url(&bucket.url);
    for (name, value) in &bucket.options {
        let key: AmazonS3ConfigKey = name
            .to_ascii_lowercase()
            .parse()
            .map_err(|_| ShelfError::Place(format!("no object store has an option '{name}'")))?;
        builder = builder.with_config(key, value.expose());
    }
    let store = builder.build().map_err(|error| ShelfError::Place(error.to_string()))?;
    Ok((Arc::new(store), prefix))
}

fn prefix(url: &str) -> Result<Path, ShelfError> {
    let unusable = |error: &dyn std::fmt::Display| ShelfError::Place(format!("'{url}': {error}"));
    let parsed = Url::parse(url).map_err(|error| unusable(&error))?;
    match ObjectStoreScheme::parse(&parsed).map_err(|error| unusable(&error))? {
        (ObjectStoreScheme::AmazonS3, prefix) => Ok(prefix),
        _ => Err(unusable(&"it is not of the form s3://bucket/prefix")),
    }
}
