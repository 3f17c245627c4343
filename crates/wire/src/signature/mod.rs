//! The two signature schemes: what is signed, with what, and the comparison.
//!
//! `v1` and `v3` read requests and build the string to sign; [`Signer`] makes requests with the
//! same functions.

pub(crate) mod encode;
mod signer;
pub(crate) mod v1;
pub(crate) mod v3;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

pub use signer::{Outgoing, SignedRequest, Signer};

use crate::{Fault, common};

/// The hash under a v1 signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacAlgorithm {
    /// `HMAC-SHA1`, what every SDK sends.
    Sha1,
    /// `HMAC-SHA256`.
    Sha256,
}

impl HmacAlgorithm {
    /// The value of the parameter `SignatureMethod`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "HMAC-SHA1",
            Self::Sha256 => "HMAC-SHA256",
        }
    }

    fn named(name: &str) -> Result<Self, Fault> {
        [Self::Sha1, Self::Sha256]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or(common::unsupported_signature_method())
    }
}

/// How a string to sign becomes a signature.
#[derive(Clone, Copy)]
pub(crate) enum Scheme {
    /// Base64, and the secret is followed by `&`.
    V1(HmacAlgorithm),
    /// HMAC-SHA256 in lower-case hex, with the secret alone.
    V3,
}

impl Scheme {
    fn sign(self, secret: &str, string_to_sign: &str) -> String {
        let text = string_to_sign.as_bytes();
        match self {
            Self::V1(algorithm) => {
                let key = format!("{secret}&");
                STANDARD.encode(match algorithm {
                    HmacAlgorithm::Sha1 => mac::<Hmac<Sha1>>(key.as_bytes(), text),
                    HmacAlgorithm::Sha256 => mac::<Hmac<Sha256>>(key.as_bytes(), text),
                })
            }
            Self::V3 => hex(&mac::<Hmac<Sha256>>(secret.as_bytes(), text)),
        }
    }
}

/// The signature that came with a call, and what it should be a signature of.
#[derive(Clone)]
pub(crate) struct Proof {
    scheme: Scheme,
    string_to_sign: String,
    given: String,
    /// Whether the body has the hash that was signed; always so where the body is signed itself.
    body_matches: bool,
}

impl Proof {
    pub(crate) fn verify(&self, secret: &str) -> Result<(), Fault> {
        let computed = self.scheme.sign(secret, &self.string_to_sign);
        let signed = computed.as_bytes().ct_eq(self.given.as_bytes());
        if bool::from(signed & Choice::from(u8::from(self.body_matches))) {
            Ok(())
        } else {
            Err(common::signature_mismatch(&self.string_to_sign))
        }
    }

    pub(crate) fn string_to_sign(&self) -> &str {
        &self.string_to_sign
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads `YYYY-MM-DDThh:mm:ssZ`, that form and no other.
fn timestamp(text: &str) -> Result<Timestamp, Fault> {
    const FORM: &[u8] = b"0000-00-00T00:00:00Z";
    let digit_or_same = |(byte, form): (u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == *form,
    };
    if text.len() != FORM.len() || !text.bytes().zip(FORM).all(digit_or_same) {
        return Err(common::time_malformed());
    }
    text.parse().map_err(|_| common::time_malformed())
}

/// Writes the form that [`timestamp`] reads.
fn timestamp_text(timestamp: Timestamp) -> String {
    timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_timestamp_reads_what_it_writes() {
        let text = "2019-11-20T08:00:04Z";
        assert_eq!(timestamp_text(timestamp(text).unwrap()), text);
    }

    #[rstest]
    #[case("2019-11-20T08:00:04")]
    #[case("2019-11-20 08:00:04Z")]
    #[case("2019-11-20T08:00:04+00:00")]
    #[case("2019-11-20T08:00:04.000Z")]
    #[case("2019-11-20T8:00:04Z")]
    #[case("2019-02-30T08:00:04Z")]
    #[case("2019-11-20T24:00:00Z")]
    #[case("+019-11-20T08:00:04Z")]
    #[case("２019-11-20T08:00Z")]
    #[case("")]
    fn other_forms_of_time_are_malformed(#[case] text: &str) {
        assert_eq!(timestamp(text), Err(common::time_malformed()));
    }
}
