//! From the raw request to a [`Call`].
//!
//! The checks have one order, so that a request with several mistakes always gets the same answer:
//! 1. method (GET or POST), path (`/`), sizes of body, query and headers;
//! 2. style: V3 if `Authorization` starts with `ACS3-`, else v1. `x-acs-action` and `x-acs-version`
//!    prove nothing, old SDKs send them on v1 requests;
//! 3. parameters: encoding, count, sizes, repeated names;
//! 4. the `Authorization` header's own form and algorithm (V3);
//! 5. common parameters that are missing, in the order of the constants in `signature::v1` and
//!    `signature::v3`;
//! 6. headers that must be signed and are not (V3), form of the time stamp, signature method,
//!    signature version, length of the nonce.
//!
//! An unsupported `Format` is not refused here: it is signed like any parameter, some SDK really
//! sends the text `None`, and a wrong signature matters more. [`Call::check_format`] refuses it.

use crate::call::{Call, Style};
use crate::headers::Headers;
use crate::signature::{v1, v3};
use crate::{Fault, Format, Limits, common};

/// A request as it came from the connection, nothing decoded.
#[derive(Clone, Copy)]
pub struct RawRequest<'a> {
    /// The HTTP verb, upper case as sent.
    pub method: &'a str,
    /// The path without the query.
    pub path: &'a str,
    /// The query string without `?`, empty if there is none.
    pub query: &'a str,
    /// Headers in the order they came, names in lower case.
    pub headers: &'a [(String, String)],
    /// The whole body.
    pub body: &'a [u8],
}

/// A request that is no call, and the format in which to say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub fault: Fault,
    /// JSON for V3; for v1 and unsigned requests the `Format` they ask for, else XML.
    pub format: Format,
}

/// Reads a request. The result is not authenticated yet: see [`Call::verify`].
pub fn parse(raw: &RawRequest<'_>, limits: &Limits) -> Result<Call, Rejected> {
    let style = style_of(raw);
    read(raw, style, limits)
        .map_err(|fault| Rejected { fault, format: format_for_refusal(raw, style) })
}

fn read(raw: &RawRequest<'_>, style: Style, limits: &Limits) -> Result<Call, Fault> {
    if !matches!(raw.method, "GET" | "POST") {
        return Err(common::unsupported_method());
    }
    if !matches!(raw.path, "/" | "") {
        return Err(common::unknown_action());
    }
    limits.check_sizes(raw)?;
    let headers = Headers::index(raw.headers);
    match style {
        Style::V1 => v1::read(raw, &headers, limits),
        Style::V3 => v3::read(raw, &headers, limits),
    }
}

fn style_of(raw: &RawRequest<'_>) -> Style {
    let v3 = |(name, value): &(String, String)| {
        name == "authorization" && value.trim_start().starts_with(v3::SCHEME_PREFIX)
    };
    if raw.headers.iter().any(v3) { Style::V3 } else { Style::V1 }
}

/// The format in which to refuse a request that can't be parsed, such as one whose body did not
/// arrive: JSON for V3, else the one it plainly asks for, else XML.
pub fn refusal_format(raw: &RawRequest<'_>) -> Format {
    format_for_refusal(raw, style_of(raw))
}

/// The answer's format for a request that may be unreadable elsewhere: looks for a plain `Format=`
/// in query and body and decodes nothing.
fn format_for_refusal(raw: &RawRequest<'_>, style: Style) -> Format {
    if style == Style::V3 {
        return Format::Json;
    }
    let query = raw.query.as_bytes().split(|byte| *byte == b'&');
    let body = raw.body.split(|byte| *byte == b'&');
    query
        .chain(body)
        .find_map(|segment| segment.strip_prefix(b"Format="))
        .and_then(|text| Format::named(std::str::from_utf8(text).ok()?))
        .unwrap_or(Format::Xml)
}

#[cfg(test)]
mod tests;
