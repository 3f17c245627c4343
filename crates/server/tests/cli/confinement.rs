//! `ourkv serve --confine`: who the engines are, and what `doctor` says about it.

use std::fs;

use ourkv_control::substrate::local::confine::{FIRST_USER, abilities};

use crate::common::Ourkv;

/// The finding of a check.
fn finding(server: &Ourkv, check: &str) -> serde_json::Value {
    let output = server.try_cli(&["doctor", "--output", "json"]);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = findings.as_array().unwrap().iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("{findings:#}")).clone()
}

/// The users of all engines of a server.
fn users(server: &Ourkv) -> Vec<String> {
    let root = server.dir.join("engines").canonicalize().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let engines = processes
        .filter(|path| fs::read_link(path.join("cwd")).is_ok_and(|d| d.starts_with(&root)));
    let status = engines.filter_map(|path| fs::read_to_string(path.join("status")).ok());
    status
        .map(|text| text.split_once("Uid:\t").unwrap().1.split('\t').next().unwrap().to_owned())
        .collect()
}

#[test]
fn each_instance_has_a_user_of_its_own_unless_the_operator_wants_none() {
    let mut server = Ourkv::start_with(&[], &[]);
    server.normal(&[]);
    server.normal(&[]);
    let mut confined = users(&server);
    confined.sort();
    let can = abilities(FIRST_USER);
    assert_eq!(finding(&server, "users of engines")["state"] == "ok", can.users.is_ok());
    assert_eq!(finding(&server, "files and ports of engines")["state"] == "ok", can.walls >= Ok(6));
    let own = rustix::process::geteuid().as_raw().to_string();
    if can.users.is_ok() {
        confined.dedup();
        assert!(confined.len() >= 2 && !confined.contains(&own), "{confined:?}");
    }
    // What runs goes on; what is started from now on is not confined.
    server.restart(&[("OURKV_ENGINES_CONFINE", "off")]);
    assert_eq!(finding(&server, "confinement")["state"], "warning");
    let mut after = users(&server);
    after.sort();
    after.dedup();
    assert_eq!(after, confined);
    server.kill();
    server.cli(&["down"]);
    server.serve();
    server.until("the engines run again", |server| users(server).len() >= 2);
    assert!(users(&server).iter().all(|user| *user == own));
}

#[test]
fn what_is_required_and_missing_keeps_the_server_from_starting() {
    let can = abilities(FIRST_USER);
    let mut server = Ourkv::prepare(&["--confine", "require"], &[]);
    if can.users.is_ok() && can.walls.is_ok() {
        server.serve();
        server.normal(&[]);
        return;
    }
    let missing = can.missing().unwrap();
    let output = server.try_cli(&["serve", "--listen", "127.0.0.1:0", "--confine", "require"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains(missing), "{told}");
}
