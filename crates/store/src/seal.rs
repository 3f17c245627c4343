//! Sealing of secrets: what leaves this process for the database is not readable without the key.
//!
//! A sealed value is bound to its place (table, column, id): moved elsewhere it does not open, so
//! someone who can write to the database cannot give one instance the password of another.
//! XChaCha20-Poly1305; its nonces are long enough to be random. A value does not say which key it
//! was sealed with: there are two or three, and the wrong ones do not open it.

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

/// What is sealed with.
pub type Key = [u8; 32];

/// Where the keys come from.
pub trait KeySource: Send + Sync {
    /// The keys, the newest first; there is one at least. Asked for each value anew: a key that is
    /// drawn while a server runs is what it seals with from then on.
    fn keys(&self) -> Arc<[Key]>;
}

/// One key, for good.
impl KeySource for Key {
    fn keys(&self) -> Arc<[Key]> {
        Arc::new([*self])
    }
}

/// Seals secrets with the newest key, and opens what was sealed with any of them.
#[derive(Clone)]
pub struct Sealer {
    keys: Arc<dyn KeySource>,
    mint: Arc<Mint>,
}

/// The value was not sealed with these keys for this place, or was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value does not open")]
pub struct Unsealable;

impl Sealer {
    /// A sealer with one key; `mint` gives the nonces.
    pub fn new(key: Key, mint: Arc<Mint>) -> Self {
        Self::with(Arc::new(key), mint)
    }

    /// A sealer with the keys of a source.
    pub fn with(keys: Arc<dyn KeySource>, mint: Arc<Mint>) -> Self {
        Self { keys, mint }
    }

    /// The signature of a manifest's text, by the newest key.
    pub(crate) fn sign(&self, text: &[u8]) -> Vec<u8> {
        let keys = self.keys.keys();
        let newest = keys.first().expect("a source has one key at least");
        signer(newest).chain_update(text).finalize().into_bytes().to_vec()
    }

    /// Whether a text has a signature of any of the keys; a good guess takes as long as a bad one.
    pub(crate) fn signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let keys = self.keys.keys();
        keys.iter().any(|key| signer(key).chain_update(text).verify_slice(signature).is_ok())
    }

    /// Seals a secret for the place that `context` names.
    pub fn seal(&self, secret: &Secret, context: &str) -> Vec<u8> {
        let keys = self.keys.keys();
        let newest = keys.first().expect("a source has one key at least");
        let nonce = self.mint.seal_nonce();
        let payload = Payload { msg: secret.expose().as_bytes(), aad: context.as_bytes() };
        let sealed = XChaCha20Poly1305::new(newest.into())
            .encrypt(&XNonce::from(nonce), payload)
            .expect("only a text of more than 256 GiB is too long for the cipher");
        [&[VERSION], nonce.as_slice(), &sealed].concat()
    }

    /// Opens what was sealed for the same place.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Secret, Unsealable> {
        let keys = self.keys.keys();
        keys.iter().find_map(|key| open_with(key, sealed, context)).ok_or(Unsealable)
    }

    /// The place of the key that a value was sealed with, 0 for the newest one; `None` where none
    /// of them opens it.
    pub fn place_of_key(&self, sealed: &[u8], context: &str) -> Option<usize> {
        self.keys.keys().iter().position(|key| open_with(key, sealed, context).is_some())
    }
}

fn open_with(key: &Key, sealed: &[u8], context: &str) -> Option<Secret> {
    let (version, rest) = sealed.split_first()?;
    let (nonce, msg) = rest.split_first_chunk::<NONCE>()?;
    if *version != VERSION {
        return None;
    }
    let payload = Payload { msg, aad: context.as_bytes() };
    let text = XChaCha20Poly1305::new(key.into()).decrypt(&XNonce::from(*nonce), payload).ok()?;
    String::from_utf8(text).ok().map(Secret::from)
}

/// What manifests are signed with under a key.
fn signer(key: &Key) -> Hmac<Sha256> {
    keyed(&keyed(key).chain_update(MANIFESTS).finalize().into_bytes())
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
    fn seals_with_the_newest_key_and_opens_with_all_of_them() {
        struct Two;
        impl KeySource for Two {
            fn keys(&self) -> Arc<[Key]> {
                Arc::new([[2; 32], [1; 32]])
            }
        }
        let two = Sealer::with(Arc::new(Two), Arc::new(Mint::from_seed([9; 32])));
        let secret = Secret::from("Passw0rd!");
        let (older, newer) = (sealer(1).seal(&secret, "c"), two.seal(&secret, "c"));
        assert_eq!(two.open(&older, "c"), Ok(secret.clone()));
        assert_eq!(two.open(&newer, "c"), Ok(secret.clone()));
        assert_eq!(sealer(2).open(&newer, "c"), Ok(secret));
        assert_eq!(sealer(1).open(&newer, "c"), Err(Unsealable));
        let places = [older, newer, sealer(3).seal(&Secret::from("x"), "c")];
        let places = places.map(|sealed| two.place_of_key(&sealed, "c"));
        assert_eq!(places, [Some(1), Some(0), None]);
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
