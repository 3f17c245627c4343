//! What was signed is accepted, in every style, whatever the parameters are; with another secret it
//! is not.
//!
//! The input is lines of `name=value`.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use ourkv_wire::{
    Format, HmacAlgorithm, Limits, Outgoing, Params, RawRequest, SignedRequest, Signer, parse,
};

fuzz_target!(|data: &str| {
    let pairs = data.lines().filter_map(|line| line.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let params = Params::from_pairs(pairs);
    let call = Outgoing {
        action: "CreateInstance",
        version: "2015-01-01",
        params: &params,
        format: Format::Json,
        timestamp: Timestamp::UNIX_EPOCH,
        nonce: "nonce",
        host: "127.0.0.1:2015",
    };
    let signer = Signer::new("key", "secret");
    let sha1 = HmacAlgorithm::Sha1;
    let signed = [
        signer.sign_v1_get(&call, sha1),
        signer.sign_v1_post(&call, sha1),
        signer.sign_v1_mixed(&call, sha1),
        signer.sign_v1_form(&call, sha1),
        signer.sign_v3(&call),
    ];
    signed.iter().for_each(check);
});

fn check(signed: &SignedRequest) {
    let (path, query) =
        signed.path_and_query.split_once('?').unwrap_or((signed.path_and_query.as_str(), ""));
    let raw = RawRequest {
        method: signed.method,
        path,
        query,
        headers: &signed.headers,
        body: &signed.body,
    };
    // What is beyond the limits or can't be a name is refused, whoever signed it.
    if let Ok(parsed) = parse(&raw, &Limits::default()) {
        assert!(parsed.verify("secret").is_ok(), "{}", parsed.string_to_sign());
        assert!(parsed.verify("Secret").is_err());
    }
}
