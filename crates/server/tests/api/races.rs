//! Quota, stock and addresses under many callers at once: exactly as many as there is room for.

use std::collections::HashSet;

use crate::common::{Ourkv, Reply};

const ROOM: usize = 10;
const CALLERS: usize = 200;

/// All callers at once, each for an instance of its own.
fn rush(server: &Ourkv, params: &[(&str, &str)]) -> Vec<Reply> {
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| scope.spawn(|| server.client().call("CreateInstance", params)))
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

fn check(replies: &[Reply], refusal: &str) {
    let (made, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!(made.len(), ROOM);
    let addresses: HashSet<_> =
        made.iter().map(|reply| reply.json()["PrivateIpAddr"].to_string()).collect();
    assert_eq!(addresses.len(), ROOM);
    for reply in refused {
        assert_eq!(reply.refusal().1, refusal);
    }
}

const SMALL: [(&str, &str); 3] = [
    ("RegionId", "cn-hongkong"),
    ("InstanceClass", "redis.basic.small.default"),
    ("ZoneId", "cn-hongkong-b"),
];

#[test]
fn the_quota_of_the_account_is_exact_and_comes_back() {
    let server = Ourkv::start();
    server.cli(&["account", "set", "--postpaid-quota", &ROOM.to_string()]);
    let replies = rush(&server, &SMALL);
    check(&replies, "QuotaExceed.AfterpayInstance");
    let made = replies.iter().find(|reply| reply.status == 200).unwrap().json();
    let id = made["InstanceId"].as_str().unwrap();
    server.wait_for(id, "Normal");
    server.client().call("DeleteInstance", &[("InstanceId", id)]).expect_ok();
    server.client().call("CreateInstance", &SMALL).expect_ok();
    assert_eq!(server.client().call("CreateInstance", &SMALL).status, 400);
}

#[test]
fn the_stock_of_a_zone_is_exact() {
    let server = Ourkv::start();
    let quota = (ROOM * 1024 + 1023).to_string();
    server.cli(&["zone", "set", "cn-hongkong-b", "--quota-mb", &quota]);
    check(&rush(&server, &SMALL), "QuotaNotEnough");
}

#[test]
fn the_last_address_of_a_vswitch_is_given_once() {
    let server = Ourkv::start();
    // A /28 has eleven addresses for instances; one is taken first.
    let (vpc, vswitch) = server.vswitch("cn-hongkong-b", "172.16.0.0/28");
    let network = [("NetworkType", "VPC"), ("VpcId", &*vpc), ("VSwitchId", &*vswitch)];
    let params = [&SMALL[..], &network].concat();
    server.client().call("CreateInstance", &params).expect_ok();
    check(&rush(&server, &params), "AllocateVpcIp.NotEnough");
}
