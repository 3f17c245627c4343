//! CreateInstance against a served binary: the page's answer, money, and the order of refusals.

use std::collections::BTreeSet;

use crate::common::{Ourkv, PASSWORD, Reply, with};
use ourkv_wire::Format;
use serde_json::{Value, json};

const REGION: (&str, &str) = ("RegionId", "cn-hongkong");
const CLASS: (&str, &str) = ("InstanceClass", "redis.basic.small.default");

/// The keys of the page's sample.
const SAMPLE_KEYS: [&str; 15] = [
    "Bandwidth",
    "Capacity",
    "ChargeType",
    "Config",
    "ConnectionDomain",
    "Connections",
    "InstanceId",
    "InstanceName",
    "InstanceStatus",
    "Port",
    "QPS",
    "RegionId",
    "RequestId",
    "UserName",
    "ZoneId",
];

/// What the page's table lists beside its sample, for a classic hourly-paid instance.
const TABLE_KEYS: [&str; 3] = ["NetworkType", "NodeType", "PrivateIpAddr"];

fn create(server: &Ourkv, more: &[(&str, &str)]) -> Reply {
    server.client().call("CreateInstance", &with(&[REGION, CLASS], more))
}

#[test]
fn the_pages_own_example_is_answered_as_the_page_says() {
    let server = Ourkv::start();
    let params =
        [REGION, ("InstanceClass", "redis.master.2xlarge.default"), ("InstanceName", "apitest")];
    let reply = server.client().call_v1("CreateInstance", &params, Format::Json);
    let answer = reply.expect_ok();
    let keys: BTreeSet<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, SAMPLE_KEYS.into_iter().chain(TABLE_KEYS).collect());
    let id = answer["InstanceId"].as_str().unwrap();
    assert!(id.starts_with("r-j6c"), "{id}");
    for (key, value) in [
        ("ChargeType", json!("PostPaid")),
        ("InstanceStatus", json!("Creating")),
        ("ZoneId", json!("cn-hongkong-b")),
        ("RegionId", json!("cn-hongkong")),
        ("Port", json!(6379)),
        ("QPS", json!(100_000)),
        ("Capacity", json!(16384)),
        ("Bandwidth", json!(32)),
        ("Connections", json!(10000)),
        ("InstanceName", json!("apitest")),
        ("UserName", json!(id)),
        ("ConnectionDomain", json!(format!("{id}.redis.rds.aliyuncs.com"))),
        ("NetworkType", json!("CLASSIC")),
        ("NodeType", json!("MASTER_SLAVE")),
        ("RequestId", json!(reply.request_id)),
        (
            "Config",
            json!(
                r#"{"EvictionPolicy":"volatile-lru","hash-max-ziplist-entries":512,"zset-max-ziplist-entries":128,"zset-max-ziplist-value":64,"set-max-intset-entries":512,"hash-max-ziplist-value":64}"#
            ),
        ),
    ] {
        assert_eq!(answer[key], value, "{key}");
    }
    server.wait_for(id, "Normal");
}

#[test]
fn xml_is_the_default_and_says_the_same_as_json() {
    let server = Ourkv::start();
    let token = ("Token", "same-answer");
    let params = [REGION, CLASS, token];
    let xml = server.client().call_v1("CreateInstance", &params, Format::Xml);
    assert_eq!((xml.status, &*xml.content_type), (200, "text/xml;charset=utf-8"));
    let json = server.client().call_v1("CreateInstance", &params, Format::Json);
    assert_eq!(json.content_type, "application/json;charset=utf-8");
    let answer = json.expect_ok();
    assert!(xml.text.contains("<CreateInstanceResponse>"), "{}", xml.text);
    for (key, value) in answer.as_object().unwrap() {
        let text = match value {
            Value::String(text) if key == "RequestId" => {
                assert_ne!(*text, xml.request_id);
                xml.request_id.clone()
            }
            Value::String(text) => text.replace('"', "&quot;"),
            other => other.to_string(),
        };
        let quoted = format!("<{key}>{text}</{key}>");
        let plain = quoted.replace("&quot;", "\"");
        assert!(xml.text.contains(&quoted) || xml.text.contains(&plain), "{key}: {}", xml.text);
    }
}

#[test]
fn a_vpc_and_a_period_add_the_rest_of_the_table() {
    let server = Ourkv::start();
    let (vpc, vswitch) = server.vswitch("cn-hongkong-c", "172.16.0.0/24");
    let answer = create(
        &server,
        &[
            ("NetworkType", "VPC"),
            ("VpcId", &vpc),
            ("VSwitchId", &vswitch),
            ("PrivateIpAddress", "172.16.0.10"),
            ("ChargeType", "PrePaid"),
            ("Period", "1"),
            ("Password", PASSWORD),
        ],
    )
    .expect_ok();
    assert_eq!(answer.as_object().unwrap().len(), 21);
    assert!(answer["EndTime"].as_str().unwrap().ends_with("T16:00:00Z"));
    for (key, value) in [
        ("PrivateIpAddr", "172.16.0.10"),
        ("VpcId", &vpc),
        ("VSwitchId", &vswitch),
        ("NetworkType", "VPC"),
        ("ZoneId", "cn-hongkong-c"),
    ] {
        assert_eq!(answer[key], value, "{key}");
    }
}

#[test]
fn where_two_refusals_apply_the_order_is_fixed() {
    let server = Ourkv::start();
    server.cli(&[
        "account",
        "set",
        "--real-name",
        "false",
        "--payment-method",
        "false",
        "--balance",
        "0",
        "--postpaid-quota",
        "0",
    ]);
    let code = |more: &[(&str, &str)]| create(&server, more).refusal().1;
    assert_eq!(code(&[("Password", "x"), ("ZoneId", "none")]), "InvalidPassword.Malformed");
    let backup = [("SrcDBInstanceId", "r-none"), ("BackupId", "100000000")];
    let nowhere = [&backup[..], &[("ZoneId", "cn-none")]].concat();
    assert_eq!(code(&nowhere), "InvalidZoneId.NotFound");
    assert_eq!(code(&backup), "InvalidBackupSetID.NotFound");
    assert_eq!(code(&[]), "RealNameAuthenticationError");
    server.cli(&["account", "set", "--real-name", "true"]);
    assert_eq!(code(&[]), "QuotaExceed.AfterpayInstance");
    server.cli(&["account", "set", "--postpaid-quota", "1"]);
    assert_eq!(code(&[]), "PaymentMethodNotFound");
    server.cli(&["account", "set", "--payment-method", "true"]);
    assert_eq!(code(&[]), "InsufficientBalance");
}

#[test]
fn a_coupon_pays_its_part_once() {
    let server = Ourkv::start();
    server.cli(&["account", "set", "--balance", "1000"]);
    let made = server.cli(&["coupon", "create", "--amount", "100", "--output", "json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let no = made["no"].as_str().unwrap();
    let prepaid = [
        ("ChargeType", "PrePaid"),
        ("Period", "1"),
        ("CouponNo", no),
        ("BusinessInfo", "000000000"),
    ];
    create(&server, &prepaid).expect_ok();
    assert_eq!(create(&server, &prepaid).refusal().1, "InvalidCouponNo.NotFound");
    let shown: Value =
        serde_json::from_str(&server.cli(&["account", "show", "--output", "json"])).unwrap();
    let balance: f64 = shown["balance"].as_str().unwrap().parse().unwrap();
    // 1 GB standalone in Hong Kong: 0.006 units × 21 CNY × 1.15 × 720 hours, less the coupon.
    let expected = 1000.0 - (0.006 * 21.0 * 1.15 * 720.0 - 100.0);
    assert!((balance - expected).abs() < 0.01, "{balance} {expected}");
}
