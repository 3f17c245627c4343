//! The life of `ourkv serve` as an operator sees it: first start, second start, second server,
//! signals, and what others may read.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::PATIENCE;

/// A server with a directory of its own. Dropping it ends the process.
struct Serve {
    child: Child,
    /// What it writes to standard error; a pipe that nobody reads would stop it.
    talk: File,
    /// `http://ADDRESS:PORT`
    url: String,
}

fn ourkv(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ourkv"));
    command.args(arguments).arg("--data-dir").arg(dir).stdin(Stdio::null());
    // No test touches the packet filter of the machine.
    command.env("OURKV_NETWORK_WHITELIST", "off");
    for name in ["OURKV_ACCESS_KEY_ID", "OURKV_ACCESS_KEY_SECRET", "OURKV_CONFIG"] {
        command.env_remove(name);
    }
    command
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    ourkv(dir, arguments).output().unwrap()
}

#[track_caller]
fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The audit lines with a text, once there are any: lines of refused calls are written a moment
/// after the answer.
fn audit(dir: &Path, containing: &str) -> String {
    let began = Instant::now();
    loop {
        let lines = stdout(&run(dir, &["audit", "--grep", containing]));
        if !lines.is_empty() {
            return lines;
        }
        assert!(began.elapsed() < PATIENCE, "no audit line with {containing}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

impl Serve {
    fn start(dir: &Path, environment: &[(&str, &str)]) -> Self {
        let talk = tempfile::tempfile().unwrap();
        let mut child = ourkv(dir, &["serve", "--listen", "127.0.0.1:0", "--dns", "off"])
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(talk.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").map(str::to_owned);
        let mut server = Self { child, talk, url: url.clone().unwrap_or_default() };
        assert!(url.is_some(), "serve said {line:?}:\n{}", server.talk());
        server
    }

    fn talk(&mut self) -> String {
        let mut talk = String::new();
        self.talk.rewind().unwrap();
        self.talk.read_to_string(&mut talk).unwrap();
        talk
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ends it as an operator does, and returns what it wrote to standard error.
    fn end(mut self) -> String {
        self.signal(Signal::TERM);
        let ended = self.child.wait().unwrap();
        let talk = self.talk();
        assert!(ended.success(), "{talk}");
        talk
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The secret in the credentials file.
fn secret(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join("credentials")).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("ALIBABA_CLOUD_ACCESS_KEY_SECRET="));
    line.unwrap().to_owned()
}

#[test]
fn the_first_start_shows_the_secret_once_and_the_second_never() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let first = Serve::start(&dir, &[]).end();
    let secret = secret(&dir);
    assert_eq!(first.matches(&secret).count(), 1, "{first}");

    let second = Serve::start(&dir, &[]).end();
    assert!(!second.contains(&secret), "{second}");
    let accounts = stdout(&run(&dir, &["account", "ls", "--output", "json"]));
    let accounts: serde_json::Value = serde_json::from_str(&accounts).unwrap();
    assert_eq!(accounts.as_array().unwrap().len(), 1);
    let listed = stdout(&run(&dir, &["key", "ls"]));
    assert_eq!(listed.lines().count(), 2, "a header and one key:\n{listed}");
    assert!(!listed.contains(&secret));
    let vpcs = stdout(&run(&dir, &["vpc", "ls", "--output", "json"]));
    let vpcs: serde_json::Value = serde_json::from_str(&vpcs).unwrap();
    let regions = ourkv_domain::catalogue::Catalogue::builtin().regions().len();
    assert_eq!(vpcs.as_array().unwrap().len(), regions, "one in each region, made once");
}

#[test]
fn others_can_read_nothing_of_it() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let server = Serve::start(&dir, &[]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), wanted, "{}", path.display());
    }
    server.end();
}

#[test]
fn a_second_server_is_refused_and_told_who_serves() {
    let root = tempfile::tempdir().unwrap();
    let first = Serve::start(root.path(), &[]);
    for arguments in [&["serve", "--listen", "127.0.0.1:0", "--dns", "off"][..], &["down"][..]] {
        let refused = run(root.path(), arguments);
        assert_eq!(refused.status.code(), Some(1));
        let expected = format!("process {} serves", first.child.id());
        assert!(stderr(&refused).contains(&expected), "{}", stderr(&refused));
        assert!(refused.stdout.is_empty());
    }
    first.end();
}

#[test]
fn a_key_of_the_environment_is_never_shown_and_a_later_one_is_added() {
    let root = tempfile::tempdir().unwrap();
    let key = |id, secret| [("OURKV_ACCESS_KEY_ID", id), ("OURKV_ACCESS_KEY_SECRET", secret)];
    let talk = Serve::start(root.path(), &key("LTAI5tFirst", "first-secret")).end();
    assert!(!talk.contains("first-secret"), "{talk}");

    let server = Serve::start(root.path(), &key("LTAI5tSecond", "second-secret"));
    for (id, secret) in [("LTAI5tFirst", "first-secret"), ("LTAI5tSecond", "second-secret")] {
        let mut call = ourkv(root.path(), &["call", "DescribeRegions"]);
        call.env("ALIBABA_CLOUD_ACCESS_KEY_ID", id).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret);
        stdout(&call.output().unwrap());
    }
    assert_eq!(secret(root.path()), "second-secret");
    server.end();

    let server = Serve::start(root.path(), &key("LTAI5tFirst", "another-secret"));
    stdout(&run(root.path(), &["call", "DescribeRegions"]));
    server.end();
}

#[test]
fn half_a_key_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut command = ourkv(root.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let refused = command.env("OURKV_ACCESS_KEY_ID", "LTAI5tHalf").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("or neither"), "{}", stderr(&refused));
}

#[test]
fn a_lost_key_file_is_an_error_and_not_replaced() {
    let root = tempfile::tempdir().unwrap();
    Serve::start(root.path(), &[]).end();
    fs::remove_file(root.path().join("secret.key")).unwrap();
    let refused = run(root.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("secret.key"), "{}", stderr(&refused));
    assert!(!root.path().join("secret.key").exists());
}

#[test]
fn env_prints_what_a_shell_and_sdks_take() {
    let root = tempfile::tempdir().unwrap();
    let server = Serve::start(root.path(), &[]);
    let exports = stdout(&run(root.path(), &["env"]));
    let script = format!(
        "{exports}\nprintf '%s %s' \"$ALIBABA_CLOUD_ACCESS_KEY_SECRET\" \"$OURKV_ENDPOINT\""
    );
    let shell = Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert_eq!(stdout(&shell), format!("{} {}", secret(root.path()), server.url));
    server.end();
}

#[test]
fn call_signs_both_ways_and_tells_errors_apart() {
    let root = tempfile::tempdir().unwrap();
    let server = Serve::start(root.path(), &[]);
    for sign in ["v1", "v3"] {
        let query = ["--sign", sign, "--query", "RegionIds.KVStoreRegion.0.RegionId"];
        let arguments = [&["call", "DescribeRegions", "AcceptLanguage=en-US"][..], &query].concat();
        let region = stdout(&run(root.path(), &arguments));
        assert!(region.starts_with("cn-"), "{region}");
    }

    let arguments = ["call", "DescribeInstanceAttribute", "InstanceId=r-none"];
    let refused = run(root.path(), &arguments);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
    assert!(stderr(&refused).contains("InvalidInstanceId.NotFound"), "{}", stderr(&refused));

    let audit = audit(root.path(), "DescribeInstanceAttribute");
    assert!(audit.contains("r-none"), "{audit}");
    server.end();
}

#[test]
fn the_password_of_a_call_is_in_no_log_and_no_audit_line() {
    let root = tempfile::tempdir().unwrap();
    let password = root.path().join("password");
    fs::write(&password, "Hidden-Word-1\n").unwrap();
    let dir = root.path().join("data");
    let environment = [("OURKV_LOG_LEVEL", "trace")];
    let server = Serve::start(&dir, &environment);
    let argument = format!("Password=@{}", password.display());
    // The class does not exist, so nothing is created: only the way in counts here.
    let call = ["call", "CreateInstance", "RegionId=cn-hongkong", "InstanceClass=none", &argument];
    assert_eq!(run(&dir, &call).status.code(), Some(1));
    let audit = audit(&dir, "CreateInstance");
    assert!(audit.contains("Password=***") && !audit.contains("Hidden-Word-1"), "{audit}");
    let log = server.end();
    assert!(!log.contains("Hidden-Word-1"), "{log}");
}

#[test]
fn doctor_finds_a_sound_directory_sound_and_an_open_one_not() {
    let root = tempfile::tempdir().unwrap();
    let server = Serve::start(root.path(), &[]);
    let arguments = ["doctor", "--output", "json"];
    let findings: serde_json::Value =
        serde_json::from_slice(&run(root.path(), &arguments).stdout).unwrap();
    let state = |findings: &serde_json::Value, check: &str| {
        let found = findings.as_array().unwrap().iter().find(|f| f["check"] == check);
        found.unwrap()["state"].as_str().unwrap().to_owned()
    };
    for check in ["data directory", "store", "credentials", "API", "address block"] {
        assert_eq!(state(&findings, check), "ok", "{findings:#}");
    }
    server.end();

    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let output = run(root.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(state(&findings, "data directory"), "problem");
}
