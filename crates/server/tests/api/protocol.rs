//! The protocol against a served binary: who is let in, and how everybody else is told.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::{Client, KEY_ID, KEY_SECRET, Ourkv};
use ourkv_wire::Format;

#[test]
fn a_nonce_is_used_once_also_after_a_restart_and_in_other_order() {
    let mut server = Ourkv::start();
    let client = server.client();
    let mut request = client.sign_v1("DescribeRegions", &[], Format::Json);
    client.send(&request).expect_ok();
    let used = "Specified signature nonce was used already.";
    client.send(&request).expect_refusal(400, "SignatureNonceUsed", used);
    let query = request.path_and_query.strip_prefix("/?").unwrap();
    let mut pairs: Vec<_> = query.split('&').collect();
    pairs.reverse();
    request.path_and_query = format!("/?{}", pairs.join("&"));
    client.send(&request).expect_refusal(400, "SignatureNonceUsed", used);
    server.restart(&[]);
    let client = Client::new(&server.address, KEY_ID, KEY_SECRET);
    client.send(&request).expect_refusal(400, "SignatureNonceUsed", used);
}

#[test]
fn a_bad_signature_burns_no_nonce_and_shows_the_servers_string_to_sign() {
    let server = Ourkv::start();
    let good = server.client().sign_v1("DescribeRegions", &[], Format::Json);
    let mut bad = good.clone();
    bad.path_and_query = bad.path_and_query.replace("DescribeRegions", "DescribeZones");
    let (status, code, message) = server.client().send(&bad).refusal();
    assert_eq!((status, &*code), (400, "SignatureDoesNotMatch"));
    let pieces: Vec<_> = message.split(':').collect();
    assert_eq!(pieces.len(), 2, "{message}");
    assert!(pieces[1].starts_with("GET&%2F&AccessKeyId%3D"), "{message}");
    server.client().send(&good).expect_ok();
}

#[test]
fn keys_are_known_active_and_within_their_rate() {
    let server = Ourkv::start();
    let call = |id: &str, secret: &str| {
        Client::new(&server.address, id, secret).call("DescribeRegions", &[])
    };
    call("LTAInobody", KEY_SECRET).expect_refusal(
        404,
        "InvalidAccessKeyId.NotFound",
        "Specified access key is not found.",
    );
    assert_eq!(call(KEY_ID, "wrong").refusal().1, "SignatureDoesNotMatch");
    server.cli(&["key", "disable", KEY_ID]);
    call(KEY_ID, KEY_SECRET).expect_refusal(
        400,
        "InvalidAccessKeyId.Inactive",
        "Specified access key is disabled.",
    );
    server.cli(&["key", "enable", KEY_ID]);
    call(KEY_ID, KEY_SECRET).expect_ok();
    server.cli(&["key", "limit", KEY_ID, "--per-second", "1"]);
    let codes: Vec<_> = (0..20)
        .map(|_| call(KEY_ID, KEY_SECRET))
        .filter(|reply| reply.status != 200)
        .map(|reply| reply.refusal())
        .collect();
    assert!(!codes.is_empty());
    for refusal in codes {
        assert_eq!((refusal.0, &*refusal.1), (400, "Throttling.User"));
    }
}

#[test]
fn a_security_token_is_refused_whoever_claims_to_hold_it() {
    let server = Ourkv::start();
    for id in [KEY_ID, "STS.NUtemporary"] {
        let client = Client::new(&server.address, id, KEY_SECRET);
        client
            .call_v1("DescribeRegions", &[("SecurityToken", "CAIS")], Format::Json)
            .expect_refusal(
                400,
                "InvalidSecurityToken.Malformed",
                "Specified SecurityToken is malformed.",
            );
    }
}

#[test]
fn an_unknown_action_is_not_found_in_the_format_that_was_asked_for() {
    let server = Ourkv::start();
    let json = server.client().call_v1("NoSuchAction", &[], Format::Json);
    json.expect_refusal(
        404,
        "InvalidAction.NotFound",
        "Specified api is not found, please check your url and method.",
    );
    assert_eq!(json.json()["RequestId"], json.request_id);
    assert_eq!(json.json()["HostId"], server.address);
    let xml = server.client().call_v1("NoSuchAction", &[], Format::Xml);
    assert_eq!((xml.status, &*xml.content_type), (404, "text/xml;charset=utf-8"));
    assert!(
        xml.text.contains("<Error>") && xml.text.contains("<Code>InvalidAction.NotFound</Code>")
    );
}

/// Sends raw bytes and returns the whole answer.
fn raw(server: &Ourkv, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_request_without_a_signature_is_refused_in_xml() {
    let server = Ourkv::start();
    let text = raw(
        &server,
        b"GET /?Action=DescribeRegions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    assert!(text.contains("text/xml;charset=utf-8") && text.contains("MissingParameter"), "{text}");
}

#[test]
fn hostile_sizes_get_a_clear_refusal() {
    let server = Ourkv::start();
    let many = (0..100_000).map(|n| format!("a{n}=1")).collect::<Vec<_>>().join("&");
    let head = |line: &str, length: usize| {
        format!(
            "{line}\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let body = format!("{}{many}", head("POST / HTTP/1.1", many.len()));
    assert!(raw(&server, body.as_bytes()).starts_with("HTTP/1.1 4"));
    let query = head(&format!("GET /?{} HTTP/1.1", &many[..100_000]), 0);
    assert!(raw(&server, query.as_bytes()).starts_with("HTTP/1.1 414"));
    let verb = head("PUT / HTTP/1.1", 0);
    assert!(raw(&server, verb.as_bytes()).contains("UnsupportedHTTPMethod"));
    server.client().call("DescribeRegions", &[]).expect_ok();
}

#[test]
fn slow_and_idle_clients_lose_their_connection_and_delay_nobody() {
    let server = Ourkv::start_with(
        &[],
        &[("OURKV_LIMITS_HEADER_SECONDS", "1"), ("OURKV_LIMITS__BODY_SECONDS", "1")],
    );
    let slow: Vec<_> = (0..300)
        .map(|n| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            let begun =
                ["", "GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"];
            stream.write_all(begun[n % 3].as_bytes()).unwrap();
            stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
            stream
        })
        .collect();
    server.client().call("DescribeRegions", &[]).expect_ok();
    for (n, mut stream) in slow.into_iter().enumerate() {
        let mut text = String::new();
        // The end of the connection, by whichever side of TCP, is what counts.
        let _ = stream.read_to_string(&mut text);
        if n % 3 == 2 {
            assert!(text.starts_with("HTTP/1.1 408"), "{text}");
        }
    }
}

#[test]
fn every_answered_call_is_audited_without_secrets() {
    let server = Ourkv::start();
    let created = server.create(&[("InstanceName", "audited")]);
    server.client().call("DescribeInstances", &[]).expect_ok();
    server.client().call("DeleteInstance", &[("InstanceId", "r-none")]).refusal();
    let mut audit = String::new();
    server.until("three audit lines", |server| {
        audit = server.cli(&["audit", "--output", "json"]);
        ["CreateInstance", "DescribeInstances", "InvalidInstanceId.NotFound"]
            .iter()
            .all(|word| audit.contains(word))
    });
    assert!(audit.contains(created["RequestId"].as_str().unwrap()));
    assert!(audit.contains("Password=***"), "{audit}");
    for text in [&audit, &server.log()] {
        assert!(!text.contains(crate::common::PASSWORD) && !text.contains(KEY_SECRET));
    }
}

#[test]
fn the_log_ties_a_request_to_its_instance() {
    let server = Ourkv::start();
    let class = [("RegionId", "cn-hongkong"), ("InstanceClass", "redis.basic.small.default")];
    let created = server.client().call("CreateInstance", &class);
    let id = created.json()["InstanceId"].as_str().unwrap().to_owned();
    let asked = server.client().call("DescribeInstanceAttribute", &[("InstanceId", &id)]);
    let forged =
        server.client().call("DescribeInstanceAttribute", &[("InstanceId", "r-1\nforged")]);
    assert_eq!(forged.status, 404);
    let log = server.log();
    for reply in [created, asked] {
        let line = log.lines().find(|line| line.contains(&reply.request_id)).unwrap();
        assert!(line.contains(&format!("instance.id={id}")), "{line}");
    }
    assert!(!log.contains("forged"));
}

#[test]
fn health_and_metrics_answer_without_a_signature() {
    let server = Ourkv::start();
    server.client().call("DescribeRegions", &[]).expect_ok();
    assert!(
        raw(&server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .starts_with("HTTP/1.1 200")
    );
    let metrics = raw(&server, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(
        metrics.contains("ourkv_calls_total{action=\"DescribeRegions\",code=\"OK\"} 1"),
        "{metrics}"
    );
}
