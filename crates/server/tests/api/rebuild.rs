//! A store that is lost is made again of what lies beside the data of instances, and of nothing
//! that can't be believed. Engines notice none of it.

use std::fs;
use std::path::{Path, PathBuf};

use redis::Commands;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::Ourkv;
use crate::tenant::{engines, fill, id, login};

const MEMCACHE: &[(&str, &str)] =
    &[("InstanceType", "Memcache"), ("InstanceClass", "memcache.master.small.default")];

/// The directory of an instance.
fn directory(server: &Ourkv, instance: &str) -> PathBuf {
    let mut dirs = server.engine_dirs().into_iter();
    let starts = format!("{instance}.");
    dirs.find(|dir| dir.file_name().unwrap().to_str().unwrap().starts_with(&starts)).unwrap()
}

fn manifest(server: &Ourkv, instance: &str) -> PathBuf {
    directory(server, instance).join("instance.json")
}

/// The row of an instance in its manifest.
fn told(path: &Path) -> Option<Value> {
    let text: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some(text["manifest"]["rows"]["instances"][0].clone())
}

/// Waits until the manifest says of the instance what `tells` wants.
fn until_told(server: &Ourkv, instance: &str, what: &str, tells: impl Fn(&Value) -> bool) {
    let path = manifest(server, instance);
    server.until(&format!("the manifest tells {what}"), |_| {
        told(&path).is_some_and(|row| tells(&row))
    });
}

pub(crate) fn answered(row: &Value) -> bool {
    row["phase"] != "Creating"
}

pub(crate) fn until_kept(server: &Ourkv, instance: &str) {
    until_told(server, instance, "that it answered", answered);
}

/// Removes the store, as an accident would.
fn lose_store(server: &Ourkv) {
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(server.dir.join(format!("ourkv.db{ending}")));
    }
}

fn rebuild(server: &Ourkv) -> Vec<Value> {
    rows(&server.cli(&["doctor", "--rebuild", "--output", "json"]))
}

fn rows(printed: &str) -> Vec<Value> {
    serde_json::from_str(printed).unwrap()
}

/// Kills the engine that an instance began with as its master, once there is another.
fn kill_first(server: &Ourkv, instance: &str) {
    let of = |member: &str| {
        let dir = directory(server, instance).join(member);
        engines(&server.dir).get(dir.to_str().unwrap()).copied()
    };
    server.until("both run", |_| of("0").is_some() && of("1").is_some());
    server.wait_for(instance, "Normal");
    let pid = Pid::from_raw(of("0").unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// What [`fill`] put there.
fn string(created: &Value) -> String {
    login(created).get("string").unwrap()
}

/// What the API tells of an instance, but for what may change.
fn attributes(server: &Ourkv, instance: &str) -> Value {
    let mut attributes = server.attributes(instance);
    for changing in ["InstanceStatus", "SecurityIPList"] {
        attributes[changing] = Value::Null;
    }
    attributes
}

#[test]
fn the_data_directory_alone_makes_the_store_again() {
    let mut server = Ourkv::start();
    let (_, vswitch) = server.vswitch("cn-hongkong-b", "172.16.7.0/24");
    let vpc = server.cli(&["vpc", "ls", "--output", "json"]);
    let vpc = rows(&vpc).into_iter().find(|vpc| vpc["name"] == "lab").unwrap()["id"].clone();
    let network = [
        ("NetworkType", "VPC"),
        ("VpcId", vpc.as_str().unwrap()),
        ("VSwitchId", vswitch.as_str()),
        ("ZoneId", "cn-hongkong-b"),
        ("InstanceName", "keep-me"),
    ];
    let distant = server.normal(&network);
    let pair = server.normal(&[]);
    let single = server.normal(&[("InstanceClass", "redis.basic.small.default")]);
    let cache = server.normal(MEMCACHE);
    let switched = [("InstanceId", id(&single)), ("PreferredBackupPeriod", "Monday")];
    let policy = [&switched[..], &[("PreferredBackupTime", "03:00Z-04:00Z")]].concat();
    server.client().call("ModifyBackupPolicy", &policy).expect_ok();
    fill(&mut login(&pair), "kept");
    server.back_up(id(&pair));
    for created in [&distant, &pair, &single, &cache] {
        until_kept(&server, id(created));
    }
    server.until("manifests tell of backup and policy", |server| {
        let text = |created| fs::read_to_string(manifest(server, id(created))).unwrap();
        text(&pair).contains("Success") && text(&single).contains("03:00Z-04:00Z")
    });
    let before: Vec<_> =
        [&distant, &pair, &single, &cache].map(|created| attributes(&server, id(created))).into();
    let (pids, used) = (engines(&server.dir), server.cli(&["zone", "ls"]));
    let (accounts, keys) = (server.cli(&["account", "ls"]), server.cli(&["key", "ls"]));

    server.kill();
    lose_store(&server);
    let refused = server.try_serve().unwrap_err();
    assert!(refused.contains("is gone") && refused.contains("ourkv doctor --rebuild"), "{refused}");
    assert!(!server.try_cli(&["ls"]).status.success(), "no command begins a store anew, either");
    assert!(!server.dir.join("ourkv.db").exists());
    let made = rebuild(&server);
    assert_eq!(made.len(), 4);
    assert!(made.iter().all(|row| row["state"] == "rebuilt"), "{made:?}");
    assert_eq!(engines(&server.dir), pids);
    server.serve();
    for (created, before) in [&distant, &pair, &single, &cache].into_iter().zip(before) {
        server.wait_for(id(created), "Normal");
        assert_eq!(attributes(&server, id(created)), before);
    }
    assert_eq!(engines(&server.dir), pids, "no engine was touched");
    assert_eq!(string(&pair), "kept");
    login(&single);
    assert_eq!(server.cli(&["zone", "ls"]), used);
    assert_eq!(server.cli(&["account", "ls"]), accounts);
    assert_eq!(server.cli(&["key", "ls"]), keys);
    let policy = server.client().call("DescribeBackupPolicy", &[("InstanceId", id(&single))]);
    assert_eq!(policy.expect_ok()["PreferredBackupTime"], "03:00Z-04:00Z");
    assert_eq!(server.backups(id(&pair))[0]["BackupStatus"], "Success");
    let next = server.normal(&network);
    assert_ne!(next["PrivateIpAddr"], distant["PrivateIpAddr"]);
    server.client().call("DeleteInstance", &[("InstanceId", id(&cache))]).expect_ok();
    server.until("it is removed", |server| server.engine_dirs().len() == 4);
}

#[test]
fn what_cannot_be_believed_is_named_and_the_rest_is_made() {
    let mut server = Ourkv::start();
    let small = &[("InstanceClass", "redis.basic.small.default")];
    let created: Vec<_> = (0..4).map(|_| server.normal(small)).collect();
    for one in &created {
        until_kept(&server, id(one));
    }
    let pids = engines(&server.dir);
    server.kill();
    lose_store(&server);
    let path = |at: usize| manifest(&server, id(&created[at]));
    let whole = fs::read(path(0)).unwrap();
    fs::write(path(0), &whole[..whole.len() / 2]).unwrap();
    let mut forged: Value = serde_json::from_slice(&fs::read(path(1)).unwrap()).unwrap();
    forged["manifest"]["rows"]["instances"][0]["serving_ip"] = json!(2_130_706_433);
    fs::write(path(1), forged.to_string()).unwrap();
    fs::copy(path(3), path(2)).unwrap();
    fs::write(path(3).with_extension("json.new"), &whole[..10]).unwrap();

    let done = server.try_cli(&["doctor", "--rebuild", "--output", "json"]);
    assert!(!done.status.success());
    let rows = rows(&String::from_utf8(done.stdout).unwrap());
    let found = |at: usize| {
        let row = rows
            .iter()
            .find(|row| row["directory"].as_str().unwrap().starts_with(id(&created[at])));
        row.unwrap()["found"].as_str().unwrap_or("rebuilt").to_owned()
    };
    assert!(found(0).contains("torn"), "{}", found(0));
    assert!(found(1).contains("forged"), "{}", found(1));
    assert!(found(2).contains(id(&created[3])), "{}", found(2));
    assert_eq!(found(3), "rebuilt");
    let talk = String::from_utf8(done.stderr).unwrap();
    assert!(talk.contains("engines of nobody"), "{talk}");

    server.serve();
    server.wait_for(id(&created[3]), "Normal");
    login(&created[3]);
    assert_eq!(engines(&server.dir), pids, "whom nobody knows is left alone");
    let doctor = server.try_cli(&["doctor"]);
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.contains("engines of nobody") && doctor.contains(id(&created[0])), "{doctor}");
}

#[test]
fn a_good_store_is_moved_aside_only_when_told() {
    let mut server = Ourkv::start();
    let created = server.normal(&[]);
    until_kept(&server, id(&created));
    let while_served = server.try_cli(&["doctor", "--rebuild", "--anew"]);
    assert!(!while_served.status.success(), "a server works on it");
    server.kill();
    let refused = server.try_cli(&["doctor", "--rebuild"]);
    let talk = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && talk.contains("--anew"), "{talk}");
    server.cli(&["doctor", "--rebuild", "--anew"]);
    let aside = fs::read_dir(&server.dir)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_str().unwrap().starts_with("ourkv.db.aside-"));
    assert_eq!(aside.count(), 1);
    server.serve();
    server.wait_for(id(&created), "Normal");
    login(&created);
}

#[test]
fn roles_are_those_of_the_last_decision() {
    let mut server = Ourkv::start();
    let created = server.normal(&[]);
    fill(&mut login(&created), "kept");
    let node = |server: &Ourkv| {
        let row = told(&manifest(server, id(&created))).unwrap();
        (row["master"].clone(), row["epoch"].clone())
    };
    until_kept(&server, id(&created));
    kill_first(&server, id(&created));
    until_told(&server, id(&created), "the new master", |row| {
        row["master"] == "second" && row["epoch"] == 1
    });
    server.wait_for(id(&created), "Normal");
    server.until("both run", |server| engines(&server.dir).len() == 2);
    let pids = engines(&server.dir);
    server.kill();
    lose_store(&server);
    fs::remove_file(directory(&server, id(&created)).join("role.json")).unwrap();
    rebuild(&server);
    server.serve();
    server.wait_for(id(&created), "Normal");
    assert_eq!(string(&created), "kept");
    assert_eq!(engines(&server.dir), pids);
    assert_eq!(node(&server), (json!("second"), json!(1)));
}

#[test]
fn an_earlier_copy_of_the_store_is_named_and_ends_nobody() {
    let mut server = Ourkv::start();
    let small = &[("InstanceClass", "redis.basic.small.default")];
    let first = server.normal(&[]);
    fill(&mut login(&first), "kept");
    until_kept(&server, id(&first));
    server.kill();
    let copy = server.dir.join("copy.db");
    for ending in ["", "-wal"] {
        let from = server.dir.join(format!("ourkv.db{ending}"));
        if from.exists() {
            fs::copy(from, server.dir.join(format!("copy.db{ending}"))).unwrap();
        }
    }
    server.serve();
    let second = server.normal(small);
    until_kept(&server, id(&second));
    server.wait_for(id(&first), "Normal");
    kill_first(&server, id(&first));
    until_told(&server, id(&first), "the new master", |row| row["epoch"] == 1);
    server.wait_for(id(&first), "Normal");
    server.until("both run", |server| engines(&server.dir).len() == 3);
    let pids = engines(&server.dir);
    server.kill();
    lose_store(&server);
    for ending in ["", "-wal"] {
        let from = PathBuf::from(format!("{}{ending}", copy.display()));
        if from.exists() {
            fs::copy(from, server.dir.join(format!("ourkv.db{ending}"))).unwrap();
        }
    }
    server.serve();
    server.wait_for(id(&first), "Normal");
    let log = server.log();
    assert!(log.contains("the store does not know instances"), "{log}");
    assert!(log.contains("the store is older than the manifests"), "{log}");
    assert_eq!(string(&first), "kept");
    assert_eq!(told(&manifest(&server, id(&first))).unwrap()["master"], "second");
    assert_eq!(engines(&server.dir), pids, "the engine that the store forgot goes on");
    login(&second);
    let doctor = String::from_utf8(server.try_cli(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("knows less") && doctor.contains(id(&second)), "{doctor}");

    server.kill();
    server.cli(&["doctor", "--rebuild", "--anew"]);
    server.serve();
    for created in [&first, &second] {
        server.wait_for(id(created), "Normal");
        login(created);
    }
    assert_eq!(engines(&server.dir), pids);
}
