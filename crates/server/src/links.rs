//! Links to backups: whoever has one may fetch that backup until it expires, and no other.
//!
//! A link is checked by its signature alone, so one that was given out can't be taken back; it
//! works at every server with the same key file. It is as good as the data it leads to: it belongs
//! into no log.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use ourkv_domain::backup::BackupId;
use ourkv_store::{Key, KeySource};
use sha2::Sha256;

/// Keeps the key of links apart from what else comes of the key file.
const PURPOSE: &[u8] = b"ourkv links to backups";

/// Signs links, and checks those that come back.
#[derive(Clone)]
pub struct Links(Arc<Inner>);

/// What links are signed with: made of the newest key of the key file, for this purpose only. Those
/// that were signed with an earlier one are good while the file has it. Prints nothing.
#[derive(Clone)]
pub struct LinkKey(Arc<dyn KeySource>);

/// What makes a link more than a path.
#[derive(Clone)]
pub struct Pass {
    /// Seconds since 1970.
    pub expires: i64,
    /// Hexadecimal digits.
    pub signature: String,
}

struct Inner {
    key: LinkKey,
    base: String,
    lifetime: SignedDuration,
}

impl Links {
    /// Links that begin with `base`, such as `http://127.0.0.1:2015`, and last for `lifetime`.
    pub fn new(key: LinkKey, base: String, lifetime: SignedDuration) -> Self {
        Self(Arc::new(Inner { key, base, lifetime }))
    }

    /// A link to a backup that can be followed from now on.
    pub fn url(&self, backup: BackupId, now: Timestamp) -> String {
        let expires = now.saturating_add(self.0.lifetime).unwrap_or(Timestamp::MAX).as_second();
        let keys = self.0.key.0.keys();
        let newest = keys.first().expect("a source has one key at least");
        let signature = signed(newest, backup, expires).finalize().into_bytes();
        let base = &self.0.base;
        format!("{base}/backups/{backup}?Expires={expires}&Signature={}", hex(&signature))
    }

    /// Whether a link was made here, for this backup, and has not expired.
    pub fn admits(&self, backup: BackupId, expires: i64, signature: &str, now: Timestamp) -> bool {
        let Some(signature) = unhex(signature) else {
            return false;
        };
        // In constant time: a guess is told nothing about how near it came.
        let ours = |key| signed(key, backup, expires).verify_slice(&signature).is_ok();
        now.as_second() < expires && self.0.key.0.keys().iter().any(ours)
    }
}

impl Pass {
    /// Reads the query of a link; what else stands there may be a proxy's.
    pub fn read(query: &str) -> Option<Self> {
        let value = |name: &str| {
            form_urlencoded::parse(query.as_bytes()).find(|(own, _)| own == name).map(|pair| pair.1)
        };
        let (expires, signature) = (value("Expires")?, value("Signature")?);
        Some(Self { expires: expires.parse().ok()?, signature: signature.into_owned() })
    }
}

impl LinkKey {
    /// The key of links that belongs to one key.
    pub fn of(key: &Key) -> Self {
        Self(Arc::new(*key))
    }

    /// The key of links that belongs to a key file.
    pub fn with(keys: Arc<dyn KeySource>) -> Self {
        Self(keys)
    }
}

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkKey(***)")
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links({})", self.0.base)
    }
}

fn signed(key: &Key, backup: BackupId, expires: i64) -> Hmac<Sha256> {
    let own = keyed(key).chain_update(PURPOSE).finalize().into_bytes();
    keyed(&own).chain_update(format!("{backup}\n{expires}"))
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(key: u8) -> Links {
        let key = LinkKey::of(&[key; 32]);
        Links::new(key, "http://127.0.0.1:1".into(), SignedDuration::from_secs(60))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The two values in the query of a link.
    fn parts(url: &str) -> (i64, String) {
        let (expires, signature) = url.split_once("Expires=").unwrap().1.split_once('&').unwrap();
        (expires.parse().unwrap(), signature.strip_prefix("Signature=").unwrap().to_owned())
    }

    #[test]
    fn a_link_opens_one_backup_for_a_while() {
        let (one, other) = (backup("100000001"), backup("100000002"));
        let url = links(1).url(one, at(1000));
        assert!(url.starts_with("http://127.0.0.1:1/backups/100000001?Expires=1060&Signature="));
        let (expires, signature) = parts(&url);
        assert!(links(1).admits(one, expires, &signature, at(1000)));
        assert!(links(1).admits(one, expires, &signature.to_uppercase(), at(1059)));
        assert!(!links(1).admits(one, expires, &signature, at(1060)), "expired");
        assert!(!links(1).admits(one, expires + 1, &signature, at(1000)), "prolonged");
        assert!(!links(1).admits(other, expires, &signature, at(1000)), "another backup");
        assert!(!links(2).admits(one, expires, &signature, at(1000)), "another key");
    }

    #[test]
    fn a_link_outlives_the_rotation_of_the_key_file() {
        struct Two;
        impl KeySource for Two {
            fn keys(&self) -> Arc<[Key]> {
                Arc::new([[2; 32], [1; 32]])
            }
        }
        let lifetime = SignedDuration::from_secs(60);
        let two = Links::new(LinkKey::with(Arc::new(Two)), String::new(), lifetime);
        let one = backup("100000001");
        let (expires, before) = parts(&links(1).url(one, at(0)));
        let (_, after) = parts(&two.url(one, at(0)));
        assert!(
            two.admits(one, expires, &before, at(0)) && two.admits(one, expires, &after, at(0))
        );
        assert!(links(2).admits(one, expires, &after, at(0)), "signed with the newest");
        assert!(!links(1).admits(one, expires, &after, at(0)));
    }

    #[test]
    fn what_is_no_signature_opens_nothing() {
        let one = backup("100000001");
        let (expires, signature) = parts(&links(1).url(one, at(0)));
        for wrong in ["", "0", "zz", &signature[2..], &format!("{signature}00"), "é€"] {
            assert!(!links(1).admits(one, expires, wrong, at(0)), "{wrong}");
        }
    }

    #[test]
    fn the_key_is_not_that_of_the_file_and_is_not_printed() {
        let url = links(7).url(backup("100000001"), at(0));
        let plain = keyed(&[7; 32]).chain_update("100000001\n60").finalize().into_bytes();
        assert!(!url.contains(&hex(&plain)));
        assert_eq!(format!("{:?}", links(7)), "Links(http://127.0.0.1:1)");
        assert_eq!(format!("{:?}", LinkKey::of(&[7; 32])), "LinkKey(***)");
    }

    fn backup(id: &str) -> BackupId {
        id.parse().unwrap()
    }
}
