//! Admin commands on a store that no server works on, and the command line itself.

use crate::common::{self, Ourkv, PASSWORD};
use serde_json::Value;

fn json(server: &Ourkv, arguments: &[&str]) -> Value {
    let text = server.cli(&[arguments, &["--output", "json"]].concat());
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_key_lives_through_its_states() {
    let server = Ourkv::start();
    let made = json(&server, &["key", "create"]);
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let client = common::Client::new(&server.address, id, secret);
    client.call("DescribeRegions", &[]).expect_ok();

    assert_eq!(json(&server, &["key", "disable", id])["active"], false);
    assert_eq!(client.call("DescribeRegions", &[]).refusal().1, "InvalidAccessKeyId.Inactive");
    assert_eq!(json(&server, &["key", "enable", id])["active"], true);
    client.call("DescribeRegions", &[]).expect_ok();

    assert_eq!(json(&server, &["key", "limit", id, "--per-second", "3"])["calls_per_second"], 3);
    let unlimited = json(&server, &["key", "limit", id, "--per-second", "none"]);
    assert_eq!(unlimited["calls_per_second"], Value::Null);

    server.cli(&["key", "rm", id]);
    assert_eq!(client.call("DescribeRegions", &[]).refusal().1, "InvalidAccessKeyId.NotFound");
    assert!(!server.try_cli(&["key", "rm", id]).status.success());
}

#[test]
fn set_changes_what_is_given_and_nothing_else() {
    let server = Ourkv::start();
    let before = json(&server, &["account", "show"]);
    let after = json(&server, &["account", "set", "--balance", "-12.5", "--finance", "true"]);
    assert_eq!(after["balance"], "-12.50");
    assert_eq!(after["finance"], true);
    assert_ne!(after["arrears_since"], Value::Null);
    for field in ["id", "name", "real_name", "payment_method", "postpaid_quota", "created_at"] {
        assert_eq!(after[field], before[field], "{field}");
    }

    let zone = json(&server, &["zone", "set", "cn-hongkong-b", "--quota-mb", "4096"]);
    assert_eq!((&zone["quota_mb"], &zone["vpc"]), (&Value::from(4096), &Value::from(true)));
    let zone = json(&server, &["zone", "set", "cn-hongkong-b", "--vpc", "off"]);
    assert_eq!((&zone["quota_mb"], &zone["vpc"]), (&Value::from(4096), &Value::from(false)));
}

#[test]
fn networks_are_made_and_removed_from_the_outside_in() {
    let server = Ourkv::start();
    let vpc = json(&server, &["vpc", "create", "--region", "cn-hongkong", "--cidr", "10.9.0.0/16"]);
    let vpc = vpc["id"].as_str().unwrap().to_owned();
    let create = |cidr: &str, zone: &str| {
        server.try_cli(&["vswitch", "create", "--vpc", &vpc, "--zone", zone, "--cidr", cidr])
    };
    assert!(create("10.9.1.0/24", "cn-hongkong-b").status.success());
    for (cidr, zone, problem) in [
        ("10.9.1.128/25", "cn-hongkong-b", "overlaps"),
        ("10.8.0.0/24", "cn-hongkong-b", "not inside"),
        ("10.9.2.0/24", "cn-hangzhou-b", "the zone in"),
        ("10.9.2.0/30", "cn-hongkong-b", "no address"),
    ] {
        let refused = create(cidr, zone);
        let talk = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && talk.contains(problem), "{cidr}: {talk}");
    }
    assert!(!server.try_cli(&["vpc", "rm", &vpc]).status.success(), "it has a vSwitch");
    let switches = json(&server, &["vswitch", "ls", "--vpc", &vpc]);
    assert_eq!(switches.as_array().unwrap().len(), 1);
    server.cli(&["vswitch", "rm", switches[0]["id"].as_str().unwrap()]);
    server.cli(&["vpc", "rm", &vpc]);
}

#[test]
fn down_stops_every_engine_and_serve_brings_them_back_with_their_data() {
    let mut server = Ourkv::start();
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    let listed = json(&server, &["ls"]);
    assert_eq!(
        (&listed[0]["id"], &listed[0]["status"]),
        (&created["InstanceId"], &"Normal".into())
    );
    let address = listed[0]["address"].as_str().unwrap().to_owned();
    let set = |key: &str| -> redis::RedisResult<()> {
        let (host, port) = address.split_once(':').unwrap();
        let url =
            format!("redis://:{}@{host}:{port}/", PASSWORD.replace('@', "%40").replace('#', "%23"));
        redis::cmd("SET").arg(key).arg("1").query(&mut redis::Client::open(url)?.get_connection()?)
    };
    set("before").unwrap();

    server.kill();
    set("without a control plane").unwrap();
    let down = server.try_cli(&["down"]);
    let talk = String::from_utf8(down.stderr).unwrap();
    assert!(down.status.success() && talk.contains("stopped 2 engines"), "{talk}");
    assert!(set("while down").is_err());
    let again = String::from_utf8(server.try_cli(&["down"]).stderr).unwrap();
    assert!(again.contains("stopped 0 engines"), "{again}");

    server.serve();
    server.wait_for(id, "Normal");
    set("after").unwrap();
}

#[test]
fn a_command_line_that_cannot_be_read_ends_with_2_and_help_with_0() {
    let server = Ourkv::start();
    for arguments in [&["no-such-command"][..], &["key", "limit", "x", "--per-second", "0"][..]] {
        assert_eq!(server.try_cli(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let help = server.try_cli(&["account", "set", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8(help.stdout).unwrap().contains("--postpaid-quota-per-region"));
}
