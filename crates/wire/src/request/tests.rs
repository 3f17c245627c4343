use jiff::{SignedDuration, Timestamp};
use rstest::rstest;

use super::*;
use crate::{HmacAlgorithm, Outgoing, Params, SignedRequest, Signer};

const NOW: &str = "2019-11-20T08:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn read(method: &str, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Call, Fault> {
    answer(method, query, headers, body).map_err(|rejected| rejected.fault)
}

fn answer(
    method: &str,
    query: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Call, Rejected> {
    let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    let raw = RawRequest { method, path: "/", query, headers: &headers, body };
    parse(&raw, &Limits::default())
}

const V1: [(&str, &str); 8] = [
    ("Action", "DescribeRegions"),
    ("Version", "2015-01-01"),
    ("AccessKeyId", "testid"),
    ("Signature", "c2ln"),
    ("SignatureMethod", "HMAC-SHA1"),
    ("SignatureVersion", "1.0"),
    ("SignatureNonce", "n"),
    ("Timestamp", NOW),
];

/// The v1 query with `name` set to `value`, or without it if the value is `None`.
fn v1_query(name: &str, value: Option<&str>) -> String {
    let mut params = Params::from_pairs(V1.map(|(n, v)| (n.into(), v.into())));
    params.remove(name);
    if let Some(value) = value {
        params.insert(name, value);
    }
    crate::signature::encode::query(&params)
}

#[test]
fn missing_v1_parameters_are_named_in_a_fixed_order() {
    assert_eq!(read("GET", "", &[], b"").unwrap_err(), Fault::missing("Action"));
    for (name, _) in V1 {
        let fault = read("GET", &v1_query(name, None), &[], b"").unwrap_err();
        assert_eq!(fault, Fault::missing(name));
        let fault = read("GET", &v1_query(name, Some("")), &[], b"").unwrap_err();
        assert_eq!(fault, Fault::missing(name));
    }
}

#[rstest]
#[case("Timestamp", "2019-11-20 08:00:00", common::time_malformed())]
#[case("SignatureMethod", "HMAC-MD5", common::unsupported_signature_method())]
#[case("SignatureMethod", "hmac-sha1", common::unsupported_signature_method())]
#[case("SignatureVersion", "2.0", Fault::invalid("SignatureVersion"))]
#[case("SignatureNonce", &"n".repeat(257), Fault::invalid("SignatureNonce"))]
fn malformed_v1_parameters_have_their_own_fault(
    #[case] name: &str,
    #[case] value: &str,
    #[case] fault: Fault,
) {
    let query = v1_query(name, Some(value));
    assert_eq!(read("GET", &query, &[], b"").unwrap_err(), fault);
}

#[rstest]
#[case("JSON", Format::Json, true)]
#[case("json", Format::Json, true)]
#[case("XML", Format::Xml, true)]
#[case("xml", Format::Xml, true)]
#[case("", Format::Xml, true)]
#[case("None", Format::Xml, false)]
#[case("YAML", Format::Xml, false)]
fn the_format_is_read_in_any_case_and_refused_late(
    #[case] text: &str,
    #[case] format: Format,
    #[case] supported: bool,
) {
    let call = read("GET", &v1_query("Format", Some(text)), &[], b"").unwrap();
    assert_eq!(call.format, format);
    let expected = if supported { Ok(()) } else { Err(common::unsupported_format()) };
    assert_eq!(call.check_format(), expected);
}

#[rstest]
#[case::nothing("", &[], b"", Format::Xml)]
#[case::query("Action=X&Format=JSON", &[], b"", Format::Json)]
#[case::form("", &[], b"Action=X&Format=json", Format::Json)]
#[case::unsupported("Format=None", &[], b"", Format::Xml)]
#[case::v3("Format=XML", &[("authorization", "ACS3-")], b"", Format::Json)]
#[case::not_v3("", &[("authorization", "Basic x"), ("x-acs-action", "X")], b"", Format::Xml)]
fn a_refusal_is_in_the_format_that_can_be_read(
    #[case] query: &str,
    #[case] headers: &[(&str, &str)],
    #[case] body: &[u8],
    #[case] format: Format,
) {
    assert_eq!(answer("POST", query, headers, body).unwrap_err().format, format);
}

#[rstest]
#[case("PUT")]
#[case("get")]
#[case("")]
fn other_methods_are_unsupported(#[case] method: &str) {
    let fault = read(method, &v1_query("", None), &[], b"").unwrap_err();
    assert_eq!(fault, common::unsupported_method());
}

#[test]
fn other_paths_are_no_api() {
    let raw = RawRequest { method: "GET", path: "/clusters", query: "", headers: &[], body: b"" };
    let rejected = parse(&raw, &Limits::default()).unwrap_err();
    assert_eq!(rejected.fault, common::unknown_action());
}

#[test]
fn sizes_are_refused_before_anything_is_decoded() {
    let limits = Limits::default();
    let fault = read("POST", "%ff", &[], &vec![b'x'; limits.body_bytes + 1]).unwrap_err();
    assert_eq!(fault, common::body_too_large(limits.body_bytes));
    let query = "%ff".repeat(limits.query_bytes / 3 + 1);
    let fault = read("POST", &query, &[], b"").unwrap_err();
    assert_eq!(fault, common::query_too_large(limits.query_bytes));
    let too_large = common::headers_too_large(limits.headers, limits.header_bytes);
    let fault = read("POST", "%ff", &[("a", "b"); 101], b"").unwrap_err();
    assert_eq!(fault, too_large);
    let long = "x".repeat(limits.header_bytes);
    let fault = read("POST", "%ff", &[("a", &long)], b"").unwrap_err();
    assert_eq!(fault, too_large);
}

#[test]
fn a_flood_of_parameters_is_refused() {
    let form = [("content-type", form_type())];
    let body = "a=b&".repeat(250_000);
    let fault = read("POST", "", &form, body.as_bytes()).unwrap_err();
    assert_eq!(fault, common::too_many_parameters(512));
    let body: String = (0..100_000).map(|n| format!("Tag.{n}=x&")).take(513).collect();
    let fault = read("POST", "", &form, body.as_bytes()).unwrap_err();
    assert_eq!(fault, common::too_many_parameters(512));
}

fn form_type() -> &'static str {
    crate::form::MEDIA_TYPE
}

#[test]
fn query_and_form_may_not_contradict_each_other() {
    let form = [("content-type", form_type())];
    let fault = read("POST", "Action=A", &form, b"Action=B").unwrap_err();
    assert_eq!(fault, common::repeated_parameter("Action"));
}

#[test]
fn a_v1_body_that_is_no_form_is_not_read() {
    let query = v1_query("InstanceName", Some("n"));
    let json = [("content-type", "application/json")];
    let call = read("POST", &query, &json, b"{\"raw\":1, broken").unwrap();
    assert_eq!(call.params.get("InstanceName"), Some("n"));
    assert_eq!(call.params.len(), V1.len());
}

#[test]
fn acs_headers_do_not_make_a_request_v3() {
    let headers = [("x-acs-action", "Other"), ("x-acs-version", "2000-01-01")];
    let call = read("GET", &v1_query("", None), &headers, b"").unwrap();
    assert_eq!(call.style, Style::V1);
    assert_eq!(call.action, "DescribeRegions");
}

/// A good V3 request to damage.
fn v3() -> SignedRequest {
    Signer::new("testid", "testsecret").sign_v3(&Outgoing {
        action: "DescribeRegions",
        version: "2015-01-01",
        params: &Params::new(),
        format: Format::Json,
        timestamp: now(),
        nonce: "n",
        host: "localhost:2015",
    })
}

fn read_v3(headers: &[(String, String)], body: &[u8]) -> Result<Call, Fault> {
    let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    read("POST", "", &headers, body)
}

fn with_authorization(text: &str) -> Result<Call, Fault> {
    let mut headers = v3().headers;
    headers.retain(|(name, _)| name != "authorization");
    headers.push(("authorization".into(), text.into()));
    read_v3(&headers, b"")
}

#[test]
fn missing_v3_headers_are_named() {
    for name in [
        "x-acs-action",
        "x-acs-version",
        "x-acs-signature-nonce",
        "x-acs-date",
        "x-acs-content-sha256",
        "host",
    ] {
        let mut headers = v3().headers;
        headers.retain(|(sent, _)| sent != name);
        assert_eq!(read_v3(&headers, b"").unwrap_err(), Fault::missing(name));
    }
}

const ALL: &str =
    "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";

#[rstest]
#[case::bare("ACS3-HMAC-SHA256")]
#[case::no_parts("ACS3-HMAC-SHA256 ")]
#[case::no_credential(&format!("ACS3-HMAC-SHA256 SignedHeaders={ALL},Signature=00"))]
#[case::no_headers("ACS3-HMAC-SHA256 Credential=testid,Signature=00")]
#[case::no_signature(&format!("ACS3-HMAC-SHA256 Credential=testid,SignedHeaders={ALL}"))]
#[case::empty(&format!("ACS3-HMAC-SHA256 Credential=,SignedHeaders={ALL},Signature=00"))]
#[case::twice(&format!("ACS3-HMAC-SHA256 Credential=a,Credential=b,SignedHeaders={ALL},Signature=00"))]
#[case::unknown_part(&format!("ACS3-HMAC-SHA256 Credential=a,SignedHeaders={ALL},Signature=00,X=1"))]
#[case::header_absent(&format!("ACS3-HMAC-SHA256 Credential=a,SignedHeaders={ALL};zzz,Signature=00"))]
#[case::header_twice(&format!("ACS3-HMAC-SHA256 Credential=a,SignedHeaders={ALL};host,Signature=00"))]
#[case::action_unsigned("ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=00")]
fn a_broken_authorization_is_an_incomplete_signature(#[case] text: &str) {
    assert_eq!(with_authorization(text).unwrap_err(), common::incomplete_signature());
}

#[rstest]
#[case("ACS3-HMAC-SM3")]
#[case("ACS3-RSA-SHA256")]
fn other_v3_algorithms_are_unsupported(#[case] algorithm: &str) {
    let text = format!("{algorithm} Credential=a,SignedHeaders={ALL},Signature=00");
    assert_eq!(with_authorization(&text).unwrap_err(), common::unsupported_signature_method());
}

#[test]
fn a_v3_body_needs_a_signed_content_type_to_be_read() {
    let mut headers = v3().headers;
    headers.push(("content-type".into(), form_type().into()));
    assert_eq!(read_v3(&headers, b"RegionId=x").unwrap_err(), common::incomplete_signature());
    assert!(read_v3(&headers, b"").is_ok());
}

#[test]
fn a_token_header_must_be_signed() {
    let mut headers = v3().headers;
    headers.push(("x-acs-security-token".into(), "t".into()));
    assert_eq!(read_v3(&headers, b"").unwrap_err(), common::incomplete_signature());
}

#[test]
fn a_header_sent_twice_with_two_values_is_refused() {
    let mut headers = v3().headers;
    headers.push(("x-acs-action".into(), "DeleteInstance".into()));
    assert_eq!(read_v3(&headers, b"").unwrap_err(), common::repeated_parameter("x-acs-action"));
}

#[test]
fn a_v3_json_body_is_read_as_parameters() {
    let mut headers = v3().headers;
    headers.push(("content-type".into(), "application/json".into()));
    for (name, value) in &mut headers {
        if name == "authorization" {
            *value = value.replace("SignedHeaders=", "SignedHeaders=content-type;");
        }
    }
    let call = read_v3(&headers, br#"{"RegionId":"cn-hongkong","Port":6379}"#).unwrap();
    assert_eq!(call.params.get("RegionId"), Some("cn-hongkong"));
    assert_eq!(call.params.get("Port"), Some("6379"));
    assert_eq!(read_v3(&headers, b"[1]").unwrap_err(), common::body_not_flat(512));
}

#[rstest]
#[case(0, true)]
#[case(900, true)]
#[case(-900, true)]
#[case(901, false)]
#[case(-901, false)]
fn the_time_window_is_15_minutes_either_way_inclusive(#[case] seconds: i64, #[case] inside: bool) {
    let call = read("GET", &v1_query("", None), &[], b"").unwrap();
    let expected = if inside { Ok(()) } else { Err(common::time_expired()) };
    let at = now() + SignedDuration::from_secs(seconds);
    assert_eq!(call.check_time(at), expected);
    assert_eq!(at > call.nonce_expires(), seconds > 900);
}

#[test]
fn the_far_ends_of_time_are_expired_without_overflow() {
    for (text, far) in
        [("9999-12-30T22:00:00Z", Timestamp::MIN), ("0000-01-01T00:00:00Z", Timestamp::MAX)]
    {
        let call = read("GET", &v1_query("Timestamp", Some(text)), &[], b"").unwrap();
        assert_eq!(call.check_time(far), Err(common::time_expired()));
        assert!(call.nonce_expires() >= call.timestamp);
    }
}

#[test]
fn debug_of_a_call_shows_no_secret() {
    let query = v1_query("Password", Some("Aa1!hidden"));
    let call = read("GET", &query, &[], b"").unwrap();
    let text = format!("{call:?}");
    assert!(text.contains("Password") && !text.contains("hidden"), "{text}");
    assert!(!text.contains("c2ln"), "{text}");
}

#[test]
fn debug_of_a_signer_shows_no_secret() {
    let text = format!("{:?}", Signer::new("testid", "testsecret"));
    assert!(!text.contains("testsecret"), "{text}");
}

#[test]
fn a_common_parameter_among_the_business_ones_does_not_override() {
    let params = Params::from_pairs([("Action".into(), "Other".into())]);
    let request = Signer::new("testid", "testsecret").sign_v1_get(
        &Outgoing {
            action: "DescribeRegions",
            version: "2015-01-01",
            params: &params,
            format: Format::Json,
            timestamp: now(),
            nonce: "n",
            host: "localhost",
        },
        HmacAlgorithm::Sha1,
    );
    let query = request.path_and_query.strip_prefix("/?").unwrap();
    let call = read("GET", query, &[], b"").unwrap();
    assert_eq!(call.action, "DescribeRegions");
    assert_eq!(call.verify("testsecret"), Ok(()));
}
