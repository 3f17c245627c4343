//! Makes signed requests, for the command line, tests and benchmarks.

use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{HmacAlgorithm, Scheme, encode, timestamp_text, v1, v3};
use crate::{Format, Params, form};

/// One access key that signs.
#[derive(Clone, Debug)]
pub struct Signer {
    access_key_id: String,
    secret: SecretString,
}

/// A call to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Name of the action.
    pub action: &'a str,
    /// Version of the API.
    pub version: &'a str,
    /// The action's own parameters. A common parameter among them is replaced.
    pub params: &'a Params,
    /// The format to ask for; a V3 call cannot ask and gets JSON.
    pub format: Format,
    /// When it is signed.
    pub timestamp: Timestamp,
    /// Unique text of this one request.
    pub nonce: &'a str,
    /// The endpoint as the `Host` header will carry it, with the port unless it is the default.
    pub host: &'a str,
}

/// A request ready to be sent.
///
/// The `Debug` form shows the verb only: the rest holds parameters, passwords among them.
#[derive(Clone)]
pub struct SignedRequest {
    /// The HTTP verb.
    pub method: &'static str,
    /// Path, and query if there is one.
    pub path_and_query: String,
    /// Headers in lower case, `host` included; without those of the transport.
    pub headers: Vec<(String, String)>,
    /// The body, possibly empty.
    pub body: Vec<u8>,
}

impl Signer {
    /// Signs with this key.
    pub fn new(access_key_id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        Self { access_key_id: access_key_id.into(), secret: secret.into() }
    }

    /// v1, GET, everything in the query.
    pub fn sign_v1_get(&self, call: &Outgoing<'_>, algorithm: HmacAlgorithm) -> SignedRequest {
        let (common, business) = self.signed_v1("GET", call, algorithm);
        in_query("GET", call, &merged(common, &business))
    }

    /// v1, POST, everything in the query, empty body.
    pub fn sign_v1_post(&self, call: &Outgoing<'_>, algorithm: HmacAlgorithm) -> SignedRequest {
        let (common, business) = self.signed_v1("POST", call, algorithm);
        in_query("POST", call, &merged(common, &business))
    }

    /// v1, POST, common parameters in the query and the action's own in a form body.
    pub fn sign_v1_mixed(&self, call: &Outgoing<'_>, algorithm: HmacAlgorithm) -> SignedRequest {
        let (common, business) = self.signed_v1("POST", call, algorithm);
        with_form(in_query("POST", call, &common), &business)
    }

    /// v1, POST, everything in a form body.
    pub fn sign_v1_form(&self, call: &Outgoing<'_>, algorithm: HmacAlgorithm) -> SignedRequest {
        let (common, business) = self.signed_v1("POST", call, algorithm);
        with_form(in_query("POST", call, &Params::new()), &merged(common, &business))
    }

    /// V3, POST, the action's parameters in the query, empty body.
    pub fn sign_v3(&self, call: &Outgoing<'_>) -> SignedRequest {
        let date = timestamp_text(call.timestamp);
        let hash = v3::content_hash(b"");
        let signed = [
            ("host", call.host.trim()),
            ("x-acs-action", call.action.trim()),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", call.nonce.trim()),
            ("x-acs-version", call.version.trim()),
        ];
        let query = encode::query(call.params);
        let canonical = v3::canonical_request("POST", &query, &signed, &hash);
        let signature =
            Scheme::V3.sign(self.secret.expose_secret(), &v3::string_to_sign(&canonical));
        let authorization = format!(
            "{} Credential={},SignedHeaders={},Signature={signature}",
            v3::ALGORITHM,
            self.access_key_id,
            v3::names(&signed)
        );
        let mut request = in_query("POST", call, call.params);
        request.headers = signed.map(owned).into();
        request.headers.push(owned(("authorization", &authorization)));
        request
    }

    /// The common parameters with the signature over all, and the action's own.
    fn signed_v1(
        &self,
        method: &str,
        call: &Outgoing<'_>,
        algorithm: HmacAlgorithm,
    ) -> (Params, Params) {
        let timestamp = timestamp_text(call.timestamp);
        let mut common = Params::from_pairs(
            [
                ("Action", call.action),
                ("Version", call.version),
                ("Format", call.format.name()),
                ("AccessKeyId", &self.access_key_id),
                ("SignatureMethod", algorithm.name()),
                ("SignatureVersion", v1::VERSION),
                ("SignatureNonce", call.nonce),
                ("Timestamp", &timestamp),
            ]
            .map(owned),
        );
        let own = |(name, _): &(&str, &str)| common.get_raw(name).is_none() && *name != "Signature";
        let business = Params::from_pairs(call.params.iter().filter(own).map(owned));
        let all = merged(common.clone(), &business);
        let signature = Scheme::V1(algorithm)
            .sign(self.secret.expose_secret(), &v1::string_to_sign(method, &all));
        common.insert("Signature", signature);
        (common, business)
    }
}

impl fmt::Debug for SignedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequest").field("method", &self.method).finish_non_exhaustive()
    }
}

fn in_query(method: &'static str, call: &Outgoing<'_>, params: &Params) -> SignedRequest {
    let query = encode::query(params);
    SignedRequest {
        method,
        path_and_query: if query.is_empty() { "/".to_owned() } else { format!("/?{query}") },
        headers: vec![owned(("host", call.host))],
        body: Vec::new(),
    }
}

fn with_form(mut request: SignedRequest, params: &Params) -> SignedRequest {
    request.headers.push(owned(("content-type", form::MEDIA_TYPE)));
    request.body = encode::query(params).into_bytes();
    request
}

fn merged(mut params: Params, more: &Params) -> Params {
    for (name, value) in more.iter() {
        params.insert(name, value);
    }
    params
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
