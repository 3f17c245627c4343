//! Nonces of signed requests: each may be used once.
//!
//! Only a digest is kept, so a row has one size whatever a caller sends.

use jiff::Timestamp;
use ourkv_domain::ids::AccessKeyId;
use sha2::{Digest, Sha256};

use crate::column::{columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

/// Bytes of the digest; two nonces share 16 bytes once in 2^64 times.
const DIGEST: usize = 16;

impl Tx<'_> {
    /// Uses a nonce up until `expires`; false if it was used before.
    pub fn burn_nonce(
        &mut self,
        key: &AccessKeyId,
        nonce: &str,
        expires: Timestamp,
    ) -> Result<bool, StoreError> {
        // An id holds no colon, so the two parts cannot be taken for others.
        let digest = Sha256::digest(format!("{key}:{nonce}"));
        let row = columns! { digest: digest[..DIGEST], expires_at: expires };
        Ok(self.insert("nonces", &row, "ON CONFLICT DO NOTHING")? == 1)
    }

    /// Forgets the nonces whose time is over at `now`, and returns how many.
    pub fn forget_nonces(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM nonces WHERE expires_at <= $1", &values![now])
    }
}
