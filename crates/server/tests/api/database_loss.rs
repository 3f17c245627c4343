//! What is left of it all when the database is away, or is lost between a commit and its answer.

use ourkv_store::testing::TemporaryPostgres;
use redis::Commands;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Ourkv, PASSWORD};
use crate::relay::Relay;
use crate::tenant::{engines, id, log_in_with, login};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");

fn served_through_a_relay() -> (Relay, Ourkv) {
    let (relay, url) = Relay::before(&TemporaryPostgres::shared().url());
    let server = Ourkv::start_with(&[], &[("OURKV_DATABASE", &url)]);
    (relay, server)
}

/// How many instances the account has, and how many have a directory.
fn count(server: &Ourkv) -> (usize, usize) {
    let listed = server.client().call("DescribeInstances", &[("RegionId", "cn-hongkong")]);
    let listed = listed.expect_ok();
    (listed["Instances"]["KVStoreInstance"].as_array().unwrap().len(), server.engine_dirs().len())
}

#[test]
fn a_commit_whose_answer_is_lost_is_done_once() {
    let (relay, server) = served_through_a_relay();
    for round in 1..=6_usize {
        let token = format!("token-{round}");
        let params = [
            ("RegionId", "cn-hongkong"),
            STANDALONE,
            ("Password", PASSWORD),
            ("Token", token.as_str()),
        ];
        relay.lose_commits(u32::try_from(round % 3 + 1).unwrap());
        let mut replies = Vec::new();
        // As an SDK does: the same call again, until there is an answer.
        server.until("there is an answer", |server| {
            let reply = server.client().call("CreateInstance", &params);
            replies.push(reply.status);
            reply.status == 200
        });
        assert!(replies.iter().all(|status| [200, 500, 503].contains(status)), "{replies:?}");
        let again = server.client().call("CreateInstance", &params).expect_ok();
        server.wait_for(id(&again), "Normal");
        assert_eq!(count(&server), (round, round), "{replies:?}");
    }
    assert!(relay.lost_commits() >= 6, "{} commits were lost", relay.lost_commits());
    delete_all(&server, &relay);
}

/// Deletes everything while commits get lost, and sees that all of it goes.
fn delete_all(server: &Ourkv, relay: &Relay) {
    let listed = server.client().call("DescribeInstances", &[("RegionId", "cn-hongkong")]);
    let listed = listed.expect_ok()["Instances"]["KVStoreInstance"].clone();
    relay.lose_commits(8);
    for instance in listed.as_array().unwrap() {
        let id = instance["InstanceId"].as_str().unwrap();
        server.until("it is deleted", |server| {
            let reply = server.client().call("DeleteInstance", &[("InstanceId", id)]);
            // Where the answer was lost, the instance is gone already.
            reply.status == 200 || reply.status == 404
        });
    }
    server.until("nothing is left", |server| server.engine_dirs().is_empty());
    assert_eq!(count(server), (0, 0));
}

#[test]
fn engines_and_failover_go_on_without_the_database() {
    let (relay, server) = served_through_a_relay();
    let alone = server.normal(&[STANDALONE, ("EngineVersion", "4.0")]);
    let pair =
        server.normal(&[("InstanceClass", "redis.master.small.default"), ("EngineVersion", "4.0")]);
    let mut tenant = login(&pair);
    let () = tenant.set("key", "value").unwrap();
    assert_eq!(redis::cmd("WAIT").arg(&[1, 5000]).query::<u32>(&mut tenant).unwrap(), 1);
    let before = engines(&server.dir);

    relay.go_away();
    let reply = server.client().call("DescribeInstances", &[("RegionId", "cn-hongkong")]);
    assert_eq!(reply.refusal().0, 503, "{}", reply.text);
    assert_eq!(reply.refusal().1, "ServiceUnavailable");
    for created in [&alone, &pair] {
        kill_process(master_of(&before, created), Signal::KILL).unwrap();
    }
    for created in [&alone, &pair] {
        server.until("it serves again", |_| {
            log_in_with(created, PASSWORD)
                .is_ok_and(|mut tenant| tenant.set::<_, _, ()>("again", "x").is_ok())
        });
    }
    assert_eq!(login(&pair).get::<_, String>("key").unwrap(), "value");

    relay.come_back();
    for created in [&alone, &pair] {
        server.until("the API answers", |server| {
            let params = [("InstanceId", id(created))];
            server.client().call("DescribeInstanceAttribute", &params).status == 200
        });
        server.wait_for(id(created), "Normal");
    }
    server.until("the journal has it", |server| {
        let told = server.cli(&["events", id(&pair)]);
        told.contains("FailedOver")
    });
    let after = engines(&server.dir);
    let second = before.iter().find(|(dir, _)| dir.ends_with("/1")).unwrap();
    assert_eq!(after.get(second.0), Some(second.1), "the replica took over and stays");
    assert_eq!(after.len(), before.len());
}

fn master_of(engines: &std::collections::BTreeMap<String, u32>, created: &Value) -> Pid {
    let is_its = |dir: &str| dir.contains(id(created)) && dir.ends_with("/0");
    let (_, pid) = engines.iter().find(|(dir, _)| is_its(dir)).unwrap();
    Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap()
}
