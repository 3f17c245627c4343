//! Sealing of secrets: what leaves this process for the database is not readable without the key.
//!
//! A sealed value is bound to its place (table, column, id): moved elsewhere it does not open, so
//! someone who can write to the database cannot give one instance the password of another.
//! XChaCha20-Poly1305; its nonces are long enough to be random.

use std::sync::Arc;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use ourkv_domain::mint::Mint;
use ourkv_domain::secret::Secret;
use sha2::Sha256;

/// First byte of every sealed value, so that another cipher can follow.
const VERSION: u8 = 1;
const NONCE: usize = 24;
/// Keeps the key that manifests are signed with apart from what else comes of the key.
const MANIFESTS: &[u8] = b"ourkv manifests of instances";

/// Seals and opens secrets with one key.
#[derive(Clone)]
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    signer: Hmac<Sha256>,
    mint: Arc<Mint>,
}

/// The value was not sealed with this key for this place, or was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value does not open")]
pub struct Unsealable;

impl Sealer {
    /// A sealer with 32 bytes of key; `mint` gives the nonces.
    pub fn new(key: [u8; 32], mint: Arc<Mint>) -> Self {
        let own = keyed(&key).chain_update(MANIFESTS).finalize().into_bytes();
        Self { cipher: XChaCha20Poly1305::new(&key.into()), signer: keyed(&own), mint }
    }

    /// The signature of a manifest's text.
    pub(crate) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.signer.clone().chain_update(text).finalize().into_bytes().to_vec()
    }

    /// Whether a text has this signature; takes as long for a good guess as for a bad one.
    pub(crate) fn signed(&self, text: &[u8], signature: &[u8]) -> bool {
        self.signer.clone().chain_update(text).verify_slice(signature).is_ok()
    }

    /// Seals a secret for the place that `context` names.
    pub fn seal(&self, secret: &Secret, context: &str) -> Vec<u8> {
        let nonce = self.mint.seal_nonce();
        let payload = Payload { msg: secret.expose().as_bytes(), aad: context.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("only a text of more than 256 GiB is too long for the cipher");
        [&[VERSION], nonce.as_slice(), &sealed].concat()
    }

    /// Opens what was sealed for the same place.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Secret, Unsealable> {
        let (version, rest) = sealed.split_first().ok_or(Unsealable)?;
        let (nonce, msg) = rest.split_first_chunk::<NONCE>().ok_or(Unsealable)?;
        if *version != VERSION {
            return Err(Unsealable);
        }
        let payload = Payload { msg, aad: context.as_bytes() };
        let text = self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| Unsealable)?;
        String::from_utf8(text).map(Secret::from).map_err(|_| Unsealable)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(key: u8) -> Sealer {
        Sealer::new([key; 32], Arc::new(Mint::from_seed([9; 32])))
    }

    #[test]
    fn opens_what_it_sealed() {
        let secret = Secret::from("Passw0rd!");
        let sealed = sealer(1).seal(&secret, "t/c/a");
        assert_eq!(sealer(1).open(&sealed, "t/c/a"), Ok(secret));
    }

    #[test]
    fn never_seals_the_same_twice() {
        let sealer = sealer(1);
        let secret = Secret::from("Passw0rd!");
        assert_ne!(sealer.seal(&secret, "c"), sealer.seal(&secret, "c"));
    }

    #[test]
    fn refuses_another_key_another_place_and_any_changed_byte() {
        let sealed = sealer(1).seal(&Secret::from("Passw0rd!"), "t/c/a");
        assert_eq!(sealer(2).open(&sealed, "t/c/a"), Err(Unsealable));
        assert_eq!(sealer(1).open(&sealed, "t/c/b"), Err(Unsealable));
        assert_eq!(sealer(1).open(&[], "t/c/a"), Err(Unsealable));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer(1).open(&changed, "t/c/a"), Err(Unsealable), "byte {at}");
        }
    }
}
