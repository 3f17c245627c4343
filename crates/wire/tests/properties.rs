//! What holds for every request: signing and checking agree, nothing signed can be changed, and no
//! bytes make the parser panic.
//!
//! The cases are the same in every run; `PROPTEST_CASES` asks for more of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use jiff::Timestamp;
use ourkv_wire::{
    Call, Format, HmacAlgorithm, Limits, Outgoing, Params, RawRequest, Rejected, SignedRequest,
    Signer, parse,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

const SECRET: &str = "fixtureSecret/Abc+123=";

#[derive(Clone, Copy, Debug)]
enum Style {
    Get(HmacAlgorithm),
    Post(HmacAlgorithm),
    Mixed(HmacAlgorithm),
    Form(HmacAlgorithm),
    V3,
}

fn any_style() -> impl Strategy<Value = Style> {
    let hash = prop_oneof![Just(HmacAlgorithm::Sha1), Just(HmacAlgorithm::Sha256)];
    (0..5, hash).prop_map(|(style, hash)| match style {
        0 => Style::Get(hash),
        1 => Style::Post(hash),
        2 => Style::Mixed(hash),
        3 => Style::Form(hash),
        _ => Style::V3,
    })
}

/// Names that no common parameter has.
fn any_params() -> impl Strategy<Value = Params> {
    let name = prop_oneof!["[a-z][A-Za-z0-9.]{0,8}", "\\PC{1,6}x"];
    let value = prop_oneof![any::<String>(), "[ +%&=~*'()!/?-]{0,8}", Just(String::new())];
    prop::collection::vec((name, value), 0..6).prop_map(Params::from_pairs)
}

fn sign(style: Style, action: &str, params: &Params, second: i64) -> SignedRequest {
    let call = Outgoing {
        action,
        version: "2015-01-01",
        params,
        format: Format::Json,
        timestamp: Timestamp::from_second(second).unwrap(),
        nonce: "3ee8c1b8-83d3-44af",
        host: "127.0.0.1:2015",
    };
    let signer = Signer::new("testid", SECRET);
    match style {
        Style::Get(hash) => signer.sign_v1_get(&call, hash),
        Style::Post(hash) => signer.sign_v1_post(&call, hash),
        Style::Mixed(hash) => signer.sign_v1_mixed(&call, hash),
        Style::Form(hash) => signer.sign_v1_form(&call, hash),
        Style::V3 => signer.sign_v3(&call),
    }
}

/// A request as it travels, open to damage.
#[derive(Clone, Debug)]
struct Wire {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl From<SignedRequest> for Wire {
    fn from(request: SignedRequest) -> Self {
        Self {
            method: request.method.into(),
            target: request.path_and_query,
            headers: request.headers,
            body: request.body,
        }
    }
}

impl Wire {
    fn parse(&self) -> Result<Call, Rejected> {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let raw = RawRequest {
            method: &self.method,
            path,
            query,
            headers: &self.headers,
            body: &self.body,
        };
        parse(&raw, &Limits::default())
    }

    /// Parsed and authenticated, in what the action would see.
    fn accepted(&self) -> Option<Meaning> {
        let call = self.parse().ok()?;
        call.verify(SECRET).ok()?;
        Some((
            call.action,
            call.version,
            call.access_key_id,
            call.nonce,
            call.timestamp,
            call.params,
        ))
    }
}

type Meaning = (String, String, String, String, Timestamp, Params);

/// Replaces one byte of `text`; `None` if the result is no text or the same text.
fn damage(text: &str, at: Index, byte: u8) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let at = at.index(bytes.len());
    bytes[at] = byte;
    String::from_utf8(bytes).ok().filter(|new| new != text)
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(2015),
        // Grows with the number of cases that is asked for.
        max_global_rejects: 10_000_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_signed_is_accepted_and_arrives_unchanged(
        style in any_style(),
        action in "[A-Z][A-Za-z]{1,20}",
        params in any_params(),
        second in 0_i64..4_000_000_000,
    ) {
        let call = Wire::from(sign(style, &action, &params, second)).parse().unwrap();
        prop_assert_eq!(call.verify(SECRET), Ok(()));
        prop_assert!(call.verify("fixtureSecret/Abc+123").is_err());
        prop_assert_eq!(&call.action, &action);
        prop_assert_eq!(call.timestamp.as_second(), second);
        for (name, value) in params.iter() {
            prop_assert_eq!(call.params.get_raw(name), Some(value));
        }
    }

    /// One byte of the request line or body: refused, or a different spelling of the same call
    /// (`%2a` for `%2A`, `+` for a space).
    #[test]
    fn a_changed_byte_of_target_or_body_changes_no_meaning(
        style in any_style(),
        params in any_params(),
        at in any::<Index>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(&b"&=%+;?/0aA"[..])],
        in_body: bool,
    ) {
        let good = Wire::from(sign(style, "CreateInstance", &params, 1_574_236_800));
        let meaning = good.accepted();
        prop_assert!(meaning.is_some());
        let mut bad = good.clone();
        if in_body && !bad.body.is_empty() {
            let at = at.index(bad.body.len());
            bad.body[at] = byte;
        } else {
            let target = damage(&good.target, at, byte);
            prop_assume!(target.is_some());
            bad.target = target.unwrap_or_default();
        }
        let accepted = bad.accepted();
        prop_assert!(accepted.is_none() || accepted == meaning, "{:?}", bad);
    }

    #[test]
    fn a_changed_byte_of_a_signed_header_is_refused(
        params in any_params(),
        header in any::<Index>(),
        at in any::<Index>(),
        byte in b'!'..=b'~',
    ) {
        let mut wire = Wire::from(sign(Style::V3, "CreateInstance", &params, 1_574_236_800));
        let (_, value) = header.get(&wire.headers).clone();
        let damaged = damage(&value, at, byte);
        prop_assume!(damaged.is_some());
        let header = header.index(wire.headers.len());
        // A damaged `Credential` names another key; its secret would be another one too.
        prop_assume!(!value.contains("Credential=") || at.index(value.len()) > 40);
        wire.headers[header].1 = damaged.unwrap_or_default();
        prop_assert_eq!(wire.accepted(), None);
    }

    #[test]
    fn a_changed_parameter_is_refused(
        style in any_style(),
        params in any_params(),
        other in any_params(),
    ) {
        prop_assume!(params != other);
        let mut wire = Wire::from(sign(style, "CreateInstance", &params, 1_574_236_800));
        let forged = Wire::from(sign(style, "CreateInstance", &other, 1_574_236_800));
        // The other parameters under the first request's signature.
        let signature = |wire: &Wire| {
            let text = format!("{}&{}", wire.target, String::from_utf8_lossy(&wire.body));
            let start = text.find("Signature=")?;
            text[start..].split('&').next().map(str::to_owned)
        };
        match (signature(&wire), signature(&forged)) {
            (Some(ours), Some(theirs)) => {
                wire.target = forged.target.replace(&theirs, &ours);
                let body = String::from_utf8(forged.body).unwrap();
                wire.body = body.replace(&theirs, &ours).into_bytes();
            }
            _ => wire.target = forged.target,
        }
        prop_assert_eq!(wire.accepted(), None);
    }

    #[test]
    fn another_method_is_refused(style in any_style(), params in any_params()) {
        let mut wire = Wire::from(sign(style, "CreateInstance", &params, 1_574_236_800));
        wire.method = if wire.method == "GET" { "POST" } else { "GET" }.into();
        prop_assert_eq!(wire.accepted(), None);
    }

    #[test]
    fn another_body_is_refused_under_v3(params in any_params(), body in prop::collection::vec(any::<u8>(), 1..40)) {
        let mut wire = Wire::from(sign(Style::V3, "CreateInstance", &params, 1_574_236_800));
        wire.body = body;
        prop_assert_eq!(wire.accepted(), None);
    }

    #[test]
    fn any_bytes_are_answered(
        method in prop_oneof![Just("GET".to_owned()), Just("POST".to_owned()), any::<String>()],
        query in prop_oneof![any::<String>(), "([A-Za-z.0-9]{0,4}=?(%[0-9A-Fa-f]{0,2}){0,3}[&+]?){0,12}"],
        headers in prop::collection::vec(any_header(), 0..8),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let wire = Wire { method, target: format!("/?{query}"), headers, body };
        match wire.parse() {
            Ok(call) => prop_assert!(call.verify(SECRET).is_err()),
            Err(rejected) => prop_assert!((400..500).contains(&rejected.fault.status)),
        }
    }

    /// Requests that are nearly right get deeper into the parser than noise does.
    #[test]
    fn any_damage_is_answered(
        style in any_style(),
        params in any_params(),
        cuts in prop::collection::vec((any::<Index>(), any::<Index>(), any::<String>()), 1..4),
    ) {
        let mut wire = Wire::from(sign(style, "CreateInstance", &params, 1_574_236_800));
        for (header, at, text) in cuts {
            let header = header.index(wire.headers.len());
            let value = &mut wire.headers[header].1;
            let keep = at.index(value.len() + 1);
            let kept: String = value.chars().take(keep).collect();
            *value = format!("{kept}{text}");
            let place = at.index(wire.target.len());
            if wire.target.is_char_boundary(place) {
                wire.target.insert_str(place, &text);
            }
        }
        if let Err(rejected) = wire.parse() {
            prop_assert!((400..500).contains(&rejected.fault.status));
        }
    }
}

fn any_header() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        Just("authorization".to_owned()),
        Just("content-type".to_owned()),
        Just("host".to_owned()),
        Just("x-acs-date".to_owned()),
        Just("x-acs-content-sha256".to_owned()),
        any::<String>(),
    ];
    let value = prop_oneof![
        "ACS3-HMAC-SHA256 Credential=[a-z]{0,3},SignedHeaders=[a-z;-]{0,12},Signature=[0-9a-f]{0,8}",
        "ACS3-[ -~]{0,40}",
        Just("application/json".to_owned()),
        Just("application/x-www-form-urlencoded".to_owned()),
        any::<String>(),
    ];
    (name, value)
}
