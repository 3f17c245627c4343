//! A request that has the form of a call: who claims to make it, what they ask, and the proof.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::signature::Proof;
use crate::{Fault, Format, Params, common};

/// How far a time stamp may be from our clock, either way, the limit included.
const WINDOW: SignedDuration = SignedDuration::from_mins(15);

/// The signature scheme of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Everything in parameters, `Signature` among them.
    V1,
    /// `Authorization: ACS3-HMAC-SHA256 …`, common parameters in `x-acs-*` headers.
    V3,
}

/// A well-formed call. Nothing in it may be believed before [`Call::verify`] passed.
///
/// The `Debug` form shows no values of parameters, no token and no signature.
#[derive(Clone)]
pub struct Call {
    /// The signature scheme.
    pub style: Style,
    /// Name of the action, case-sensitive.
    pub action: String,
    /// Version of the API it belongs to.
    pub version: String,
    /// The format to answer in; XML if the one asked for is not supported.
    pub format: Format,
    /// The key the caller claims to hold.
    pub access_key_id: String,
    /// Unique text of this one request.
    pub nonce: String,
    /// When the caller says it was signed; whole seconds.
    pub timestamp: Timestamp,
    /// Token of temporary credentials.
    pub security_token: Option<String>,
    /// The action's parameters; under v1 also the common ones, except `Signature`.
    pub params: Params,
    pub(crate) format_supported: bool,
    pub(crate) proof: Proof,
}

impl Call {
    /// Whether the holder of `secret` signed exactly this call; compares in constant time.
    ///
    /// The fault's message ends with our string to sign, so it is for the caller only, not for a
    /// log.
    pub fn verify(&self, secret: &str) -> Result<(), Fault> {
        self.proof.verify(secret)
    }

    /// Whether the time stamp is at most 15 minutes from `now`, either way.
    pub fn check_time(&self, now: Timestamp) -> Result<(), Fault> {
        if now.duration_since(self.timestamp).abs() <= WINDOW {
            Ok(())
        } else {
            Err(common::time_expired())
        }
    }

    /// Whether the answer can be given in the format that was asked for.
    pub fn check_format(&self) -> Result<(), Fault> {
        if self.format_supported { Ok(()) } else { Err(common::unsupported_format()) }
    }

    /// The last instant at which [`Call::check_time`] passes: the nonce must be remembered up to
    /// and including it.
    pub fn nonce_expires(&self) -> Timestamp {
        self.timestamp.checked_add(WINDOW).unwrap_or(Timestamp::MAX)
    }

    /// What the caller must have signed. Holds every parameter in plain text, passwords too.
    pub fn string_to_sign(&self) -> &str {
        self.proof.string_to_sign()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("style", &self.style)
            .field("action", &self.action)
            .field("version", &self.version)
            .field("format", &self.format)
            .field("access_key_id", &self.access_key_id)
            .field("nonce", &self.nonce)
            .field("timestamp", &self.timestamp)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}
