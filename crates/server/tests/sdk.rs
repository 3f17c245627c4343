//! The official SDKs, unmodified but for endpoint and keys, against the real program.
//!
//! Each script of `tests/sdk` tells the same story: list regions, create instances,
//! log in to what came up, meet documented errors, delete. All of them run at once on
//! one server, as they would in one account. `scripts/sdks` installs the SDKs, once.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

const KEY_ID: &str = "LTAI5tSdkTestKey00000001";
const KEY_SECRET: &str = "sdkTestSecret/Abc+123=";

/// Longer than any story takes on a busy machine.
const STORY_SECONDS: &str = "240";
const START: Duration = Duration::from_mins(1);

/// Interpreter, script and argument of each story.
const STORIES: &[(&str, &[&str])] = &[
    ("python", &["rpc_v1.py"]),
    ("python", &["openapi.py", "v3"]),
    ("python", &["openapi.py", "v1"]),
    ("node", &["pop_core.js", "GET"]),
    ("node", &["pop_core.js", "POST"]),
    ("node", &["openapi.js"]),
];

#[test]
fn every_official_sdk_creates_uses_and_deletes_instances() {
    let sdks = install_sdks();
    let server = Server::start();
    let failures: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> = STORIES
            .iter()
            .map(|(language, script)| scope.spawn(|| server.tell(&sdks, language, script)))
            .collect();
        runs.into_iter().filter_map(|run| run.join().expect("a story's thread panicked")).collect()
    });
    assert!(failures.is_empty(), "{}\nserver:\n{}", failures.join("\n"), server.log());
}

/// The folder with a Python environment and `node_modules`.
fn install_sdks() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp has a parent");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/sdks");
    let output = Command::new(script)
        .env("CARGO_TARGET_DIR", target)
        .stderr(Stdio::inherit())
        .output()
        .expect("scripts/sdks starts");
    assert!(output.status.success(), "scripts/sdks failed; see its output above");
    target.join("sdk")
}

/// A server of its own; its engines end with it.
struct Server {
    process: Child,
    endpoint: String,
    folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let log = File::create(folder.path().join("stderr")).expect("a log file");
        let mut process = ourkv("serve", folder.path())
            .args(["--listen", "127.0.0.1:0"])
            .env("OURKV_ACCESS_KEY_ID", KEY_ID)
            .env("OURKV_ACCESS_KEY_SECRET", KEY_SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("ourkv starts");
        let stdout = process.stdout.take().expect("stdout is piped");
        // Owned before anything can fail, so that it is ended in any case.
        let mut server = Self { process, endpoint: String::new(), folder };
        let endpoint = announced_endpoint(stdout);
        server.endpoint =
            endpoint.unwrap_or_else(|| panic!("ourkv does not listen:\n{}", server.log()));
        server
    }

    /// Runs one script to its end; what went wrong, if anything.
    fn tell(&self, sdks: &Path, language: &str, script: &[&str]) -> Option<String> {
        let interpreter = match language {
            "python" => sdks.join("python/bin/python"),
            _ => PathBuf::from("node"),
        };
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(language);
        let output = Command::new("timeout")
            .arg(STORY_SECONDS)
            .arg(interpreter)
            .args(script)
            .current_dir(scripts)
            .env("NODE_PATH", sdks.join("node/node_modules"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("REGION", "cn-hongkong")
            .env("OURKV_ENDPOINT", &self.endpoint)
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY_ID)
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", KEY_SECRET)
            .output()
            .expect("timeout starts");
        let said = String::from_utf8_lossy(&output.stdout);
        // A story that ended early without an error would leave out its last word.
        if output.status.success() && said.lines().any(|line| line.starts_with("ok ")) {
            return None;
        }
        let problem = String::from_utf8_lossy(&output.stderr);
        Some(format!("{language} {script:?} ended with {}:\n{said}{problem}", output.status))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server first: it would bring its engines back.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = ourkv("down", self.folder.path()).stdout(Stdio::null()).status();
    }
}

fn ourkv(command: &str, folder: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ourkv"));
    program.arg(command).arg("--data-dir").arg(folder.join("data"));
    program
}

/// Waits for the line that names the address, and keeps reading so that the server
/// never waits for its output to be taken.
fn announced_endpoint(stdout: ChildStdout) -> Option<String> {
    let (found, wait) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(endpoint) = line.strip_prefix("listening on http://") {
                let _ = found.send(endpoint.trim().to_owned());
            }
        }
    });
    wait.recv_timeout(START).ok()
}
