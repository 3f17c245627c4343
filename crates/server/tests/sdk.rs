//! The official SDKs, unmodified but for endpoint and keys, against the real program.
//!
//! Each script of `tests/sdk` tells the same story: list regions, create instances,
//! log in to what came up, meet documented errors, delete. All of them run at once on
//! one server, as they would in one account. `scripts/sdks` installs the SDKs, once.

#![expect(clippy::unwrap_used, reason = "helpers of tests end a test as tests do")]

#[path = "api/common.rs"]
#[expect(dead_code, reason = "the tests of the API use more of it")]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use common::{KEY_ID, KEY_SECRET, Ourkv};

/// Longer than any story takes on a busy machine.
const STORY_SECONDS: &str = "240";

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
    let server = Ourkv::start();
    let failures: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> = STORIES
            .iter()
            .map(|(language, script)| scope.spawn(|| tell(&server, &sdks, language, script)))
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

/// Runs one script to its end; what went wrong, if anything.
fn tell(server: &Ourkv, sdks: &Path, language: &str, script: &[&str]) -> Option<String> {
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
        .env("OURKV_ENDPOINT", &server.address)
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
