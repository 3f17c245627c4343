//! A real PostgreSQL cluster in a temporary directory, for tests.
//!
//! It is stopped and removed when the process that started it ends, in whatever way: a supervising
//! shell waits for the end of a pipe that only that process holds.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use postgres::{Client, NoTls};

/// Runs the server (`$2…`) until standard input ends, then stops it by its pid and removes its
/// directory (`$1`).
const SUPERVISOR: &str = r#"
trap '' INT TERM HUP
directory=$1
shift
"$@" >>"$directory/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT "$server"
wait "$server"
rm -rf "$directory"
"#;

/// How often a connection to a starting server is tried, 50 ms apart.
const TRIES: u32 = 1200;

/// A running cluster. Dropping it stops it.
#[derive(Debug)]
pub struct TemporaryPostgres {
    supervisor: Child,
    port: u16,
    databases: AtomicU32,
}

impl TemporaryPostgres {
    /// The cluster that all tests of this process share; started by the first.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TemporaryPostgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a cluster.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start.
    pub fn start() -> Self {
        let programs = programs();
        let directory = tempfile::Builder::new()
            .prefix("ourkv-postgres-")
            .tempdir()
            .expect("a test needs a directory for temporary files")
            .keep();
        let user = User::unprivileged();
        if let Some(user) = &user {
            chown(&directory, Some(user.uid), Some(user.gid))
                .expect("root may give its own directory away");
        }
        initialise(&programs, &directory, user.as_ref());
        let port = free_port();
        let mut server = vec![programs.join("postgres").display().to_string()];
        server.extend(settings(&directory, port));
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "postgres-supervisor"])
            .arg(&directory)
            .args(User::prefix(user.as_ref()))
            .args(server)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C for the tests is not for the supervisor: it must tidy up after them.
            .process_group(0)
            .spawn()
            .expect("a test needs sh");
        let cluster = Self { supervisor, port, databases: AtomicU32::new(0) };
        cluster.wait_until_it_answers(&directory);
        cluster
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// Where the server refuses to make one.
    pub fn url(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name}"));
        self.url_of(&name)
    }

    /// Runs SQL as the superuser, outside of the tests' databases.
    ///
    /// # Panics
    /// Where the server refuses it.
    pub fn execute(&self, sql: &str) {
        let mut client = Client::connect(&self.url_of("postgres"), NoTls)
            .expect("the cluster runs for as long as this value lives");
        client.batch_execute(sql).expect("the test's own SQL is right");
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn wait_until_it_answers(&self, directory: &Path) {
        for _ in 0..TRIES {
            if Client::connect(&self.url_of("postgres"), NoTls).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not start: {log}");
    }
}

impl Drop for TemporaryPostgres {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // Nothing is left to do if the supervisor is gone.
        let _ = self.supervisor.wait();
    }
}

/// The account that PostgreSQL runs under where the tests run as root, which it refuses to.
struct User {
    name: String,
    group: String,
    uid: u32,
    gid: u32,
}

impl User {
    fn unprivileged() -> Option<Self> {
        let own = std::fs::metadata("/proc/self").expect("PostgreSQL tests run on Linux");
        if own.uid() != 0 {
            return None;
        }
        let name = ["postgres", "nobody"]
            .into_iter()
            .find(|name| ask("id", &["-u", name]).is_some())
            .expect("every Linux has the user nobody");
        let answer = |flag| ask("id", &[flag, name]).expect("the user was found a moment ago");
        let number = |flag| answer(flag).parse().expect("id -u and id -g print numbers");
        Some(Self { name: name.into(), group: answer("-gn"), uid: number("-u"), gid: number("-g") })
    }

    /// What goes before a command that is to run as the user.
    fn prefix(user: Option<&Self>) -> Vec<String> {
        user.map_or_else(Vec::new, |user| {
            vec![
                "setpriv".into(),
                format!("--reuid={}", user.name),
                format!("--regid={}", user.group),
                "--clear-groups".into(),
            ]
        })
    }
}

/// Where initdb and postgres are.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut packaged: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    packaged.sort();
    ask("pg_config", &["--bindir"])
        .map(PathBuf::from)
        .into_iter()
        .chain(packaged.into_iter().rev())
        .find(|programs| programs.join("initdb").exists() && programs.join("postgres").exists())
        .expect("the tests need PostgreSQL's server programs; `make test` installs them")
}

fn initialise(programs: &Path, directory: &Path, user: Option<&User>) {
    let log = File::create(directory.join("log")).expect("the directory was made for this");
    let errors = log.try_clone().expect("a file can be opened twice");
    let mut command = User::prefix(user);
    command.push(programs.join("initdb").display().to_string());
    let status = Command::new(&command[0])
        .args(&command[1..])
        .args(["--username=postgres", "--auth=trust", "--no-sync"])
        .args(["--encoding=UTF8", "--locale=C", "--pgdata"])
        .arg(directory.join("data"))
        .current_dir("/")
        .stdout(log)
        .stderr(errors)
        .status()
        .expect("initdb was found a moment ago, and setpriv is part of every Linux");
    if !status.success() {
        let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
        panic!("initdb failed: {log}");
    }
}

/// The test data need not survive the machine.
fn settings(directory: &Path, port: u16) -> Vec<String> {
    vec![
        "-D".into(),
        directory.join("data").display().to_string(),
        "-p".into(),
        port.to_string(),
        "-clisten_addresses=127.0.0.1".into(),
        format!("-cunix_socket_directories={}", directory.display()),
        "-cmax_connections=300".into(),
        // A test that makes deadlocks does not want to wait for them.
        "-cdeadlock_timeout=20ms".into(),
        "-cfsync=off".into(),
        "-cfull_page_writes=off".into(),
    ]
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a machine has a free port")
        .port()
}

/// What a command prints, if it succeeds.
fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
