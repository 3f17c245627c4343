//! The page's request table, row by row.

use rstest::rstest;

use super::*;

/// What every request needs.
fn base() -> Params {
    with(
        Params::new(),
        &[("RegionId", "cn-hongkong"), ("InstanceClass", "redis.master.2xlarge.default")],
    )
}

fn with(mut params: Params, more: &[(&str, &str)]) -> Params {
    for (name, value) in more {
        params.insert(*name, *value);
    }
    params
}

fn parse(more: &[(&str, &str)]) -> Result<Request, Fault> {
    Request::parse(&with(base(), more))
}

/// The code and message of the refusal.
fn refused(more: &[(&str, &str)]) -> (String, String) {
    let fault = parse(more).expect_err("should be refused");
    (fault.code.into_owned(), fault.message.into_owned())
}

fn code(more: &[(&str, &str)]) -> String {
    refused(more).0
}

#[test]
fn the_pages_defaults_hold() {
    let request = parse(&[]).unwrap();
    assert_eq!(request.instance_type, InstanceType::Redis);
    assert_eq!(request.version, EngineVersion::V2_8);
    assert_eq!(request.payment, Payment::Hourly);
    assert_eq!(request.network, Network::Classic);
    assert_eq!(request.coupon, CouponWish::None);
    assert_eq!(request.node_type, None);
    assert!(request.origin.is_none() && !request.dry_run);
    assert_eq!(request.token, None);
}

#[rstest]
#[case::region("RegionId", "cn-hangzhou")]
#[case::class("InstanceClass", "redis.master.small.default")]
#[case::capacity("Capacity", "16384")]
#[case::token("Token", "AAAAAAAAAAAAAAAAAAAAAAAAAA")]
#[case::name("InstanceName", "apitest")]
#[case::password("Password", "Acfr5xxx,.xxx")]
#[case::zone("ZoneId", "cn-hangzhou-e")]
#[case::config(
    "Config",
    r#"{"EvictionPolicy":"volatile-lru","hash-max-ziplist-entries":512,"zset-max-ziplist-entries":128,"zset-max-ziplist-value":64,"set-max-intset-entries":512,"hash-max-ziplist-value":64}"#
)]
#[case::charge("ChargeType", "PostPaid")]
#[case::node("NodeType", "MASTER_SLAVE")]
#[case::business("BusinessInfo", "000000000")]
#[case::coupon("CouponNo", "youhuiquan_promotion_option_id_for_blank")]
#[case::kind("InstanceType", "Redis")]
#[case::version("EngineVersion", "4.0")]
#[case::automatic("AutoUseCoupon", "false")]
#[case::vpc("VpcId", "vpc-bp1oxxxxxxxxxxgzv26cf")]
#[case::vswitch("VSwitchId", "vsw-oqscxxxxxxxxxxxxx5e8c")]
fn the_pages_example_value_passes(#[case] name: &str, #[case] value: &str) {
    parse(&[(name, value)]).unwrap();
}

#[test]
fn the_pages_example_values_that_need_each_other_pass() {
    let prepaid = [
        ("ChargeType", "PrePaid"),
        ("Period", "12"),
        ("AutoRenew", "true"),
        ("AutoRenewPeriod", "3"),
    ];
    parse(&prepaid).unwrap();
    let vpc = [
        ("NetworkType", "VPC"),
        ("VpcId", "vpc-bp1oxxxxxxxxxxgzv26cf"),
        ("VSwitchId", "vsw-oqscxxxxxxxxxxxxx5e8c"),
        ("PrivateIpAddress", "172.16.0.10"),
    ];
    parse(&vpc).unwrap();
    let backup = [("SrcDBInstanceId", "r-bp1xxxxxxxxxxxxxx"), ("BackupId", "111111111")];
    let origin = parse(&backup).unwrap().origin.unwrap();
    assert_eq!(origin.source.as_str(), "r-bp1xxxxxxxxxxxxxx");
    assert_eq!(origin.backup.get(), 111_111_111);
}

#[test]
fn the_region_is_mandatory_and_comes_first() {
    let fault = Request::parse(&with(Params::new(), &[("Password", "x")])).unwrap_err();
    assert_eq!(fault, Fault::missing("RegionId"));
}

#[test]
fn a_class_or_a_capacity_is_mandatory_and_the_class_wins() {
    let region =
        |more| Request::parse(&with(with(Params::new(), &[("RegionId", "cn-hongkong")]), more));
    assert_eq!(region(&[]).unwrap_err().code, "MissingParameter");
    assert_eq!(
        region(&[("InstanceClass", ""), ("Capacity", "")]).unwrap_err().code,
        "MissingParameter"
    );
    assert_eq!(region(&[("Capacity", "1024")]).unwrap().size, Size::Capacity(1024));
    let both = parse(&[("Capacity", "1024")]).unwrap();
    assert_eq!(both.size, Size::Class("redis.master.2xlarge.default".into()));
    assert_eq!(region(&[("Capacity", "1GB")]).unwrap_err().status, 400);
}

#[rstest]
#[case("Token", "tok-中", "InvalidToken.Malformed")]
#[case("InstanceName", "1abc", "InvalidInstanceName.Malformed")]
#[case("Password", "short1A", "InvalidPassword.Malformed")]
#[case("Config", "{", "InvalidParameters.Format")]
#[case("Config", r#"{"no-such-parameter":1}"#, "InvalidParameters.Format")]
#[case("Config", r#"{"hz":10}"#, "ParamNotSupportedForCurrentVersion")]
#[case("ChargeType", "postpaid", "InvalidChargeType.Malformed")]
#[case("NodeType", "CLUSTER", "InvalidNodeType.Malformed")]
#[case("NetworkType", "vpc", "InvalidNetworkType.Malformed")]
#[case("InstanceType", "redis", "InvalidInstanceType.Malformed")]
#[case("EngineVersion", "3.0", "InvalidEngineVersion.Malformed")]
#[case("EngineVersion", "5", "InvalidEngineVersion.Malformed")]
#[case("PrivateIpAddress", "172.16.0", "InvalidPrivateIpAddress.Malformed")]
#[case("PrivateIpAddress", "172.16.0.10", "InvalidIPNotInSubnet")]
#[case("BackupId", "111111111", "MissingParameter")]
#[case("SrcDBInstanceId", "r-bp1xxxxxxxxxxxxxx", "MissingParameter")]
fn refuses(#[case] name: &str, #[case] value: &str, #[case] expected: &str) {
    assert_eq!(code(&[(name, value)]), expected);
}

#[test]
fn a_refusal_of_form_has_the_documented_message() {
    let message = "The Specified parameter \"Password\" is not valid.";
    assert_eq!(refused(&[("Password", "x")]), ("InvalidPassword.Malformed".into(), message.into()));
}

#[test]
fn tokens_are_taken_up_to_64_characters() {
    let token = |len: usize| parse(&[("Token", &"x".repeat(len))]);
    assert!(token(64).is_ok());
    assert_eq!(token(65).unwrap_err().code, "InvalidToken.Malformed");
    assert_eq!(parse(&[("ClientToken", "tok")]).unwrap().token.unwrap().as_str(), "tok");
}

#[test]
fn a_period_belongs_to_prepaid_and_only_there() {
    let prepaid = |period: &str| parse(&[("ChargeType", "PrePaid"), ("Period", period)]);
    for months in ["1", "2", "3", "4", "5", "6", "7", "8", "9", "12", "24", "36"] {
        prepaid(months).unwrap();
        assert_eq!(code(&[("Period", months)]), "UnsupportedParameter", "{months}");
    }
    for months in ["0", "10", "11", "13", "48", "60", "-1", "1.0", "x", "+1", " 1"] {
        assert_eq!(prepaid(months).unwrap_err().code, "InvalidPeriod.Malformed", "{months}");
    }
    let missing = ("MissingParameter".into(), "Period is mandatory for this action.".into());
    assert_eq!(refused(&[("ChargeType", "PrePaid")]), missing);
    assert_eq!(refused(&[("ChargeType", "PrePaid"), ("Period", "")]), missing);
}

#[test]
fn a_renewal_period_is_mandatory_with_auto_renew() {
    let renewing = |period: &str| {
        parse(&[
            ("ChargeType", "PrePaid"),
            ("Period", "1"),
            ("AutoRenew", "true"),
            ("AutoRenewPeriod", period),
        ])
    };
    for months in ["1", "2", "3", "6", "12"] {
        assert!(matches!(
            renewing(months).unwrap().payment,
            Payment::Ahead { auto_renew: Some(_), .. }
        ));
    }
    for months in ["0", "4", "5", "9", "24"] {
        assert_eq!(renewing(months).unwrap_err().code, "InvalidAutoRenewPeriod.Malformed");
    }
    assert_eq!(renewing("").unwrap_err(), Fault::missing("AutoRenewPeriod"));
    let off = [
        ("ChargeType", "PrePaid"),
        ("Period", "1"),
        ("AutoRenew", "False"),
        ("AutoRenewPeriod", "3"),
    ];
    assert!(matches!(parse(&off).unwrap().payment, Payment::Ahead { auto_renew: None, .. }));
}

#[test]
fn a_vpc_needs_its_two_ids() {
    assert_eq!(refused(&[("NetworkType", "VPC")]).1, "VpcId is mandatory for this action.");
    let half = [("NetworkType", "VPC"), ("VpcId", "vpc-a")];
    assert_eq!(refused(&half).1, "VSwitchId is mandatory for this action.");
}

#[test]
fn later_words_for_the_node_type_are_understood() {
    assert_eq!(parse(&[("NodeType", "double")]).unwrap().node_type, Some(NodeType::MasterSlave));
    assert_eq!(
        parse(&[("NodeType", "STAND_ALONE")]).unwrap().node_type,
        Some(NodeType::StandAlone)
    );
}

#[test]
fn unknown_parameters_are_ignored_and_empty_ones_are_absent() {
    let empty = [
        "Token",
        "InstanceName",
        "Password",
        "ZoneId",
        "Config",
        "ChargeType",
        "NodeType",
        "NetworkType",
        "Period",
        "EngineVersion",
        "InstanceType",
        "AutoRenew",
        "CouponNo",
        "BackupId",
    ];
    let mut params = with(base(), &[("GlobalInstance", "false"), ("Nonsense", "\u{0}")]);
    for name in empty {
        params.insert(name, "");
    }
    assert!(Request::parse(&params).unwrap().password.is_none());
}

#[test]
fn the_first_bad_parameter_of_the_page_is_the_one_that_is_named() {
    let bad = [("Token", "中"), ("Password", "x"), ("InstanceName", "1"), ("Config", "{")];
    assert_eq!(code(&bad), "InvalidToken.Malformed");
    assert_eq!(code(&bad[1..]), "InvalidInstanceName.Malformed");
}

#[test]
fn the_fingerprint_tells_requests_apart_and_ignores_the_call() {
    let print = |more| parse(more).unwrap().fingerprint;
    assert_eq!(print(&[("Timestamp", "a"), ("SignatureNonce", "1")]), print(&[("Timestamp", "b")]));
    assert_ne!(print(&[("InstanceName", "ab")]), print(&[("InstanceName", "abc")]));
}
