//! The RPC protocol: bytes to typed parameters and back.
//!
//! Guarantees:
//! - [`parse`] turns any request into a [`Call`] or into a [`Rejected`] with a documented fault. It
//!   never panics, and its work and memory are bounded by [`Limits`], before any hashing.
//! - A [`Call`] that passed [`Call::verify`] was made by someone who holds the secret, and says
//!   what they signed: every value in it is covered by the signature.
//! - [`render`] writes the same value as JSON and as XML, and both are well formed whatever the
//!   texts inside contain.
//! - [`Signer`] makes requests with the code that checks them.
//!
//! Does not know: sockets, time (it is an argument), accounts and their secrets, which actions and
//! versions exist, which nonces were used. The caller asks those questions, in this order: `parse`,
//! look up the key, [`Call::verify`], [`Call::check_time`], [`Call::check_format`], nonce (after the
//! signature, so that a stranger burns none), version, action.
//!
//! Where the vendor is odd: five ways to place parameters share one URL, headers that look like V3
//! travel on v1 requests too, and a request without `Format` is answered in XML.

mod body;
mod call;
pub mod common;
mod fault;
mod flat_json;
mod form;
mod headers;
mod limits;
mod params;
mod request;
mod signature;

pub use body::{Format, render, render_error};
pub use call::{Call, Style};
pub use fault::Fault;
pub use limits::Limits;
pub use params::Params;
pub use request::{RawRequest, Rejected, parse, refusal_format};
pub use signature::{HmacAlgorithm, Outgoing, SignedRequest, Signer};
