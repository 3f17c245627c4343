//! CreateInstance against a served binary: the page's answer, and every row of its error table
//! reached through a state that an operator sets with `ourkv`.

use std::collections::BTreeSet;

use crate::common::{Ourkv, PASSWORD, Reply};
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
    let mut params = vec![REGION, CLASS];
    params.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
    params.extend(more);
    server.client().call("CreateInstance", &params)
}

fn instances(server: &Ourkv) -> i64 {
    server.client().call("DescribeInstances", &[]).expect_ok()["TotalCount"]
        .as_i64()
        .unwrap()
}

#[test]
fn the_pages_own_example_is_answered_as_the_page_says() {
    let server = Ourkv::start();
    let params = [
        REGION,
        ("InstanceClass", "redis.master.2xlarge.default"),
        ("InstanceName", "apitest"),
    ];
    let reply = server
        .client()
        .call_v1("CreateInstance", &params, Format::Json);
    let answer = reply.expect_ok();
    let keys: BTreeSet<_> = answer
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
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
        (
            "ConnectionDomain",
            json!(format!("{id}.redis.rds.aliyuncs.com")),
        ),
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
    let xml = server
        .client()
        .call_v1("CreateInstance", &params, Format::Xml);
    assert_eq!(
        (xml.status, &*xml.content_type),
        (200, "text/xml;charset=utf-8")
    );
    let json = server
        .client()
        .call_v1("CreateInstance", &params, Format::Json);
    assert_eq!(json.content_type, "application/json;charset=utf-8");
    let answer = json.expect_ok();
    assert!(
        xml.text.contains("<CreateInstanceResponse>"),
        "{}",
        xml.text
    );
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
        assert!(
            xml.text.contains(&quoted) || xml.text.contains(&plain),
            "{key}: {}",
            xml.text
        );
    }
}

#[test]
fn a_vpc_and_a_period_add_the_rest_of_the_table() {
    let server = Ourkv::start();
    server.cli(&[
        "vpc",
        "create",
        "--region",
        "cn-hongkong",
        "--cidr",
        "172.16.0.0/12",
        "--name",
        "lab",
    ]);
    let vpcs: Value =
        serde_json::from_str(&server.cli(&["vpc", "ls", "--output", "json"])).unwrap();
    let vpc = find(&vpcs, "name", "lab")["id"]
        .as_str()
        .unwrap()
        .to_owned();
    server.cli(&[
        "vswitch",
        "create",
        "--vpc",
        &vpc,
        "--zone",
        "cn-hongkong-c",
        "--cidr",
        "172.16.0.0/24",
        "--name",
        "lab",
    ]);
    let switches: Value =
        serde_json::from_str(&server.cli(&["vswitch", "ls", "--output", "json"])).unwrap();
    let vswitch = find(&switches, "name", "lab")["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let network = [
        ("NetworkType", "VPC"),
        ("VpcId", &vpc),
        ("VSwitchId", &vswitch),
    ];

    let wanted = [
        network.as_slice(),
        &[
            ("PrivateIpAddress", "172.16.0.10"),
            ("ChargeType", "PrePaid"),
            ("Period", "1"),
            ("Password", PASSWORD),
        ],
    ]
    .concat();
    let answer = create(&server, &wanted).expect_ok();
    assert_eq!(answer["PrivateIpAddr"], "172.16.0.10");
    assert_eq!(
        (&answer["VpcId"], &answer["VSwitchId"]),
        (&json!(vpc), &json!(vswitch))
    );
    assert_eq!(
        (&answer["NetworkType"], &answer["ZoneId"]),
        (&json!("VPC"), &json!("cn-hongkong-c"))
    );
    assert!(answer["EndTime"].as_str().unwrap().ends_with("T16:00:00Z"));
    assert_eq!(answer.as_object().unwrap().len(), 21);

    let taken = create(&server, &wanted);
    assert_eq!(taken.refusal().1, "InvalidPrivateIpAddress.Duplicate");
    for outside in ["172.16.1.10", "172.16.0.0", "172.16.0.255", "8.8.8.8"] {
        let wanted = [network.as_slice(), &[("PrivateIpAddress", outside)]].concat();
        create(&server, &wanted).expect_refusal(
            400,
            "InvalidIPNotInSubnet",
            "Error ip not in subnet.",
        );
    }
    let elsewhere = [network.as_slice(), &[("ZoneId", "cn-hongkong-b")]].concat();
    assert_eq!(create(&server, &elsewhere).refusal().1, "InvalidvSwitchId");
    let unknown = [
        ("NetworkType", "VPC"),
        ("VpcId", "vpc-none"),
        ("VSwitchId", &vswitch),
    ];
    assert_eq!(
        create(&server, &unknown).refusal().1,
        "InvalidVPCId.NotFound"
    );
}

fn find<'a>(list: &'a Value, key: &str, value: &str) -> &'a Value {
    list.as_array()
        .unwrap()
        .iter()
        .find(|entry| entry[key] == value)
        .unwrap()
}

#[test]
fn each_row_of_the_error_table_is_reached() {
    let server = Ourkv::start();
    let vpcs: Value =
        serde_json::from_str(&server.cli(&["vswitch", "ls", "--output", "json"])).unwrap();
    let default = find(&vpcs, "zone", "cn-hongkong-b");
    let (vpc, vswitch) = (
        default["vpc"].as_str().unwrap(),
        default["id"].as_str().unwrap(),
    );
    let in_vpc = [
        ("NetworkType", "VPC"),
        ("VpcId", vpc),
        ("VSwitchId", vswitch),
    ];
    let prepaid = [("ChargeType", "PrePaid"), ("Period", "1")];

    create(&server, &[("ChargeType", "PrePaid")]).expect_refusal(
        400,
        "MissingParameter",
        "Period is mandatory for this action.",
    );
    for (name, code) in [
        ("Token", "InvalidToken.Malformed"),
        ("InstanceName", "InvalidInstanceName.Malformed"),
        ("Password", "InvalidPassword.Malformed"),
    ] {
        let message = format!("The Specified parameter \"{name}\" is not valid.");
        create(&server, &[(name, "é")]).expect_refusal(400, code, &message);
    }
    server
        .client()
        .call("CreateInstance", &[REGION, ("Capacity", "123")])
        .expect_refusal(
            400,
            "InvalidCapacity.NotFound",
            "The Capacity provided does not exist in our records.",
        );

    server.cli(&["vpc", "service", "down"]);
    create(&server, &in_vpc).expect_refusal(400, "VpcServiceError", "Invoke vpc service failed.");
    server.cli(&["vpc", "service", "up"]);
    server.cli(&["zone", "set", "cn-hongkong-b", "--vpc", "off"]);
    create(&server, &in_vpc).expect_refusal(
        400,
        "IzNotSupportVpcError",
        "Specify iz not support vpc.",
    );
    server.cli(&["zone", "set", "cn-hongkong-b", "--vpc", "default"]);

    let account = |args: &[&str]| server.cli(&[&["account", "set"], args].concat());
    account(&["--real-name", "false"]);
    create(&server, &[]).expect_refusal(
        403,
        "RealNameAuthenticationError",
        "Your account has not passed the real-name authentication yet.",
    );
    account(&["--real-name", "true", "--finance", "true"]);
    create(&server, &[]).expect_refusal(
        400,
        "ResourceNotAvailable",
        "Resource you requested is not available for finance user.",
    );
    account(&["--finance", "false", "--postpaid-quota", "0"]);
    create(&server, &[]).expect_refusal(
        400,
        "QuotaExceed.AfterpayInstance",
        "Living afterpay instances quota exceeded.",
    );
    account(&["--postpaid-quota", "10", "--postpaid-quota-per-region", "0"]);
    create(&server, &[]).expect_refusal(
        400,
        "QuotaExceed",
        "Living afterpay instances quota exceed.",
    );
    account(&["--postpaid-quota-per-region", "10"]);
    for zone in ["cn-hongkong-b", "cn-hongkong-c"] {
        server.cli(&["zone", "set", zone, "--quota-mb", "1000"]);
    }
    create(&server, &[]).expect_refusal(400, "QuotaNotEnough", "Quota not enough in this zone.");
    for zone in ["cn-hongkong-b", "cn-hongkong-c"] {
        server.cli(&["zone", "set", zone, "--quota-mb", "none"]);
    }
    account(&["--payment-method", "false"]);
    create(&server, &[]).expect_refusal(
        400,
        "PaymentMethodNotFound",
        "No payment method has been registered on the account.",
    );
    account(&["--payment-method", "true", "--balance", "1"]);
    create(&server, &prepaid).expect_refusal(
        400,
        "InsufficientBalance",
        "Your account does not have enough balance.",
    );
    assert_eq!(instances(&server), 0, "a refused call creates nothing");

    account(&["--balance", "10000"]);
    create(&server, &[("Token", "t")]).expect_ok();
    create(&server, &[("Token", "t"), ("InstanceName", "other")]).expect_refusal(
        400,
        "IdempotentParameterMismatch",
        "Request uses a client token in a previous request but is not identical to that request.",
    );
}

#[test]
fn the_neighbours_of_the_table_are_refused_too() {
    let server = Ourkv::start();
    for (more, status, code) in [
        (
            &[("RegionId", "cn-atlantis")][..],
            404,
            "InvalidRegion.NotFound",
        ),
        (
            &[("ZoneId", "cn-hangzhou-b")],
            400,
            "InvalidZoneId.NotFound",
        ),
        (
            &[("InstanceClass", "redis.master.gigantic.default")],
            400,
            "InvalidInstanceClass.NotFound",
        ),
        (
            &[("InstanceClass", "memcache.master.small.default")],
            400,
            "InstanceClass.NotMatch",
        ),
        (
            &[("NodeType", "MASTER_SLAVE")],
            400,
            "InstanceClass.NotMatch",
        ),
        (
            &[("InstanceClass", "redis.sharding.small.default")],
            400,
            "ResourceNotAvailable",
        ),
        (
            &[("EngineVersion", "7.0")],
            400,
            "InvalidEngineVersion.Malformed",
        ),
        (
            &[
                ("SrcDBInstanceId", "r-bp1xxxxxxxxxxxxxx"),
                ("BackupId", "1"),
            ],
            400,
            "InvalidBackupSetID.NotFound",
        ),
        (
            &[
                ("ChargeType", "PrePaid"),
                ("Period", "1"),
                ("CouponNo", "none"),
            ],
            400,
            "InvalidCouponNo.NotFound",
        ),
        (&[("DryRun", "true")], 400, "DryRunOperation"),
    ] {
        let (got, named, _) = create(&server, more).refusal();
        assert_eq!((got, &*named), (status, code), "{more:?}");
    }
    assert_eq!(instances(&server), 0);
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
    assert_eq!(
        code(&[("Password", "x"), ("ZoneId", "none")]),
        "InvalidPassword.Malformed"
    );
    assert_eq!(code(&[("ZoneId", "cn-none")]), "InvalidZoneId.NotFound");
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
    assert_eq!(
        create(&server, &prepaid).refusal().1,
        "InvalidCouponNo.NotFound"
    );
    let shown: Value =
        serde_json::from_str(&server.cli(&["account", "show", "--output", "json"])).unwrap();
    let balance: f64 = shown["balance"].as_str().unwrap().parse().unwrap();
    // 1 GB standalone in Hong Kong: 0.006 units × 21 CNY × 1.15 × 720 hours, less the coupon.
    let expected = 1000.0 - (0.006 * 21.0 * 1.15 * 720.0 - 100.0);
    assert!((balance - expected).abs() < 0.01, "{balance} {expected}");
}
