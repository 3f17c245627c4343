//! Client tokens: the same token with the same parameters gives the same result.
//!
//! Scope is account, region and action. A token is remembered for [`RETENTION`]; after that the
//! same token starts anew, as it does where the first call failed (a failed call remembers
//! nothing). CreateInstance page, row Token; errors `InvalidToken.Malformed` and
//! `IdempotentParameterMismatch`.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::ids::{AccountId, RegionId};

/// How long a token is remembered.
pub const RETENTION: SignedDuration = SignedDuration::from_hours(24);

/// Parameters that belong to the call and not to what is asked for: they differ between two
/// tries of one request.
const NOT_COMPARED: &[&str] = &[
    "AccessKeyId",
    "Action",
    "Format",
    "SecureTransport",
    "SecurityToken",
    "Signature",
    "SignatureMethod",
    "SignatureNonce",
    "SignatureType",
    "SignatureVersion",
    "SourceIp",
    "Timestamp",
    "Version",
];

/// A client token: 1 to 64 ASCII characters, case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientToken(String);

/// The text is not a client token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a client token")]
pub struct MalformedToken;

impl ClientToken {
    /// Takes a well-formed token. Control characters are refused.
    pub fn parse(text: &str) -> Result<Self, MalformedToken> {
        let well_formed = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if well_formed { Ok(Self(text.to_owned())) } else { Err(MalformedToken) }
    }

    /// The token as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a token is unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Whose token.
    pub account: AccountId,
    /// For which region.
    pub region: RegionId,
    /// For which action.
    pub action: &'static str,
    /// The token.
    pub token: ClientToken,
}

/// What a token was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Digest of the parameters.
    pub fingerprint: Fingerprint,
    /// The answer that was given, as JSON without its `RequestId`.
    pub answer: String,
    /// When it is forgotten.
    pub expires: Timestamp,
}

impl Remembered {
    /// The remembered answer, if `fingerprint` is of the same parameters.
    pub fn replay(self, fingerprint: &Fingerprint) -> Result<String, Mismatch> {
        if self.fingerprint == *fingerprint { Ok(self.answer) } else { Err(Mismatch) }
    }
}

/// The token was used with other parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token was used with other parameters")]
pub struct Mismatch;

/// SHA-256 of the compared parameters, in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Digests the parameters of a call. Empty ones count as absent, their order does not count.
    pub fn of<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut compared: Vec<_> = parameters
            .filter(|(name, value)| !value.is_empty() && !NOT_COMPARED.contains(name))
            .collect();
        compared.sort_unstable();
        let mut hash = Sha256::new();
        for text in compared.into_iter().flat_map(|(name, value)| [name, value]) {
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        }
        let mut hex = String::with_capacity(64);
        for byte in hash.finalize() {
            let digits =
                [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
            hex.extend(digits.map(char::from));
        }
        Self(hex)
    }

    /// A fingerprint as it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("AAAAAAAAAAAAAAAAAAAAAAAAAA", true)]
    #[case("a b~!@#", true)]
    #[case("", false)]
    #[case("tok-中", false)]
    #[case("a\u{7f}", false)]
    fn takes_ascii_tokens(#[case] text: &str, #[case] taken: bool) {
        assert_eq!(ClientToken::parse(text).is_ok(), taken);
    }

    #[test]
    fn takes_64_characters_and_not_65() {
        assert!(ClientToken::parse(&"x".repeat(64)).is_ok());
        assert!(ClientToken::parse(&"x".repeat(65)).is_err());
    }

    #[test]
    fn compares_what_is_asked_for_and_not_the_call() {
        let first = [("RegionId", "a"), ("Timestamp", "1"), ("Period", "")];
        let second = [("Timestamp", "2"), ("RegionId", "a")];
        assert_eq!(Fingerprint::of(first.into_iter()), Fingerprint::of(second.into_iter()));
    }

    #[test]
    fn tells_where_a_name_ends_and_a_value_begins() {
        assert_ne!(
            Fingerprint::of([("ab", "c")].into_iter()),
            Fingerprint::of([("a", "bc")].into_iter())
        );
    }

    #[test]
    fn refuses_a_replay_with_other_parameters() {
        let print = |value: &'static str| Fingerprint::of([("a", value)].into_iter());
        let remembered = Remembered {
            fingerprint: print("1"),
            answer: "{}".into(),
            expires: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(remembered.clone().replay(&print("1")), Ok("{}".into()));
        assert_eq!(remembered.replay(&print("2")), Err(Mismatch));
    }
}
