//! Signature version 1: every parameter in query and form body, `Signature` among them.
//!
//! Signed are the verb and all parameters but `Signature`, empty ones included. A body that is not
//! a form is neither signed nor read. The path is always signed as `/`.

use super::{HmacAlgorithm, Proof, Scheme, encode, timestamp};
use crate::call::{Call, Style};
use crate::headers::Headers;
use crate::{Fault, Format, Limits, Params, RawRequest, form};

/// The common parameters that must be there, in the order in which they are missed.
const MANDATORY: [&str; 8] = [
    "Action",
    "Version",
    "AccessKeyId",
    "Signature",
    "SignatureMethod",
    "SignatureVersion",
    "SignatureNonce",
    "Timestamp",
];

/// The only signature version.
pub(super) const VERSION: &str = "1.0";

/// Reads a v1 request, or finds what makes it none.
pub(crate) fn read(
    raw: &RawRequest<'_>,
    headers: &Headers<'_>,
    limits: &Limits,
) -> Result<Call, Fault> {
    let mut params = Params::new();
    form::decode_into(&mut params, raw.query.as_bytes(), limits)?;
    if headers.content_is(form::MEDIA_TYPE)? {
        form::decode_into(&mut params, raw.body, limits)?;
    }
    for name in MANDATORY {
        params.required(name)?;
    }
    let timestamp = timestamp(params.required("Timestamp")?)?;
    let algorithm = HmacAlgorithm::named(params.required("SignatureMethod")?)?;
    if params.required("SignatureVersion")? != VERSION {
        return Err(Fault::invalid("SignatureVersion"));
    }
    limits.check_nonce(params.required("SignatureNonce")?)?;
    let format = params.get("Format").map_or(Some(Format::Xml), Format::named);
    let given = params.remove("Signature").unwrap_or_default();
    let owned = |name| params.required(name).map(str::to_owned);
    Ok(Call {
        style: Style::V1,
        action: owned("Action")?,
        version: owned("Version")?,
        format: format.unwrap_or(Format::Xml),
        format_supported: format.is_some(),
        access_key_id: owned("AccessKeyId")?,
        nonce: owned("SignatureNonce")?,
        timestamp,
        security_token: params.get("SecurityToken").map(str::to_owned),
        proof: Proof {
            scheme: Scheme::V1(algorithm),
            string_to_sign: string_to_sign(raw.method, &params),
            given,
            body_matches: true,
        },
        params,
    })
}

/// The verb, `/` and the encoded list of encoded parameters. `params` is without `Signature`.
pub(super) fn string_to_sign(method: &str, params: &Params) -> String {
    let mut out = format!("{method}&%2F&");
    for (position, (name, value)) in params.iter().enumerate() {
        if position > 0 {
            out.push_str("%26");
        }
        encode::push_twice(&mut out, name);
        out.push_str("%3D");
        encode::push_twice(&mut out, value);
    }
    out
}
