//! Every step of create and delete, broken in every way: the instance ends `Normal` or in
//! nothing at all, and nothing is left behind.

use std::time::{Duration, Instant};

use crate::common::{Ourkv, PASSWORD};
use rstest::rstest;
use serde_json::Value;

/// How long a held step is watched before the process is killed around it.
const HOLD: Duration = Duration::from_millis(300);

const STANDALONE: &[(&str, &str)] = &[("InstanceClass", "redis.basic.small.default")];
const PAIR: &[(&str, &str)] = &[("InstanceClass", "redis.master.small.default")];
const CACHE: &[(&str, &str)] =
    &[("InstanceClass", "memcache.master.small.default"), ("InstanceType", "Memcache")];

/// How a step is broken.
#[derive(Debug, Clone, Copy)]
enum Break {
    /// It fails once.
    Error,
    /// The process ends there, as by kill -9.
    Abort,
    /// It hangs, and the process is killed while it does.
    Pause,
}

impl Break {
    fn action(self) -> &'static str {
        match self {
            Self::Error => "1*return(error)->off",
            Self::Abort => "return(abort)",
            Self::Pause => "pause",
        }
    }
}

#[rstest]
fn whatever_breaks_it_ends_whole_or_gone(
    #[values(Break::Error, Break::Abort, Break::Pause)] how: Break,
    #[values(STANDALONE, PAIR, CACHE)] shape: &[(&str, &str)],
) {
    let points = points_of_lives();
    assert!(points.len() > 20, "{points:?}");
    for point in points {
        survives(&point, how, shape);
    }
}

/// Beginnings of the names of steps that only restores, proofs and removals of backups have, and
/// backups that fail; [`crate::backup_steps`] breaks those.
const ELSEWHERE: [&str; 13] = [
    "fetch",
    "stage",
    "prove",
    "swap",
    "record_restored",
    "give_up_restore",
    "tidy",
    "backup_clear",
    "backup_fail",
    "backup_prove",
    "backup_record_proof",
    "backup_remove",
    "backup_forget",
];

/// The failpoints between the creation of an instance and the end of its last backup.
pub(crate) fn points_of_lives() -> Vec<String> {
    let elsewhere = |point: &String| ELSEWHERE.iter().any(|name| point.starts_with(name));
    points().into_iter().filter(|point| !elsewhere(point)).collect()
}

/// Beginnings of the names of steps that only a change of masters has; [`crate::failover`] breaks
/// those.
const OF_ROLES: [&str; 10] = [
    "fence",
    "elect",
    "take_over",
    "declare",
    "promote",
    "halt",
    "demote",
    "give_up_switch",
    "record_switched",
    "journal",
];

/// The same of a change of passwords; [`crate::passwords`] breaks those.
const OF_PASSWORDS: [&str; 3] = ["admit_password", "record_password", "dismiss_passwords"];

fn is_of_passwords(point: &str) -> bool {
    OF_PASSWORDS.iter().any(|name| point.starts_with(name))
}

/// The failpoints of a change of passwords.
pub(crate) fn points_of_passwords() -> Vec<String> {
    all_points().into_iter().filter(|point| is_of_passwords(point)).collect()
}

fn is_of_roles(point: &str) -> bool {
    OF_ROLES.iter().any(|name| point.starts_with(name))
}

/// The failpoints of a change of masters.
pub(crate) fn points_of_roles() -> Vec<String> {
    all_points().into_iter().filter(|point| is_of_roles(point)).collect()
}

/// Whitelists are put in force only where a test has a network of its own: `tests/cli/whitelist.rs`.
fn is_of_whitelists(point: &str) -> bool {
    point.starts_with("guard_")
}

/// All other failpoints.
pub(crate) fn points() -> Vec<String> {
    let others =
        |point: &String| !is_of_roles(point) && !is_of_passwords(point) && !is_of_whitelists(point);
    all_points().into_iter().filter(others).collect()
}

fn all_points() -> Vec<String> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ourkv"));
    let output = command.args(["failpoints", "--output", "json"]).output().unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned());
    names.collect()
}

/// Creates and deletes with the point set, then without; what is left in between must be whole.
fn survives(point: &str, how: Break, shape: &[(&str, &str)]) {
    let set = format!("{point}={}", how.action());
    let mut server = Ourkv::start_with(&[], &[("FAILPOINTS", &set)]);
    let acknowledged = create(&mut server, shape);
    if let Some((id, true)) = &acknowledged {
        delete(&mut server, id);
    }
    server.restart(&[]);
    let answer = server.client().call("CreateInstance", &request(shape)).expect_ok();
    let id = answer["InstanceId"].as_str().unwrap();
    if let Some((acknowledged, _)) = acknowledged {
        assert_eq!(id, acknowledged, "{point} {how:?}: the token stands for what was acknowledged");
    }
    if is_listed(&server, id) {
        server.wait_for(id, "Normal");
        server.client().call("DeleteInstance", &[("InstanceId", id)]).expect_ok();
    }
    server.until(&format!("{point} {how:?}: nothing left"), |server| {
        server.engine_dirs().is_empty() && capacity_used(server) == 0
    });
}

fn request<'a>(shape: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("RegionId", "cn-hongkong"), ("Token", "the-one"), ("Password", PASSWORD)], shape].concat()
}

/// Calls until the instance is `Normal`, the process died or the step hangs; returns the id that
/// was acknowledged, if any was, and whether it became `Normal`.
fn create(server: &mut Ourkv, shape: &[(&str, &str)]) -> Option<(String, bool)> {
    let mut id = None;
    let normal = reach(server, |server| {
        let reply = server.client().try_call("CreateInstance", &request(shape)).ok()?;
        let created = reply.json()["InstanceId"].as_str()?.to_owned();
        let created = id.insert(created);
        Some(status(server, created)? == "Normal")
    });
    Some((id?, normal))
}

/// Deletes, and waits until nothing is left, the process died or the step hangs.
fn delete(server: &mut Ourkv, id: &str) {
    reach(server, |server| {
        let reply = server.client().try_call("DeleteInstance", &[("InstanceId", id)]).ok()?;
        Some(matches!(reply.status, 200 | 404) && server.engine_dirs().is_empty())
    });
}

/// Tries until `done`; gives up when the process died, or when nothing was reached for so long
/// that the step must be held.
fn reach(server: &mut Ourkv, mut done: impl FnMut(&Ourkv) -> Option<bool>) -> bool {
    let began = Instant::now();
    while server.runs() {
        if done(server) == Some(true) {
            return true;
        }
        if holds(server) && began.elapsed() > HOLD {
            return false;
        }
        assert!(began.elapsed() < crate::common::PATIENCE, "{}", server.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn holds(server: &Ourkv) -> bool {
    server.env("FAILPOINTS").is_some_and(|set| set.ends_with("pause"))
}

fn status(server: &Ourkv, id: &str) -> Option<String> {
    let reply =
        server.client().try_call("DescribeInstanceAttribute", &[("InstanceId", id)]).ok()?;
    let attributes = &reply.json()["Instances"]["DBInstanceAttribute"][0];
    attributes["InstanceStatus"].as_str().map(str::to_owned)
}

fn is_listed(server: &Ourkv, id: &str) -> bool {
    let reply = server.client().call("DescribeInstances", &[("InstanceIds", id)]);
    reply.expect_ok()["TotalCount"] == 1
}

fn capacity_used(server: &Ourkv) -> i64 {
    let zones: Value =
        serde_json::from_str(&server.cli(&["zone", "ls", "--output", "json"])).unwrap();
    zones.as_array().unwrap().iter().filter_map(|zone| zone["used_mb"].as_i64()).sum()
}
