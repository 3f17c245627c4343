//! A real `ourkv serve` on a data directory of its own, and a client that signs.
//!
//! Every server has a loopback block of its own, so that servers of tests never meet.
//! Dropping it stops its engines and the process, by pid, also when a test fails.

#![expect(clippy::disallowed_methods, reason = "a client signs with the real time")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ourkv_wire::{Format, HmacAlgorithm, Outgoing, Params, SignedRequest, Signer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const KEY_ID: &str = "LTAI5tTestTestTestTest01";
pub(crate) const KEY_SECRET: &str = "secretForTests/0123456789";
pub(crate) const PASSWORD: &str = "Passw0rd!@#";

/// The longest wait for anything that should come about; far beyond what it takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Ourkv {
    /// The data directory.
    pub(crate) dir: PathBuf,
    /// Where the API listens.
    pub(crate) address: String,
    home: tempfile::TempDir,
    block: Arc<Block>,
    child: Option<Child>,
    /// The program that becomes `ourkv serve`, and its arguments.
    wrapper: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

/// A loopback block that no other server of any test run has.
struct Block {
    second: u32,
    _claim: TcpListener,
}

impl Block {
    fn claim() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut blocks = (0..128).map(|_| 32 + NEXT.fetch_add(1, Ordering::Relaxed) % 128);
        let claimed = blocks.find_map(|second| {
            // Far beyond what instances are given.
            let claim = TcpListener::bind(format!("127.{second}.255.254:6379")).ok()?;
            Some(Self { second, _claim: claim })
        });
        claimed.expect("no test run has so many servers at a time")
    }
}

impl Ourkv {
    pub(crate) fn start() -> Self {
        Self::start_with(&[], &[])
    }

    pub(crate) fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(args, env);
        server.serve();
        server
    }

    /// A server that is not started yet.
    pub(crate) fn prepare(args: &[&str], env: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self {
            dir: home.path().join("data"),
            home,
            address: String::new(),
            block: Arc::new(Block::claim()),
            child: None,
            wrapper: Vec::new(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    /// Another process for the same directory and addresses, not started yet, with other variables.
    /// The lock of the directory is removed, which would keep it from starting.
    pub(crate) fn twin(&self, env: &[(&str, &str)]) -> Self {
        std::fs::remove_file(self.dir.join("lock")).unwrap();
        let mut twin = Self {
            dir: self.dir.clone(),
            home: tempfile::tempdir().unwrap(),
            address: String::new(),
            block: Arc::clone(&self.block),
            child: None,
            wrapper: self.wrapper.clone(),
            args: self.args.clone(),
            env: Vec::new(),
        };
        twin.set_env(env);
        twin
    }

    /// Has another program start the process and become it.
    pub(crate) fn started_by(&mut self, wrapper: &[&str]) {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Starts the process and waits for its address.
    pub(crate) fn serve(&mut self) {
        if let Err(log) = self.try_serve() {
            panic!("serve ended early: {log}");
        }
    }

    /// Starts the process and waits for its address, or for its end and then its log.
    pub(crate) fn try_serve(&mut self) -> Result<(), String> {
        let before = self.log().len();
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = self.command_of(&self.wrapper, &["serve"]);
        command
            .args(["--listen", "127.0.0.1:0", "--dns", "127.0.0.1:0"])
            .args(["--address-block", &format!("127.{}.0.0/16", self.block.second)])
            .args(&self.args)
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("listening on http://").map(str::to_owned));
        self.child = Some(child);
        let Some(address) = address else {
            self.kill();
            return Err(self.log()[before..].to_owned());
        };
        self.address = address;
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.home.path().join("serve.log")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Ends the process as a power cut of the process would, and collects it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Whether the process still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// The process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        self.command_of(&[], args)
    }

    fn command_of(&self, wrapper: &[String], args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_ourkv").to_owned();
        let mut words = wrapper.iter().chain([&program]);
        let mut command = Command::new(words.next().unwrap_or(&program));
        command
            .args(words)
            .args(args)
            .arg("--data-dir")
            .arg(&self.dir)
            .env("OURKV_ACCESS_KEY_ID", KEY_ID)
            .env("OURKV_ACCESS_KEY_SECRET", KEY_SECRET)
            // No test touches the packet filter of the machine; one in a network of its own may.
            .env("OURKV_NETWORK_WHITELIST", "off")
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs an operator's command and returns what it did.
    pub(crate) fn try_cli(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs an operator's command that must succeed; returns its standard output.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let output = self.try_cli(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ourkv {args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.address, KEY_ID, KEY_SECRET)
    }

    /// Creates an instance of the smallest class with [`PASSWORD`].
    pub(crate) fn create(&self, more: &[(&str, &str)]) -> Value {
        let base = [
            ("RegionId", "cn-hongkong"),
            ("InstanceClass", "redis.master.small.default"),
            ("Password", PASSWORD),
        ];
        let params = with(&base, more);
        self.client().call("CreateInstance", &params).expect_ok()
    }

    /// The attributes of an instance once its status is `status`.
    pub(crate) fn wait_for(&self, id: &str, status: &str) -> Value {
        let began = Instant::now();
        loop {
            let attributes = self.attributes(id);
            if attributes["InstanceStatus"] == status {
                return attributes;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{id} is not {status}: {attributes}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn attributes(&self, id: &str) -> Value {
        let reply = self.client().call("DescribeInstanceAttribute", &[("InstanceId", id)]);
        reply.expect_ok()["Instances"]["DBInstanceAttribute"][0].clone()
    }

    /// Creates an instance and waits until it is `Normal`; returns its id.
    pub(crate) fn normal(&self, more: &[(&str, &str)]) -> Value {
        let created = self.create(more);
        self.wait_for(created["InstanceId"].as_str().unwrap(), "Normal");
        created
    }

    /// Waits for the process to end by itself.
    pub(crate) fn until_it_ends(&mut self) {
        let began = Instant::now();
        while self.runs() {
            assert!(began.elapsed() < PATIENCE, "it goes on\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the process, and starts it again with other variables.
    pub(crate) fn restart(&mut self, env: &[(&str, &str)]) {
        self.kill();
        self.set_env(env);
        self.serve();
    }

    /// Other variables for the next process.
    pub(crate) fn set_env(&mut self, env: &[(&str, &str)]) {
        self.env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    }

    /// A variable that the process was started with.
    pub(crate) fn env(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// Waits until `done`; `what` is what is waited for.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !done(self) {
            assert!(began.elapsed() < PATIENCE, "never came about: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A plain TCP connection to an instance, as its tenant's client makes it.
    pub(crate) fn redis(created: &Value) -> redis::RedisResult<redis::Connection> {
        let (ip, port) = (created["PrivateIpAddr"].as_str().unwrap(), &created["Port"]);
        redis::Client::open(format!("redis://{ip}:{port}/"))?.get_connection()
    }

    /// Where the DNS server listens.
    pub(crate) fn dns(&self) -> String {
        let log = self.log();
        let after = log.rsplit_once("answering DNS address=").unwrap().1;
        after.split_whitespace().next().unwrap().to_owned()
    }

    /// Has an operator make a VPC of 172.16.0.0/12 and in it a vSwitch; returns their ids.
    pub(crate) fn vswitch(&self, zone: &str, cidr: &str) -> (String, String) {
        let region = zone.rsplit_once('-').unwrap().0;
        let vpc = ["vpc", "create", "--region", region, "--cidr", "172.16.0.0/12", "--name", "lab"];
        let vpc = self.made(&vpc);
        let vswitch = ["vswitch", "create", "--vpc", &vpc, "--zone", zone, "--cidr", cidr];
        let vswitch = self.made(&[&vswitch[..], &["--name", "lab"]].concat());
        (vpc, vswitch)
    }

    /// Runs an operator's command that makes something; returns its id.
    pub(crate) fn made(&self, args: &[&str]) -> String {
        let made = self.cli(&[args, &["--output", "json"]].concat());
        let made: Value = serde_json::from_str(&made).unwrap();
        made["id"].as_str().unwrap().to_owned()
    }

    /// Kills every engine of the directory, whatever the store says.
    pub(crate) fn kill_engines(&self) {
        let Ok(root) = self.dir.join("engines").canonicalize() else { return };
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let home = std::fs::read_link(entry.path().join("cwd"));
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let (Ok(home), Some(pid)) = (home, pid)
                && home.starts_with(&root)
                && let Some(pid) = rustix::process::Pid::from_raw(pid)
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }

    /// The ids of all instances, from as many pages as there are.
    pub(crate) fn listed(&self) -> HashSet<String> {
        let mut listed = HashSet::new();
        for page in 1.. {
            let params = [("PageSize", "50"), ("PageNumber", &*page.to_string())];
            let answer = self.client().call("DescribeInstances", &params).expect_ok();
            let instances = answer["Instances"]["KVStoreInstance"].as_array().unwrap();
            if instances.is_empty() {
                break;
            }
            listed
                .extend(instances.iter().map(|one| one["InstanceId"].as_str().unwrap().to_owned()));
        }
        listed
    }

    /// The directories of engines, one per instance.
    pub(crate) fn engine_dirs(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.join("engines"));
        entries.map(|dirs| dirs.map(|dir| dir.unwrap().path()).collect()).unwrap_or_default()
    }
}

impl Drop for Ourkv {
    fn drop(&mut self) {
        self.kill();
        let _ = self.try_cli(&["down"]);
        // Those that the store does not know stay; a test may have broken it.
        self.kill_engines();
    }
}

/// A signing client.
pub(crate) struct Client {
    pub(crate) address: String,
    signer: Signer,
    agent: ureq::Agent,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) request_id: String,
    pub(crate) text: String,
}

impl Client {
    pub(crate) fn new(address: &str, id: &str, secret: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self { address: address.to_owned(), signer: Signer::new(id, secret), agent: config.into() }
    }

    /// Calls with the V3 signature.
    pub(crate) fn call(&self, action: &str, params: &[(&str, &str)]) -> Reply {
        self.send(&self.outgoing(action, params, Format::Json, |call| self.signer.sign_v3(call)))
    }

    /// Calls with the v1 signature, everything in the query of a GET.
    pub(crate) fn call_v1(&self, action: &str, params: &[(&str, &str)], format: Format) -> Reply {
        self.send(&self.sign_v1(action, params, format))
    }

    /// A request of its own nonce and time, ready to be sent, and sent again.
    pub(crate) fn sign_v1(
        &self,
        action: &str,
        params: &[(&str, &str)],
        format: Format,
    ) -> SignedRequest {
        self.outgoing(action, params, format, |call| {
            self.signer.sign_v1_get(call, HmacAlgorithm::Sha1)
        })
    }

    fn outgoing(
        &self,
        action: &str,
        params: &[(&str, &str)],
        format: Format,
        sign: impl FnOnce(&Outgoing<'_>) -> SignedRequest,
    ) -> SignedRequest {
        let pairs = params.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        sign(&Outgoing {
            action,
            version: "2015-01-01",
            params: &Params::from_pairs(pairs),
            format,
            timestamp: Timestamp::now(),
            nonce: &uuid::Uuid::new_v4().to_string(),
            host: &self.address,
        })
    }

    #[track_caller]
    pub(crate) fn send(&self, request: &SignedRequest) -> Reply {
        self.try_send(request).unwrap()
    }

    /// Calls with the V3 signature; an error where no answer came.
    pub(crate) fn try_call(
        &self,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<Reply, ureq::Error> {
        let sign = |call: &Outgoing<'_>| self.signer.sign_v3(call);
        self.try_send(&self.outgoing(action, params, Format::Json, sign))
    }

    fn try_send(&self, request: &SignedRequest) -> Result<Reply, ureq::Error> {
        let uri = format!("http://{}{}", self.address, request.path_and_query);
        let mut builder = ureq::http::Request::builder().method(request.method).uri(uri);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let mut answer = self.agent.run(builder.body(request.body.clone()).unwrap())?;
        let header = |name: &str| {
            answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        Ok(Reply {
            status: answer.status().as_u16(),
            content_type: header("content-type"),
            request_id: header("x-acs-request-id"),
            text: answer.body_mut().read_to_string()?,
        })
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    #[track_caller]
    pub(crate) fn expect_ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// Status, code and message of a refusal.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (self.status, text("Code"), text("Message"))
    }

    #[track_caller]
    pub(crate) fn expect_refusal(&self, status: u16, code: &str, message: &str) {
        assert_eq!(self.refusal(), (status, code.to_owned(), message.to_owned()), "{}", self.text);
    }
}

/// The parameters of `base`, and of `more`, which win.
pub(crate) fn with<'a>(
    base: &[(&'a str, &'a str)],
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let kept = base.iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    kept.chain(more).copied().collect()
}
