//! Client tokens: one instance for one token, whoever repeats the call, whenever.

use std::collections::HashSet;

use crate::common::Ourkv;

const REQUEST: [(&str, &str); 2] =
    [("RegionId", "cn-hongkong"), ("InstanceClass", "redis.basic.small.default")];

fn with_token(token: &str) -> Vec<(&str, &str)> {
    [REQUEST.as_slice(), &[("Token", token)]].concat()
}

fn total(server: &Ourkv) -> i64 {
    server.client().call("DescribeInstances", &[]).expect_ok()["TotalCount"].as_i64().unwrap()
}

#[test]
fn a_hundred_concurrent_callers_get_one_instance() {
    let server = Ourkv::start();
    let ids: HashSet<String> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..100)
            .map(|_| {
                scope.spawn(|| {
                    let reply = server.client().call("CreateInstance", &with_token("once"));
                    reply.expect_ok()["InstanceId"].as_str().unwrap().to_owned()
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1);
    assert_eq!(total(&server), 1);
}

#[test]
fn a_token_is_case_sensitive_and_of_one_region() {
    let server = Ourkv::start();
    let id = |params: &[(&str, &str)]| {
        server.client().call("CreateInstance", params).expect_ok()["InstanceId"].clone()
    };
    let first = id(&with_token("token"));
    assert_ne!(first, id(&with_token("TOKEN")));
    let elsewhere = [
        ("RegionId", "cn-hangzhou"),
        ("InstanceClass", "redis.basic.small.default"),
        ("Token", "token"),
    ];
    assert_ne!(first, id(&elsewhere));
    assert_eq!(first, id(&with_token("token")));
}

#[test]
fn a_token_survives_a_kill_and_a_deletion() {
    let mut server = Ourkv::start();
    let answer = server.client().call("CreateInstance", &with_token("kept")).expect_ok();
    let id = answer["InstanceId"].as_str().unwrap().to_owned();
    server.restart(&[]);
    let mut again = server.client().call("CreateInstance", &with_token("kept")).expect_ok();
    again["RequestId"] = answer["RequestId"].clone();
    assert_eq!(again, answer);
    server.wait_for(&id, "Normal");
    server.client().call("DeleteInstance", &[("InstanceId", &id)]).expect_ok();
    let replayed = server.client().call("CreateInstance", &with_token("kept")).expect_ok();
    assert_eq!(replayed["InstanceId"], answer["InstanceId"]);
    assert_eq!(total(&server), 0);
}

#[test]
fn a_refused_call_uses_no_token_up() {
    let server = Ourkv::start();
    server.cli(&["account", "set", "--real-name", "false"]);
    let refused = server.client().call("CreateInstance", &with_token("again"));
    assert_eq!(refused.refusal().1, "RealNameAuthenticationError");
    server.cli(&["account", "set", "--real-name", "true"]);
    let other = [with_token("again").as_slice(), &[("InstanceName", "other")]].concat();
    server.client().call("CreateInstance", &other).expect_ok();
}

#[test]
fn two_accounts_do_not_see_each_others_tokens_nor_instances() {
    let server = Ourkv::start();
    let made = server.cli(&[
        "account",
        "create",
        "--name",
        "other",
        "--real-name",
        "true",
        "--payment-method",
        "true",
        "--balance",
        "1000",
        "--postpaid-quota",
        "1",
        "--postpaid-quota-per-region",
        "1",
        "--output",
        "json",
    ]);
    let account: serde_json::Value = serde_json::from_str(&made).unwrap();
    let made = server.cli(&[
        "key",
        "create",
        "--account",
        account["id"].as_str().unwrap(),
        "--output",
        "json",
    ]);
    let key: serde_json::Value = serde_json::from_str(&made).unwrap();
    let (id, secret) = (key["id"].as_str().unwrap(), key["secret"].as_str().unwrap());
    let other = crate::common::Client::new(&server.address, id, secret);
    let mine = server.client().call("CreateInstance", &with_token("shared")).expect_ok();
    let theirs = other.call("CreateInstance", &with_token("shared")).expect_ok();
    let mine = mine["InstanceId"].as_str().unwrap();
    assert_ne!(theirs["InstanceId"], mine);
    for action in ["DescribeInstanceAttribute", "DeleteInstance"] {
        other.call(action, &[("InstanceId", mine)]).expect_refusal(
            404,
            "InvalidInstanceId.NotFound",
            "The InstanceId provided does not exist in our records.",
        );
    }
    assert_eq!(other.call("DescribeInstances", &[]).expect_ok()["TotalCount"], 1);
}
