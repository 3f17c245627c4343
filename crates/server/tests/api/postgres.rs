//! The same program on PostgreSQL: one control plane, and two on one database.

use std::collections::HashSet;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use ourkv_store::testing::TemporaryPostgres;
use ourkv_wire::Format;

use crate::common::{Client, KEY_ID, KEY_SECRET, Ourkv};
use crate::rebuild::until_kept;
use crate::tenant::{engines, id, login};

const TOKEN: [(&str, &str); 3] = [
    ("RegionId", "cn-hongkong"),
    ("InstanceClass", "redis.basic.small.default"),
    ("Token", "once"),
];

/// A second control plane on the database of the first; it needs the same key file.
pub(crate) fn beside(first: &Ourkv, env: &[(&str, &str)]) -> Ourkv {
    let mut second = Ourkv::prepare(&[], env);
    let key = std::fs::read(first.dir.join("secret.key")).unwrap();
    furnish(&second, &key);
    second.serve();
    second
}

/// Makes the data directory of a server that is not started yet, with that key in it.
fn furnish(server: &Ourkv, key: &[u8]) {
    std::fs::DirBuilder::new().mode(0o700).create(&server.dir).unwrap();
    let mut open = std::fs::OpenOptions::new();
    let file = open.write(true).create_new(true).mode(0o600);
    let mut file = file.open(server.dir.join("secret.key")).unwrap();
    std::io::Write::write_all(&mut file, key).unwrap();
}

#[test]
fn control_planes_that_start_at_once_make_one_root_account() {
    let url = TemporaryPostgres::shared().url();
    let environment = [("OURKV_DATABASE", url.as_str())];
    let mut planes: Vec<_> = (0..4).map(|_| Ourkv::prepare(&[], &environment)).collect();
    for plane in &planes {
        furnish(plane, &[7; 32]);
    }
    std::thread::scope(|scope| {
        for plane in &mut planes {
            scope.spawn(|| plane.serve());
        }
    });
    let accounts = planes[0].cli(&["account", "ls", "--output", "json"]);
    let accounts: Vec<serde_json::Value> = serde_json::from_str(&accounts).unwrap();
    assert_eq!(accounts.len(), 1, "{accounts:?}");
}

#[test]
fn an_instance_comes_up_and_goes() {
    let url = TemporaryPostgres::shared().url();
    let server = Ourkv::start_with(&[], &[("OURKV_DATABASE", &url)]);
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    server.client().call("DeleteInstance", &[("InstanceId", id)]).expect_ok();
    server.until("nothing left", |server| server.engine_dirs().is_empty());
}

#[test]
fn a_lost_database_is_filled_from_the_manifests() {
    let urls = [(); 2].map(|()| TemporaryPostgres::shared().url());
    let mut server = Ourkv::start_with(&[], &[("OURKV_DATABASE", &urls[0])]);
    let created = server.normal(&[]);
    until_kept(&server, id(&created));
    let pids = engines(&server.dir);
    server.kill();
    server.set_env(&[("OURKV_DATABASE", &urls[1])]);
    let refused = server.try_serve().unwrap_err();
    assert!(refused.contains("ourkv doctor --rebuild"), "{refused}");
    server.cli(&["doctor", "--rebuild"]);
    server.cli(&["doctor", "--rebuild"]);
    server.serve();
    server.wait_for(id(&created), "Normal");
    login(&created);
    assert_eq!(engines(&server.dir), pids);
}

#[test]
fn two_control_planes_share_nonces_and_tokens() {
    let url = TemporaryPostgres::shared().url();
    let env = [("OURKV_DATABASE", &*url)];
    let first = Ourkv::start_with(&[], &env);
    let second = beside(&first, &env);
    // The host is not part of a v1 signature, so one request fits both.
    let request = first.client().sign_v1("DescribeRegions", &[], Format::Json);
    first.client().send(&request).expect_ok();
    assert_eq!(second.client().send(&request).refusal().1, "SignatureNonceUsed");

    let addresses = [&first.address, &second.address];
    let ids: HashSet<String> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..40)
            .map(|n| {
                let client = Client::new(addresses[n % 2], KEY_ID, KEY_SECRET);
                scope.spawn(move || {
                    let answer = client.call("CreateInstance", &TOKEN).expect_ok();
                    answer["InstanceId"].as_str().unwrap().to_owned()
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1);
    let id = ids.into_iter().next().unwrap();
    second.wait_for(&id, "Normal");
    assert_eq!(first.engine_dirs().len() + second.engine_dirs().len(), 1);
}
