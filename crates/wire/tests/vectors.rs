//! Published signature vectors: made by the vendor's own signers, for the key `testid` with the
//! secret `testsecret`. Ours makes the same, and accepts them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use jiff::Timestamp;
use ourkv_wire::{
    Call, Format, HmacAlgorithm, Limits, Outgoing, Params, RawRequest, SignedRequest, Signer, parse,
};

const VERSION: &str = "2015-01-01";
const HOST: &str = "r-kvstore.example.test";

fn params(pairs: &[(&str, &str)]) -> Params {
    Params::from_pairs(pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())))
}

fn outgoing<'a>(
    action: &'a str,
    params: &'a Params,
    format: Format,
    timestamp: &str,
    nonce: &'a str,
) -> Outgoing<'a> {
    Outgoing {
        action,
        version: VERSION,
        params,
        format,
        timestamp: timestamp.parse().unwrap(),
        nonce,
        host: HOST,
    }
}

fn read(request: &SignedRequest) -> Call {
    let (path, query) =
        request.path_and_query.split_once('?').unwrap_or((&request.path_and_query, ""));
    let raw = RawRequest {
        method: request.method,
        path,
        query,
        headers: &request.headers,
        body: &request.body,
    };
    parse(&raw, &Limits::default()).unwrap()
}

/// The vector's signature is in what we send, and what we send is accepted as the vector's string.
fn assert_v1(request: &SignedRequest, string_to_sign: &str, signature: &str) {
    let escaped = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let sent = format!("{}\n{}", request.path_and_query, String::from_utf8_lossy(&request.body));
    assert!(sent.contains(&format!("Signature={escaped}")), "{sent}");
    let call = read(request);
    assert_eq!(call.string_to_sign(), string_to_sign);
    assert_eq!(call.verify("testsecret"), Ok(()));
    assert_eq!(call.verify("testsecreT").unwrap_err().code, "SignatureDoesNotMatch");
}

fn testid() -> Signer {
    Signer::new("testid", "testsecret")
}

#[test]
fn v1_a_get() {
    let params = params(&[("RegionId", "cn-hangzhou"), ("SignatureType", "")]);
    let call = outgoing(
        "DescribeRegions",
        &params,
        Format::Json,
        "2019-11-20T08:00:00Z",
        "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
    );
    assert_v1(
        &testid().sign_v1_get(&call, HmacAlgorithm::Sha1),
        "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DJSON%26RegionId%3Dcn-hangzhou%26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf%26SignatureType%3D%26SignatureVersion%3D1.0%26Timestamp%3D2019-11-20T08%253A00%253A00Z%26Version%3D2015-01-01",
        "q2UZk7J/tNttSaz2FcHp6Emsg2k=",
    );
}

#[test]
fn v1_b_post_in_query() {
    let params = params(&[
        ("RegionId", "cn-hangzhou"),
        ("InstanceClass", "redis.master.small.default"),
        ("InstanceName", "测试 a+b*c~d/e"),
        ("Password", "Aa1!@#$%^&*()_+-="),
        ("Token", "tok-1"),
        ("SignatureType", ""),
    ]);
    let call =
        outgoing("CreateInstance", &params, Format::Json, "2019-11-20T08:00:01Z", "nonce-0002");
    assert_v1(
        &testid().sign_v1_post(&call, HmacAlgorithm::Sha1),
        "POST&%2F&AccessKeyId%3Dtestid%26Action%3DCreateInstance%26Format%3DJSON%26InstanceClass%3Dredis.master.small.default%26InstanceName%3D%25E6%25B5%258B%25E8%25AF%2595%2520a%252Bb%252Ac~d%252Fe%26Password%3DAa1%2521%2540%2523%2524%2525%255E%2526%252A%2528%2529_%252B-%253D%26RegionId%3Dcn-hangzhou%26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3Dnonce-0002%26SignatureType%3D%26SignatureVersion%3D1.0%26Timestamp%3D2019-11-20T08%253A00%253A01Z%26Token%3Dtok-1%26Version%3D2015-01-01",
        "0akP/q9xy0LGQq95F2lBDinFGDk=",
    );
}

#[test]
fn v1_c_mixed() {
    let params =
        params(&[("RegionId", "cn-hangzhou"), ("AcceptLanguage", "en-US"), ("SignatureType", "")]);
    let call =
        outgoing("DescribeRegions", &params, Format::Json, "2019-11-20T08:00:02Z", "nonce-0003");
    let string_to_sign = "POST&%2F&AcceptLanguage%3Den-US%26AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DJSON%26RegionId%3Dcn-hangzhou%26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3Dnonce-0003%26SignatureType%3D%26SignatureVersion%3D1.0%26Timestamp%3D2019-11-20T08%253A00%253A02Z%26Version%3D2015-01-01";
    let signature = "h/X3DBmiRtIUcVJU5DuDW8stWg0=";
    let mixed = testid().sign_v1_mixed(&call, HmacAlgorithm::Sha1);
    assert!(!mixed.path_and_query.contains("RegionId"));
    assert_v1(&mixed, string_to_sign, signature);
    let form = testid().sign_v1_form(&call, HmacAlgorithm::Sha1);
    assert_eq!(form.path_and_query, "/");
    assert_v1(&form, string_to_sign, signature);
}

#[test]
fn v1_d_temporary_credentials() {
    let params = params(&[
        ("RegionId", "cn-hangzhou"),
        ("SecurityToken", "CAIS/a+b=="),
        ("SignatureType", ""),
    ]);
    let call =
        outgoing("DescribeZones", &params, Format::Xml, "2019-11-20T08:00:03Z", "nonce-0004");
    let request = Signer::new("STS.testid", "testsecret").sign_v1_get(&call, HmacAlgorithm::Sha1);
    assert_v1(
        &request,
        "GET&%2F&AccessKeyId%3DSTS.testid%26Action%3DDescribeZones%26Format%3DXML%26RegionId%3Dcn-hangzhou%26SecurityToken%3DCAIS%252Fa%252Bb%253D%253D%26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3Dnonce-0004%26SignatureType%3D%26SignatureVersion%3D1.0%26Timestamp%3D2019-11-20T08%253A00%253A03Z%26Version%3D2015-01-01",
        "ZPi0zNY0Xeot0m6YqFypoTcBKr8=",
    );
    assert_eq!(read(&request).security_token.as_deref(), Some("CAIS/a+b=="));
}

/// This client writes `Format=json`, which ours does not, so the request is spelled out.
#[test]
fn v1_e_without_signature_type() {
    let query = "AccessKeyId=testid&Action=TagResources&Format=json&RegionId=cn-hangzhou\
        &ResourceId.1=r-bp1aaaaaaaaaaaaa&ResourceType=INSTANCE&SignatureMethod=HMAC-SHA1\
        &SignatureNonce=nonce-0005&SignatureVersion=1.0&Tag.1.Key=k+1&Tag.1.Value=v*~%2B/%C3%A9\
        &Timestamp=2019-11-20T08:00:04Z&Version=2015-01-01&Signature=P0TfJ/P4/fq3dJ838QB4xW88YNE%3D";
    let raw = RawRequest { method: "POST", path: "/", query, headers: &[], body: b"" };
    let call = parse(&raw, &Limits::default()).unwrap();
    assert_eq!(
        call.string_to_sign(),
        "POST&%2F&AccessKeyId%3Dtestid%26Action%3DTagResources%26Format%3Djson%26RegionId%3Dcn-hangzhou%26ResourceId.1%3Dr-bp1aaaaaaaaaaaaa%26ResourceType%3DINSTANCE%26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3Dnonce-0005%26SignatureVersion%3D1.0%26Tag.1.Key%3Dk%25201%26Tag.1.Value%3Dv%252A~%252B%252F%25C3%25A9%26Timestamp%3D2019-11-20T08%253A00%253A04Z%26Version%3D2015-01-01"
    );
    assert_eq!(call.verify("testsecret"), Ok(()));
    assert_eq!(call.format, Format::Json);
    let tags = call.params.objects("Tag").unwrap();
    assert_eq!(tags, [params(&[("Key", "k 1"), ("Value", "v*~+/é")])]);
}

/// Same string, same key text, the other hash; computed with Python's standard library.
#[test]
fn v1_with_hmac_sha256() {
    let params = params(&[]);
    let call =
        outgoing("DescribeRegions", &params, Format::Json, "2019-11-20T08:00:00Z", "nonce-0006");
    assert_v1(
        &testid().sign_v1_post(&call, HmacAlgorithm::Sha256),
        "POST&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DJSON%26SignatureMethod%3DHMAC-SHA256%26SignatureNonce%3Dnonce-0006%26SignatureVersion%3D1.0%26Timestamp%3D2019-11-20T08%253A00%253A00Z%26Version%3D2015-01-01",
        "Jer5dcD2V4Pv4NtOounv0LUqahB9lezncQndA+ZxUyc=",
    );
}

const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn v3_headers(action: &str, hash: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let common = [
        ("accept", "application/json"),
        ("host", HOST),
        ("user-agent", "vector/1.0"),
        ("x-acs-action", action),
        ("x-acs-content-sha256", hash),
        ("x-acs-date", "2019-11-20T08:00:00Z"),
        ("x-acs-signature-nonce", "nonce-v3-1"),
        ("x-acs-version", VERSION),
    ];
    common.iter().chain(more).map(|(n, v)| ((*n).into(), (*v).into())).collect()
}

/// Signs nothing: puts the vector's signature beside the vector's headers.
fn read_v3(
    mut headers: Vec<(String, String)>,
    key: &str,
    signature: &str,
    query: &str,
    body: &[u8],
) -> Call {
    let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let authorization = format!(
        "ACS3-HMAC-SHA256 Credential={key},SignedHeaders={},Signature={signature}",
        names.join(";")
    );
    headers.sort();
    headers.push(("authorization".into(), authorization));
    let raw = RawRequest { method: "POST", path: "/", query, headers: &headers, body };
    parse(&raw, &Limits::default()).unwrap()
}

fn assert_v3(call: &Call, action: &str) {
    assert_eq!(call.verify("testsecret"), Ok(()));
    assert!(call.verify("testsecret&").is_err());
    assert_eq!(call.action, action);
    assert_eq!(call.version, VERSION);
    assert_eq!(call.nonce, "nonce-v3-1");
    assert_eq!(call.format, Format::Json);
    let signed_at: Timestamp = "2019-11-20T08:00:00Z".parse().unwrap();
    assert_eq!(call.timestamp, signed_at);
}

#[test]
fn v3_a_empty_body() {
    let call = read_v3(
        v3_headers("DescribeRegions", EMPTY_HASH, &[]),
        "testid",
        "25add25ef3db68d2eed1638d121790bfcc9ce68caf19fdd7d1df37bef66ea381",
        "AcceptLanguage=en-US",
        b"",
    );
    assert_v3(&call, "DescribeRegions");
    assert_eq!(call.access_key_id, "testid");
}

#[test]
fn v3_b_query_is_decoded_and_encoded_again() {
    for query in [
        "InstanceClass=redis.master.small.default&InstanceName=%E6%B5%8B%E8%AF%95%20a%2Bb%2Ac~d%2Fe&RegionId=cn-hangzhou&Tag.1.Key=k&Tag.1.Value=",
        "Tag.1.Value&Tag.1.Key=k&RegionId=cn-hangzhou&InstanceName=%e6%b5%8b试+a%2bb*c%7Ed/e&InstanceClass=redis.master.small.default",
    ] {
        let call = read_v3(
            v3_headers("CreateInstance", EMPTY_HASH, &[]),
            "testid",
            "359c126afa19765d32ea22bf40b650dab00d6611f8702d46acce36af0f64c42c",
            query,
            b"",
        );
        assert_v3(&call, "CreateInstance");
        assert_eq!(call.params.get("InstanceName"), Some("测试 a+b*c~d/e"));
    }
}

#[test]
fn v3_c_form_body_and_temporary_credentials() {
    let headers = v3_headers(
        "DescribeRegions",
        "6c07f9435b13941f789fbf6f23cb41678c6921b0346ddbb5b909641bfc40a3a5",
        &[
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-acs-accesskey-id", "STS.testid"),
            ("x-acs-security-token", "CAIS/a+b=="),
        ],
    );
    let call = read_v3(
        headers,
        "STS.testid",
        "958a6d7f65ebd2d152b4e0ff742c9ada98c126ce4f3a3f56fa24fd26aed5f477",
        "",
        b"RegionId=cn-hangzhou&InstanceName=a%20b",
    );
    assert_v3(&call, "DescribeRegions");
    assert_eq!(call.security_token.as_deref(), Some("CAIS/a+b=="));
    assert_eq!(call.params.get("InstanceName"), Some("a b"));
}
