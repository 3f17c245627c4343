//! Signature version 3, `ACS3-HMAC-SHA256`: common parameters in `x-acs-*` headers, the proof in
//! `Authorization`.
//!
//! Signed are the verb, the path, the query, the hash of the body, and the headers that the client
//! lists. What this server reads from headers must be in that list, otherwise a stranger could
//! change it.

use sha2::{Digest, Sha256};

use super::{Proof, Scheme, encode, hex, timestamp};
use crate::call::{Call, Style};
use crate::headers::Headers;
use crate::{Fault, Format, Limits, Params, RawRequest, common, flat_json, form};

/// How `Authorization` starts under every variant of this scheme.
pub(crate) const SCHEME_PREFIX: &str = "ACS3-";

/// The only variant that is served.
pub(super) const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// The headers that must be there and be signed, in the order in which they are missed.
const MANDATORY: [&str; 6] = [
    "x-acs-action",
    "x-acs-version",
    "x-acs-signature-nonce",
    "x-acs-date",
    "x-acs-content-sha256",
    "host",
];

const TOKEN: &str = "x-acs-security-token";

/// Reads a V3 request, or finds what makes it none.
pub(crate) fn read(
    raw: &RawRequest<'_>,
    headers: &Headers<'_>,
    limits: &Limits,
) -> Result<Call, Fault> {
    let mut params = Params::new();
    form::decode_into(&mut params, raw.query.as_bytes(), limits)?;
    let query = encode::query(&params);
    read_body(&mut params, raw, headers, limits)?;

    let authorization = Authorization::read(headers.required("authorization")?)?;
    for name in MANDATORY {
        headers.required(name)?;
    }
    let signed = signed_headers(&authorization, headers, raw)?;
    let timestamp = timestamp(headers.required("x-acs-date")?)?;
    let nonce = headers.required("x-acs-signature-nonce")?;
    limits.check_nonce(nonce)?;
    let hash = headers.required("x-acs-content-sha256")?;
    let canonical = canonical_request(raw.method, &query, &signed, hash);
    Ok(Call {
        style: Style::V3,
        action: headers.required("x-acs-action")?.to_owned(),
        version: headers.required("x-acs-version")?.to_owned(),
        format: Format::Json,
        format_supported: true,
        access_key_id: authorization.credential.to_owned(),
        nonce: nonce.to_owned(),
        timestamp,
        security_token: headers.get(TOKEN)?.filter(|token| !token.is_empty()).map(str::to_owned),
        params,
        proof: Proof {
            scheme: Scheme::V3,
            string_to_sign: string_to_sign(&canonical),
            given: authorization.signature.to_owned(),
            body_matches: hash == content_hash(raw.body),
        },
    })
}

/// Adds the parameters of a form or JSON body. Other bodies are covered by their hash, not read.
fn read_body(
    params: &mut Params,
    raw: &RawRequest<'_>,
    headers: &Headers<'_>,
    limits: &Limits,
) -> Result<(), Fault> {
    if raw.body.is_empty() {
        Ok(())
    } else if headers.content_is(form::MEDIA_TYPE)? {
        form::decode_into(params, raw.body, limits)
    } else if headers.content_is(flat_json::MEDIA_TYPE)? {
        flat_json::decode_into(params, raw.body, limits)
    } else {
        Ok(())
    }
}

/// The parts of the `Authorization` header.
struct Authorization<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn read(text: &'a str) -> Result<Self, Fault> {
        let (algorithm, parts) = text.split_once(' ').ok_or(common::incomplete_signature())?;
        if algorithm != ALGORITHM {
            return Err(common::unsupported_signature_method());
        }
        let mut credential = None;
        let mut signed_headers = None;
        let mut signature = None;
        for part in parts.split(',') {
            let place = match part.trim().split_once('=') {
                Some(("Credential", value)) => credential.replace(value),
                Some(("SignedHeaders", value)) => signed_headers.replace(value),
                Some(("Signature", value)) => signature.replace(value),
                _ => return Err(common::incomplete_signature()),
            };
            if place.is_some() {
                return Err(common::incomplete_signature());
            }
        }
        let filled = |part: Option<&'a str>| {
            part.filter(|value| !value.is_empty()).ok_or(common::incomplete_signature())
        };
        Ok(Self {
            credential: filled(credential)?,
            signed_headers: filled(signed_headers)?,
            signature: filled(signature)?,
        })
    }
}

/// The headers that the client signed, in its order. Each name once: repetition would let a short
/// list stand for a long text.
fn signed_headers<'a>(
    authorization: &Authorization<'a>,
    headers: &Headers<'a>,
    raw: &RawRequest<'_>,
) -> Result<Vec<(&'a str, &'a str)>, Fault> {
    let mut signed = Vec::new();
    for name in authorization.signed_headers.split(';') {
        let value = headers.get(name)?.ok_or(common::incomplete_signature())?;
        signed.push((name, value));
    }
    let mut names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let repeated = names.windows(2).any(|pair| pair[0] == pair[1]);
    let covers = |name: &str| names.binary_search(&name).is_ok();
    let unsigned = |name: &str| Ok::<_, Fault>(headers.get(name)?.is_some() && !covers(name));
    if repeated
        || !MANDATORY.into_iter().all(covers)
        || unsigned(TOKEN)?
        || (!raw.body.is_empty() && unsigned("content-type")?)
    {
        return Err(common::incomplete_signature());
    }
    Ok(signed)
}

/// The six parts of a canonical request, joined by line feeds.
pub(super) fn canonical_request(
    method: &str,
    query: &str,
    signed: &[(&str, &str)],
    hash: &str,
) -> String {
    let lines: String = signed.iter().flat_map(|(name, value)| [name, ":", value, "\n"]).collect();
    format!("{method}\n/\n{query}\n{lines}\n{}\n{hash}", names(signed))
}

/// The names of signed headers as `Authorization` lists them.
pub(super) fn names(signed: &[(&str, &str)]) -> String {
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    names.join(";")
}

/// What is signed in the end: the algorithm and the hash of the canonical request.
pub(super) fn string_to_sign(canonical: &str) -> String {
    format!("{ALGORITHM}\n{}", content_hash(canonical.as_bytes()))
}

/// SHA-256 in lower-case hex.
pub(super) fn content_hash(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}
