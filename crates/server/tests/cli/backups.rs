//! `ourkv backup`, `ourkv events` and download links, against a server with real engines.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{Ourkv, PASSWORD};

const SECOND_PASSWORD: &str = "Another-Passw0rd";

pub(crate) fn json(server: &Ourkv, arguments: &[&str]) -> Value {
    let text = server.cli(&[arguments, &["--output", "json"]].concat());
    serde_json::from_str(&text).unwrap()
}

/// The only backup of an instance, once it was proven.
fn proven(server: &Ourkv, instance: &str) -> Value {
    server.until("the backup is proven", |server| {
        json(server, &["backup", "ls", instance])[0]["verified"].is_string()
    });
    let listed = json(server, &["backup", "ls", instance]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    listed[0].clone()
}

/// Takes a backup; returns its number.
fn backed_up(server: &Ourkv, instance: &str) -> String {
    let made = json(server, &["backup", "create", instance, "--wait"]);
    assert_eq!(made["status"], "Success", "{made}");
    made["id"].to_string()
}

fn open(created: &Value, password: &str) -> redis::RedisResult<redis::Connection> {
    let mut connection = Ourkv::redis(created)?;
    redis::cmd("AUTH").arg(password).query::<()>(&mut connection)?;
    Ok(connection)
}

/// A connection to what [`restore`] made.
pub(crate) fn open_restored(restored: &Value) -> redis::RedisResult<redis::Connection> {
    let mut connection = connect(restored)?;
    redis::cmd("AUTH").arg(SECOND_PASSWORD).query::<()>(&mut connection)?;
    Ok(connection)
}

fn connect(restored: &Value) -> redis::RedisResult<redis::Connection> {
    let url = format!("redis://{}/", restored["address"].as_str().unwrap());
    redis::Client::open(url)?.get_connection()
}

fn set(created: &Value, key: &str, value: &[u8]) {
    let mut connection = open(created, PASSWORD).unwrap();
    redis::cmd("SET").arg(key).arg(value).query::<()>(&mut connection).unwrap();
}

fn get(connection: &mut redis::Connection, key: &str) -> Option<String> {
    redis::cmd("GET").arg(key).query(connection).unwrap()
}

/// A file with a password that only its owner can read.
fn password_file(server: &Ourkv) -> String {
    let file = server.dir.with_file_name("password");
    fs::write(&file, format!("{SECOND_PASSWORD}\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

pub(crate) fn restore(server: &Ourkv, backup: &str) -> Value {
    let file = password_file(server);
    let arguments = ["backup", "restore", backup, "--name", "copy", "--password-file", &file];
    json(server, &[&arguments[..], &["--wait"]].concat())
}

/// The link to the only backup that the owner sees.
pub(crate) fn link(server: &Ourkv, instance: &str) -> String {
    let window = [
        ("InstanceId", instance),
        ("StartTime", "2010-01-01T00:00Z"),
        ("EndTime", "2090-01-01T00:00Z"),
    ];
    let listed = server.client().call("DescribeBackups", &window).expect_ok();
    let backup = &listed["Backups"]["Backup"][0];
    assert_eq!(backup["BackupDownloadURL"], backup["BackupIntranetDownloadURL"]);
    backup["BackupDownloadURL"].as_str().unwrap().to_owned()
}

/// Status, announced length and what came of the body.
pub(crate) fn fetch(url: &str) -> (u16, Option<u64>, Result<Vec<u8>, ureq::Error>) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let mut answer = ureq::Agent::from(config).get(url).call().unwrap();
    let length = answer.headers().get("content-length").map(|v| v.to_str().unwrap().to_owned());
    let body = answer.body_mut().with_config().limit(1 << 30).read_to_vec();
    (answer.status().as_u16(), length.map(|length| length.parse().unwrap()), body)
}

/// Everything below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.push(path);
    }
    found
}

fn sealed(server: &Ourkv) -> Vec<PathBuf> {
    let found = files(&server.dir.join("backups")).into_iter();
    found.filter(|path| path.is_file()).collect()
}

#[test]
fn a_backup_is_taken_proven_and_brought_back_as_another_instance() {
    let server = Ourkv::start();
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    set(&created, "kept", b"1");

    let made = server.try_cli(&["backup", "create", id, "--wait", "--output", "json"]);
    let talk = String::from_utf8(made.stderr).unwrap();
    assert!(made.status.success() && !talk.contains("no server"), "{talk}");
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&made["status"], &made["mode"]), (&"Success".into(), &"Manual".into()), "{made}");
    assert_eq!(made["keys"], 1);
    assert!(made["size"].as_i64().unwrap() > 0 && made["took"].is_string(), "{made}");
    let backup = made["id"].to_string();

    let first = proven(&server, id);
    let again = json(&server, &["backup", "verify", &backup]);
    let verified = |row: &Value| row["verified"].as_str().unwrap().parse::<jiff::Timestamp>();
    assert!(verified(&first).unwrap() < verified(&again).unwrap(), "{first} {again}");

    set(&created, "later", b"1");
    let restored = restore(&server, &backup);
    assert_eq!(restored["status"], "Normal", "{restored}");
    assert_ne!(restored["id"], created["InstanceId"]);
    let old = redis::cmd("AUTH").arg(PASSWORD).query::<()>(&mut connect(&restored).unwrap());
    assert!(old.is_err(), "the password is not copied");
    let mut copy = open_restored(&restored).unwrap();
    assert_eq!((get(&mut copy, "kept"), get(&mut copy, "later")), (Some("1".into()), None));

    let events = server.cli(&["events", id]);
    assert!(events.contains("BackupTaken"), "{events}");
    let audit = server.cli(&["audit", "--grep", "CreateInstance", "--output", "json"]);
    assert!(!audit.contains(SECOND_PASSWORD) && audit.contains("the command line"), "{audit}");
}

#[test]
fn what_was_deleted_comes_back_from_its_final_backup() {
    let server = Ourkv::start();
    let created = server.normal(&[("NodeType", "STAND_ALONE"), CLASS_OF_ONE]);
    let id = created["InstanceId"].as_str().unwrap();
    set(&created, "kept", b"1");
    server.client().call("DeleteInstance", &[("InstanceId", id)]).expect_ok();
    server.until("it is gone", |server| server.engine_dirs().is_empty());

    let listed = json(&server, &["backup", "ls", id]);
    assert_eq!(listed[0]["mode"], "Final", "{listed}");
    assert_eq!(listed[0]["status"], "Success", "{listed}");
    let restored = restore(&server, &listed[0]["id"].to_string());
    let mut copy = open_restored(&restored).unwrap();
    assert_eq!(get(&mut copy, "kept"), Some("1".into()));
    assert_eq!(json(&server, &["ls"])[0]["name"], "copy");
}

/// The class of the smallest instance with one node.
const CLASS_OF_ONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");

#[test]
fn final_backups_can_be_turned_off() {
    let server = Ourkv::start_with(&["--no-final-backup"], &[]);
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    server.client().call("DeleteInstance", &[("InstanceId", id)]).expect_ok();
    server.until("it is gone", |server| server.engine_dirs().is_empty());
    assert_eq!(json(&server, &["backup", "ls"]), Value::Array(Vec::new()));
}

#[test]
fn a_removed_backup_leaves_nothing_and_what_is_kept_is_closed_to_others() {
    let server = Ourkv::start();
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    set(&created, "distinctive-key", b"distinctive-value");
    let backup = backed_up(&server, id);
    for path in files(&server.dir.join("backups")) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{}", path.display());
        if path.is_file() {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains("distinctive"), "{}", path.display());
        }
    }
    let url = link(&server, id);
    assert_eq!(fetch(&url).0, 200);

    let removed = server.try_cli(&["backup", "rm", &backup]);
    let talk = String::from_utf8(removed.stderr).unwrap();
    assert!(removed.status.success() && talk.contains("no good backup any more"), "{talk}");
    server.until("the file is removed", |server| sealed(server).is_empty());
    assert_eq!(fetch(&url).0, 404);
    server.until("the row is removed", |server| {
        json(server, &["backup", "ls", id]) == Value::Array(Vec::new())
    });
    for command in ["rm", "verify", "restore"] {
        let refused = server.try_cli(&["backup", command, &backup]);
        let talk = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && talk.contains("there is no backup"), "{talk}");
    }
}

#[test]
fn what_cannot_be_backed_up_is_refused_as_the_api_does() {
    let server = Ourkv::start();
    let none = server.try_cli(&["backup", "create", "r-j6c0000000000000"]);
    let talk = String::from_utf8(none.stderr).unwrap();
    assert!(!none.status.success() && talk.contains("there is no instance"), "{talk}");

    let class = ("InstanceClass", "memcache.master.small.default");
    let created = server.normal(&[("InstanceType", "Memcache"), class]);
    let id = created["InstanceId"].as_str().unwrap();
    let refused = server.try_cli(&["backup", "create", id]);
    let talk = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && talk.contains("IncorrectDBInstanceType"), "{talk}");
}

#[test]
fn without_a_server_a_backup_waits_for_one_and_says_so() {
    let mut server = Ourkv::start();
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    server.kill();
    let asked = server.try_cli(&["backup", "create", id, "--output", "json"]);
    let talk = String::from_utf8(asked.stderr).unwrap();
    assert!(asked.status.success() && talk.contains("no server runs"), "{talk}");
    let asked: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(asked["status"], "Queued");

    server.serve();
    server.until("it is taken", |server| {
        json(server, &["backup", "ls", id])[0]["status"] == "Success"
    });
}

#[test]
fn a_link_gives_the_rdb_and_no_other_link_does() {
    let server = Ourkv::start_with(&[], &[("OURKV_LOG_LEVEL", "trace")]);
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    set(&created, "kept", b"1");
    let backup = backed_up(&server, id);
    let size = json(&server, &["backup", "ls", id])[0]["size"].as_u64().unwrap();

    let url = link(&server, id);
    assert!(url.starts_with(&format!("http://{}/backups/{backup}?", server.address)), "{url}");
    let (status, length, body) = fetch(&url);
    let body = body.unwrap();
    assert_eq!((status, length), (200, Some(size)));
    assert_eq!(body.len() as u64, size);
    assert!(body.starts_with(b"REDIS") && body.windows(4).any(|part| part == b"kept"));

    let (plain, query) = url.split_once('?').unwrap();
    let (head, last) = url.split_at(url.len() - 1);
    let other = if last == "0" { "1" } else { "0" };
    let expires = query.split_once("Expires=").unwrap().1.split('&').next().unwrap();
    let later = (expires.parse::<i64>().unwrap() + 1).to_string();
    for forged in [
        plain.to_owned(),
        format!("{head}{other}"),
        url.replace(expires, &later),
        url.replace(&backup, "999999999"),
        url.replace(&backup, "no-number"),
        format!("{plain}?Expires=soon&Signature=x"),
    ] {
        let (status, _, body) = fetch(&forged);
        let body = String::from_utf8(body.unwrap()).unwrap();
        assert_eq!((status, &*body), (403, "The link is not valid any more.\n"), "{forged}");
    }
    let signature = url.split_once("Signature=").unwrap().1;
    let log = server.log();
    assert!(log.contains("backup downloaded") && !log.contains(signature));
    let metrics = fetch(&format!("http://{}/metrics", server.address)).2.unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("ourkv_downloads_total{outcome=\"refused\"} 6"), "{metrics}");
    assert!(metrics.contains(&format!("ourkv_download_bytes_total {size}")), "{metrics}");
}

#[test]
fn a_link_expires() {
    let server = Ourkv::start_with(&[], &[("OURKV_BACKUP_LINK_SECONDS", "1")]);
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    backed_up(&server, id);
    let url = link(&server, id);
    server.until("the link expires", |_| fetch(&url).0 == 403);
    assert_eq!(fetch(&link(&server, id)).0, 200, "a fresh one works");
}

/// Values that no compression makes smaller.
pub(crate) fn fill(created: &Value, mebibytes: u32) {
    let mut word = 0x2545_f491_4f6c_dd1d_u64;
    for number in 0..mebibytes {
        let mut value = Vec::with_capacity(1 << 20);
        while value.len() < 1 << 20 {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            value.extend_from_slice(&word.to_le_bytes());
        }
        set(created, &format!("value-{number}"), &value);
    }
}

#[test]
fn a_download_that_goes_wrong_ends_before_its_length() {
    let server = Ourkv::start_with(&[], &[("OURKV_BACKUP_PROVE", "false")]);
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    fill(&created, 20);
    backed_up(&server, id);
    let url = link(&server, id);
    let (_, length, body) = fetch(&url);
    assert_eq!(body.unwrap().len() as u64, length.unwrap());

    // A byte near the end is changed, as a disk might.
    let file = sealed(&server).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let place = bytes.len() - 1000;
    bytes[place] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let (status, again, body) = fetch(&url);
    assert_eq!((status, again), (200, length));
    assert!(body.is_err(), "the client was told that it has all of it");
    assert!(server.log().contains("a download broke off"), "{}", server.log());

    fs::remove_file(&file).unwrap();
    assert_eq!(fetch(&url).0, 404);
}

#[test]
fn a_client_that_takes_nothing_loses_the_connection_and_leaves_its_place() {
    let server = Ourkv::start_with(&[], &[("OURKV_LIMITS_STALL_SECONDS", "1")]);
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    fill(&created, 40);
    backed_up(&server, id);
    let url = link(&server, id);
    let path = url.strip_prefix(&format!("http://{}", server.address)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let connect = || {
        let mut client = TcpStream::connect(&server.address).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let mut begun = [0; 12];
        client.read_exact(&mut begun).unwrap();
        (client, begun)
    };
    // As many as one account may have; one more is turned away.
    let clients: Vec<_> = (0..3).map(|_| connect()).collect();
    assert!(clients.iter().all(|(_, begun)| begun == b"HTTP/1.1 200"));
    assert_eq!(&connect().1, b"HTTP/1.1 503");
    server.until("a place is free", |_| fetch(&url).0 == 200);
    let log = server.log();
    assert!(log.contains("outcome=\"cut\""), "{log}");
}

#[test]
fn doctor_tells_whether_backups_can_be_kept() {
    let server = Ourkv::start();
    let state = |findings: &Value, check: &str| {
        let found = findings.as_array().unwrap().iter().find(|f| f["check"] == check);
        found.unwrap_or_else(|| panic!("{check}: {findings:#}"))["state"].clone()
    };
    let findings = json(&server, &["doctor"]);
    for check in ["backup folder", "newest proven backup", "instances with a backup"] {
        assert_eq!(state(&findings, check), "ok", "{findings:#}");
    }

    let file = server.dir.with_file_name("no-folder");
    fs::write(&file, "").unwrap();
    let url = file.to_str().unwrap();
    let closed = Ourkv::prepare(&[], &[("OURKV_BACKUP_URL", url)]);
    let findings = closed.try_cli(&["doctor", "--output", "json"]).stdout;
    let findings: Value = serde_json::from_slice(&findings).unwrap();
    assert_eq!(state(&findings, "backup folder"), "problem");

    // Nobody listens there.
    let mut bucket = Ourkv::prepare(
        &[],
        &[
            ("OURKV_BACKUP_URL", "s3://nobody-here/kv"),
            ("OURKV_BACKUP_ENDPOINT", "http://127.0.0.1:1"),
            ("OURKV_BACKUP_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "AKIAnobody"),
            ("AWS_SECRET_ACCESS_KEY", "hidden-word"),
        ],
    );
    bucket.serve();
    let output = bucket.try_cli(&["doctor", "--output", "json"]);
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(state(&findings, "backup bucket"), "problem");
    let said = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8(said).unwrap().contains("hidden-word"));
}
