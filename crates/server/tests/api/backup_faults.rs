//! Backups and restores cut off: by errors, kills, engines that die, disks that are full, stores
//! that fail. What is not whole is never offered, nothing is left, and the next one works.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use redis::Commands;
use rstest::rstest;
use serde_json::Value;

use crate::common::Ourkv;
use crate::own_namespace::with_own_mounts;
use crate::saver::Saver;
use crate::shelf::{backup_id, download, text};
use crate::tenant::{bulk, content, engines, fill, id, login, noise};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");

/// So many keys that saving them can be caught.
const MANY: usize = 200_000;

/// Whatever is listed as a success can be had, and has what it should; nothing else is left.
#[track_caller]
pub(crate) fn only_whole_ones_are_listed(server: &Ourkv, instance: &str, why: &str) {
    server.until(&format!("{why}: nothing is under way"), |server| server.is_idle(instance));
    for backup in server.backups(instance) {
        if backup["BackupStatus"] == "Success" {
            let file = download(backup["BackupDownloadURL"].as_str().unwrap());
            assert_eq!(file.status, 200, "{why}: {backup}");
            assert_eq!(backup["BackupSize"], file.bytes.len(), "{why}");
        } else {
            assert_eq!(backup["BackupStatus"], "Failed", "{why}");
        }
    }
    server.until_tidy(why);
}

/// Why the operator is told that a backup failed.
fn reason(server: &Ourkv, backup: &Value) -> String {
    let rows = server.operators_backups();
    let row = rows.iter().find(|row| text(&row["id"]) == backup_id(backup)).unwrap();
    row["reason"].as_str().unwrap().to_owned()
}

#[rstest]
fn an_engine_that_dies_while_it_saves_fails_the_backup_only(
    #[values(STANDALONE, PAIR)] class: (&str, &str),
    #[values("2.8", "4.0", "5.0")] version: &str,
) {
    let server = Ourkv::start();
    let created = server.normal(&[class, ("EngineVersion", version)]);
    bulk(&mut login(&created), MANY);
    let (job, saver) = Saver::hold(&server, id(&created));
    saver.kill_engine();
    let backup = server.finished(id(&created), &job);
    assert_eq!(backup["BackupStatus"], "Failed", "{backup}");
    assert_ne!(reason(&server, &backup), "");
    server.wait_for(id(&created), "Normal");
    only_whole_ones_are_listed(&server, id(&created), "after the death of an engine");
    server.back_up(id(&created));
    only_whole_ones_are_listed(&server, id(&created), "after the next backup");
}

#[test]
fn a_save_that_fails_fails_the_backup_with_the_engines_reason() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    let mut tenant = login(&created);
    bulk(&mut tenant, MANY);
    let (job, saver) = Saver::hold(&server, id(&created));
    saver.kill();
    let backup = server.finished(id(&created), &job);
    assert_eq!(backup["BackupStatus"], "Failed", "{backup}");
    assert_ne!(reason(&server, &backup), "");
    let () = tenant.set("written", "after a failed save").unwrap();
    only_whole_ones_are_listed(&server, id(&created), "after a failed save");
    server.back_up(id(&created));
}

#[test]
fn a_kill_while_an_engine_saves_fails_the_backup_and_leaves_the_engine() {
    let mut server = Ourkv::start();
    let created = server.normal(&[PAIR]);
    bulk(&mut login(&created), MANY);
    let before = engines(&server.dir);
    let (job, saver) = Saver::hold(&server, id(&created));
    server.restart(&[]);
    let backup = server.finished(id(&created), &job);
    assert_eq!(backup["BackupStatus"], "Failed", "{backup}");
    drop(saver);
    server.back_up(id(&created));
    only_whole_ones_are_listed(&server, id(&created), "after a kill");
    assert_eq!(engines(&server.dir), before);
}

#[rstest]
fn an_instance_that_is_deleted_while_it_is_saved_leaves_a_last_backup_or_none(
    #[values("true", "false")] last: &str,
) {
    let server = Ourkv::start_with(&[], &[("OURKV_BACKUP_FINAL", last)]);
    let created = server.normal(&[PAIR]);
    bulk(&mut login(&created), MANY);
    let (_, saver) = Saver::hold(&server, id(&created));
    server.client().call("DeleteInstance", &[("InstanceId", id(&created))]).expect_ok();
    drop(saver);
    server.until("it is gone", |server| server.engine_dirs().is_empty());
    server.until("nothing is under way", |server| {
        let rows = server.operators_backups();
        rows.iter().all(|row| row["status"] == "Success" || row["status"] == "Failed")
    });
    server.until_tidy("after a deletion during a save");
    let usable = |row: &&Value| row["status"] == "Success" && row["mode"] == "Final";
    let lasts = server.operators_backups().iter().filter(usable).count();
    assert_eq!(lasts, usize::from(last == "true"), "{:?}", server.operators_backups());
}

/// A place that is asked to keep backups and does not.
#[derive(Debug, Clone, Copy)]
enum BadStore {
    Fails,
    Hangs,
    CutsConnections,
}

impl BadStore {
    /// Starts it; its address.
    fn start(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(connection) = connection else { return };
                std::thread::spawn(move || answer(connection, self));
            }
        });
        address
    }
}

/// Reads requests, and answers each of them badly.
fn answer(mut connection: std::net::TcpStream, store: BadStore) {
    let mut bytes = vec![0; 65_536];
    while connection.read(&mut bytes).is_ok_and(|read| read > 0) {
        match store {
            BadStore::Hangs => {}
            BadStore::CutsConnections => return,
            BadStore::Fails => {
                let fault = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
                let _ = connection.write_all(fault.as_bytes());
            }
        }
    }
}

#[rstest]
fn a_store_that_is_no_use_fails_the_backup_and_nothing_else(
    #[values(BadStore::Fails, BadStore::Hangs, BadStore::CutsConnections)] store: BadStore,
) {
    let endpoint = format!("http://{}", store.start());
    let bucket = [
        ("OURKV_BACKUP_URL", "s3://backups/here"),
        ("OURKV_BACKUP_ENDPOINT", &*endpoint),
        ("OURKV_BACKUP_REGION", "us-east-1"),
        ("OURKV_BACKUP_ALLOW_HTTP", "true"),
        ("OURKV_BACKUP_ACCESS_KEY_ID", "test"),
        ("OURKV_BACKUP_SECRET_ACCESS_KEY", "secret-of-the-bucket"),
    ];
    let mut server = Ourkv::start_with(&[], &bucket);
    let created = server.normal(&[STANDALONE]);
    let mut tenant = login(&created);
    fill(&mut tenant, "kept");
    let before = content(&mut tenant);
    let job = server.ask_for_backup(id(&created));
    match store {
        // How long it is waited for is not for here.
        BadStore::Hangs => server.until("it is under way", |server| {
            let tasks = server.backup_tasks(id(&created));
            tasks.iter().any(|task| task["BackupProgressStatus"] == "Preparing")
        }),
        BadStore::Fails | BadStore::CutsConnections => {
            let backup = server.finished(id(&created), &job);
            assert_eq!(backup["BackupStatus"], "Failed", "{backup}");
        }
    }
    assert_eq!(content(&mut tenant), before);
    server.wait_for(id(&created), "Normal");
    // A store that works, from then on.
    server.restart(&[]);
    let backup = server.finished(id(&created), &job);
    assert_eq!(backup["BackupStatus"], "Failed", "{backup}");
    let why = reason(&server, &backup);
    assert!(!why.is_empty() && !why.contains("secret-of-the-bucket"), "{why}");
    assert!(!server.log().contains("secret-of-the-bucket"));
    server.back_up(id(&created));
    only_whole_ones_are_listed(&server, id(&created), "with another store");
}

pub(crate) fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

/// A backup for which there is no room on the disk below `directory`, and one after room was made.
fn without_room(directory: &str) {
    let server = Ourkv::start();
    let full = server.dir.join(directory);
    server.until("there is a place for it", |_| full.is_dir());
    let full = full.to_str().unwrap();
    run("mount", &["-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", full]);
    let created = server.normal(&[STANDALONE]);
    let mut tenant = login(&created);
    fill(&mut tenant, "kept");
    let () = tenant.set("noise", noise(8 << 20)).unwrap();
    let job = server.ask_for_backup(id(&created));
    let backup = server.finished(id(&created), &job);
    assert_eq!(backup["BackupStatus"], "Failed", "{backup}");
    let why = reason(&server, &backup);
    assert_ne!(why, "");
    server.until_tidy("after a full disk");
    let () = tenant.set("written", "meanwhile").unwrap();
    assert_eq!(server.attributes(id(&created))["InstanceStatus"], "Normal");

    run("mount", &["-o", "remount,size=64m", full]);
    server.back_up(id(&created));
    only_whole_ones_are_listed(&server, id(&created), "with room again");
}

#[test]
fn a_full_disk_of_backups_fails_the_backup_until_there_is_room() {
    let name = "backup_faults::a_full_disk_of_backups_fails_the_backup_until_there_is_room";
    with_own_mounts(name, || without_room("backups"));
}

#[test]
fn a_full_disk_of_engines_fails_the_backup_until_there_is_room() {
    let name = "backup_faults::a_full_disk_of_engines_fails_the_backup_until_there_is_room";
    with_own_mounts(name, || without_room("engines"));
}
