//! Secrets that can be told from everything else go through all that there is; then nothing that
//! is left behind, shown or told has one of them, in any of the forms that texts take.
//!
//! By design a secret is in the key file (keys), the file `credentials` (the root account's), the
//! login database of a memcached (its tenant's password), and in what `ourkv key create` prints.
//! The caller of a v1 request whose signature is wrong is told what it should have signed: its own
//! parameters.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use ourkv_wire::Format;
use redis::ConnectionLike;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Client, KEY_SECRET, Ourkv};
use crate::shelf::{backup_id, download};
use crate::tenant::{engines, fill, id, log_in_with};

const CREATED: &str = "Canary#Created=01";
const RESET: &str = "Canary#Reset=02";
const MODIFIED: &str = "Canary#Modified=03";
const WRONG: &str = "Canary#Wrong=04";
const CLONED: &str = "Canary#Cloned=05";
/// Not a password: a letter of another alphabet.
const MALFORMED: &str = "Canary#Malformed=06ä";

/// A failure and a panic on the way, where the program has such.
const FAILPOINTS: (&str, &str) = (
    "FAILPOINTS",
    "admit_password.before=1*panic->off;login.before=1*return(error)->off;\
     start_first.after=2*return(error)->off",
);

/// What must not be found, with what it is.
struct Canary {
    name: &'static str,
    forms: Vec<String>,
}

impl Canary {
    fn new(name: &'static str, secret: &[u8]) -> Self {
        let hex: Vec<_> = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = hex.concat();
        let mut forms = vec![hex.to_uppercase(), hex];
        // Wherever it begins within the text that was encoded.
        for ahead in 0..3 {
            let text = [&vec![0; ahead][..], secret].concat();
            let encoded = BASE64_STANDARD_NO_PAD.encode(&text);
            let whole = encoded.len() - usize::from(text.len() % 3 != 0);
            forms.push(encoded[(ahead * 8).div_ceil(6)..whole].to_owned());
        }
        if let Ok(text) = str::from_utf8(secret) {
            let once: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let twice: String = form_urlencoded::byte_serialize(once.as_bytes()).collect();
            forms.extend([text.to_owned(), once, twice, text.escape_default().to_string()]);
        }
        forms.sort();
        forms.dedup();
        Self { name, forms }
    }

    fn is_in(&self, text: &str) -> bool {
        self.forms.iter().any(|form| text.contains(form.as_str()))
    }
}

/// The arguments and the environment of every process, looked at all the time.
struct Sampler {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<(String, String)>>>,
    thread: JoinHandle<()>,
}

impl Sampler {
    fn begin() -> Self {
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<Mutex<BTreeSet<_>>>::default());
        let (ends, kept) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                kept.lock().unwrap().extend(processes());
            }
        });
        Self { stop, seen, thread }
    }

    fn has_seen(&self, program: &str) -> bool {
        self.seen.lock().unwrap().iter().any(|(argv, _)| argv.contains(program))
    }

    fn end(self) -> BTreeSet<(String, String)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn processes() -> Vec<(String, String)> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name != own && name.bytes().all(|b| b.is_ascii_digit()))
    });
    let text = |path: PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', "\n")
    };
    pids.map(|entry| (text(entry.path().join("cmdline")), text(entry.path().join("environ"))))
        .filter(|(argv, _)| !argv.is_empty())
        .collect()
}

/// Everything that was told or shown.
#[derive(Default)]
struct Told(Vec<(String, String)>);

impl Told {
    fn hear(&mut self, from: impl Into<String>, text: impl Into<String>) {
        self.0.push((from.into(), text.into()));
    }

    fn ask(&mut self, client: &Client, action: &str, params: &[(&str, &str)]) -> Value {
        let reply = client.call(action, params);
        self.hear(action, &*reply.text);
        reply.json()
    }

    fn run(&mut self, server: &Ourkv, args: &[&str]) {
        let output = server.try_cli(args);
        self.hear(format!("ourkv {args:?}"), String::from_utf8_lossy(&output.stdout));
        self.hear(format!("ourkv {args:?}, stderr"), String::from_utf8_lossy(&output.stderr));
    }
}

/// What a plain HTTP GET answers.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Tries to log in to a memcached by SASL PLAIN; says whether that worked.
fn enter_memcached(created: &Value, password: &str) -> bool {
    let address = format!("{}:{}", created["PrivateIpAddr"].as_str().unwrap(), created["Port"]);
    let value = format!("\0{}\0{password}", id(created));
    let mut request = vec![0_u8; 24];
    (request[0], request[1], request[3]) = (0x80, 0x21, 5);
    request[11] = u8::try_from(5 + value.len()).unwrap();
    request.extend(b"PLAIN");
    request.extend(value.bytes());
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&request).unwrap();
    let mut header = [0_u8; 24];
    stream.read_exact(&mut header).unwrap();
    header[6..8] == [0, 0]
}

/// The instances of the scene, with their tenants' present password.
struct Scene {
    server: Ourkv,
    told: Told,
    redis: Vec<Value>,
    cache: Value,
}

impl Scene {
    fn begin() -> Self {
        let env = [("OURKV_LOG_LEVEL", "trace"), ("RUST_BACKTRACE", "full"), FAILPOINTS];
        let server = Ourkv::start_with(&[], &env);
        let mut told = Told::default();
        let config = r#"{"slowlog-log-slower-than":0}"#;
        let redis = [
            [("InstanceClass", "redis.basic.small.default"), ("EngineVersion", "5.0")],
            [("InstanceClass", "redis.master.small.default"), ("EngineVersion", "5.0")],
            [("InstanceClass", "redis.master.small.default"), ("EngineVersion", "4.0")],
        ];
        let mut create = |more: &[(&str, &str)]| {
            let base = [("RegionId", "cn-hongkong"), ("Password", CREATED), ("Token", more[0].1)];
            let created =
                told.ask(&server.client(), "CreateInstance", &[&base[..2], more].concat());
            server.wait_for(id(&created), "Normal");
            created
        };
        let redis: Vec<_> =
            redis.map(|class| create(&[&class[..], &[("Config", config)]].concat())).into();
        let cache = ("InstanceClass", "memcache.master.small.default");
        let cache = create(&[cache, ("InstanceType", "Memcache")]);
        Self { server, told, redis, cache }
    }

    /// Right and wrong logins, and what the engines tell their tenants of them.
    fn log_in(&mut self, password: &str) {
        for created in &self.redis {
            let refused = log_in_with(created, WRONG).err().unwrap();
            self.told.hear("a refused login", refused.to_string());
            let mut watcher = log_in_with(created, password).unwrap();
            let mut tenant = log_in_with(created, password).unwrap();
            let named = redis::cmd("AUTH").arg(id(created)).arg(password).exec(&mut tenant);
            self.told.hear("a login by name", format!("{named:?}"));
            fill(&mut tenant, "kept");
            for command in ["SLOWLOG GET 128", "CLIENT LIST", "INFO", "CONFIG GET *", "ACL LIST"] {
                let mut words = command.split(' ');
                let mut request = redis::cmd(words.next().unwrap());
                words.for_each(|word| {
                    request.arg(word);
                });
                let answer = request.query::<redis::Value>(&mut tenant);
                self.told.hear(command, format!("{answer:?}"));
            }
            self.told.hear("MONITOR", monitored(&mut watcher, created, password));
        }
        assert!(enter_memcached(&self.cache, password));
        assert!(!enter_memcached(&self.cache, WRONG));
    }

    fn fail(&mut self) {
        let client = self.server.client();
        let instance = id(&self.redis[0]);
        let of = ("InstanceId", instance);
        let account = ("AccountName", instance);
        let size = ("InstanceClass", "redis.basic.small.default");
        let region = ("RegionId", "cn-hongkong");
        for (action, params) in [
            ("CreateInstance", &[region, size, ("Password", MALFORMED)][..]),
            ("CreateInstance", &[region, ("InstanceClass", "none"), ("Password", WRONG)]),
            ("CreateInstance", &[region, size, ("Password", WRONG), ("DryRun", "true")]),
            ("CreateInstance", &[region, size, ("password", WRONG)]),
            ("CreateInstance", &[region, size, ("AdminPassword.1", WRONG)]),
            ("ResetAccountPassword", &[of, account, ("AccountPassword", MALFORMED)]),
            ("ResetAccountPassword", &[of, ("AccountName", "x"), ("AccountPassword", WRONG)]),
            ("ModifyInstanceAttribute", &[of, ("NewPassword", MALFORMED)]),
            ("NoSuchAction", &[of, ("Password", WRONG)]),
        ] {
            self.told.ask(&client, action, params);
            let xml = client.call_v1(action, params, Format::Xml);
            self.told.hear(format!("{action} v1"), xml.text);
        }
        // Its caller is told what it sent; nobody else is.
        let stranger = Client::new(&self.server.address, crate::common::KEY_ID, WRONG);
        let params = [region, size, ("Password", WRONG)];
        stranger.call_v1("CreateInstance", &params, Format::Json);
        let refused = stranger.call("CreateInstance", &params);
        assert_eq!(refused.refusal().1, "SignatureDoesNotMatch");
    }

    fn change_passwords(&mut self) {
        let client = self.server.client();
        for created in self.redis.iter().chain([&self.cache]) {
            let instance = id(created);
            let (of, account) = (("InstanceId", instance), ("AccountName", instance));
            let reset = [of, account, ("AccountPassword", RESET)];
            self.told.ask(&client, "ResetAccountPassword", &reset);
            let modified = [of, ("NewPassword", MODIFIED)];
            self.told.ask(&client, "ModifyInstanceAttribute", &modified);
        }
        let (redis, cache) = (&self.redis, &self.cache);
        self.server.until("the passwords are replaced", |_| {
            let refuses = |created| log_in_with(created, RESET).is_err();
            let takes = |created| log_in_with(created, MODIFIED).is_ok();
            redis.iter().all(takes) && redis.iter().all(refuses) && enter_memcached(cache, MODIFIED)
        });
    }

    fn end_engines(&mut self) {
        for pid in engines(&self.server.dir).into_values() {
            kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
        }
        self.server.kill();
        self.server.serve();
        for created in self.redis.iter().chain([&self.cache]) {
            self.server.wait_for(id(created), "Normal");
        }
    }

    fn move_data(&mut self) {
        let client = self.server.client();
        let (server, pair) = (&self.server, &self.redis[1]);
        let backup = server.back_up(id(pair));
        let link = backup["BackupDownloadURL"].as_str().unwrap();
        let plain = download(link).bytes;
        self.told.hear("a downloaded backup", String::from_utf8_lossy(&plain));
        let number = backup_id(&backup);
        server.restore(id(pair), &number);
        let source = [("SrcDBInstanceId", id(pair)), ("BackupId", &*number)];
        let base = [("RegionId", "cn-hongkong"), ("Password", CLONED), ("EngineVersion", "5.0")];
        let class = [("InstanceClass", "redis.master.small.default")];
        let params = [&base[..], &class, &source].concat();
        let clone = self.told.ask(&client, "CreateInstance", &params);
        server.wait_for(id(&clone), "Normal");
        log_in_with(&clone, CLONED).unwrap();
    }

    /// Everything that operators can ask.
    fn look(&mut self) {
        let instance = id(&self.redis[1]).to_owned();
        for args in [
            &["ls"][..],
            &["audit", "-n", "1000"],
            &["audit", "-n", "1000", "--output", "json"],
            &["doctor"],
            &["engines"],
            &["events", &instance],
            &["backup", "ls"],
            &["key", "ls"],
            &["key-file", "ls"],
            &["account", "ls"],
            &["actions", "ResetAccountPassword"],
        ] {
            self.told.run(&self.server, args);
        }
        let client = self.server.client();
        for (action, params) in [
            ("DescribeInstances", vec![]),
            ("DescribeInstanceAttribute", vec![("InstanceId", &*instance)]),
            ("DescribeBackupPolicy", vec![("InstanceId", &*instance)]),
        ] {
            self.told.ask(&client, action, &params);
        }
        for path in ["/metrics", "/healthz"] {
            self.told.hear(path, get(&self.server.address, path));
        }
    }
}

/// What a tenant who watches sees of another one's login.
fn monitored(watcher: &mut redis::Connection, created: &Value, password: &str) -> String {
    watcher.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let begun = watcher.req_command(&redis::cmd("MONITOR"));
    let mut seen = vec![format!("{begun:?}")];
    if begun.is_ok() {
        log_in_with(created, password).unwrap();
        while let Ok(line) = watcher.recv_response() {
            seen.push(format!("{line:?}"));
        }
    }
    seen.concat()
}

/// What is found of the canaries in some text.
fn found(canaries: &[Canary], place: &str, text: &str, leaks: &mut Vec<String>) {
    let here = canaries.iter().filter(|canary| canary.is_in(text));
    leaks.extend(here.map(|canary| format!("{}: {place}", canary.name)));
}

/// Every file below a directory; all of them are their owner's alone.
fn files(directory: &Path, list: &mut Vec<PathBuf>) {
    for path in fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path()) {
        // An engine may remove what it wrote for a moment.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", path.display());
        if metadata.is_dir() {
            files(&path, list);
        } else if metadata.is_file() {
            list.push(path);
        }
    }
}

/// No process of the scene may leave its memory in a file.
fn cores_are_off(server: &Ourkv) {
    let serve = fs::read_to_string(server.dir.join("lock")).unwrap().trim().parse().unwrap();
    for pid in engines(&server.dir).into_values().chain([serve]) {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let words: Vec<_> = core.split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{limits}");
    }
}

/// The passwords that were chosen.
fn chosen() -> Vec<Canary> {
    let chosen = [
        ("created", CREATED),
        ("reset", RESET),
        ("modified", MODIFIED),
        ("wrong", WRONG),
        ("cloned", CLONED),
        ("malformed", MALFORMED),
    ];
    chosen.map(|(name, password)| Canary::new(name, password.as_bytes())).into()
}

/// The secrets that were drawn: of keys, of the engines, and the keys themselves.
fn drawn(scene: &Scene, second_key: &Value, keys: &[Vec<u8>]) -> Vec<Canary> {
    let mut canaries = vec![
        Canary::new("the secret of a key", second_key["secret"].as_str().unwrap().as_bytes()),
        Canary::new("the secret of the root key", KEY_SECRET.as_bytes()),
    ];
    let store = scene.server.store();
    for created in scene.redis.iter().chain([&scene.cache]) {
        let instance = ourkv_domain::ids::InstanceId::parse(id(created)).unwrap();
        let secrets = store.read_blocking(move |tx| tx.secrets(&instance)).unwrap().unwrap();
        canaries.push(Canary::new("an admin's secret", secrets.admin.expose().as_bytes()));
        canaries.push(Canary::new("a link's secret", secrets.replication.expose().as_bytes()));
    }
    canaries.extend(keys.iter().map(|key| Canary::new("a key of the key file", key)));
    canaries
}

#[test]
fn no_secret_is_left_behind_shown_or_told() {
    let sampler = Sampler::begin();
    let mut scene = Scene::begin();
    let second_key = scene.server.cli(&["key", "create", "--output", "json"]);
    let second_key: Value = serde_json::from_str(&second_key).unwrap();
    let (key, secret) =
        (second_key["id"].as_str().unwrap(), second_key["secret"].as_str().unwrap());
    let client = Client::new(&scene.server.address, key, secret);
    scene.told.ask(&client, "DescribeRegions", &[]);

    scene.log_in(CREATED);
    scene.fail();
    scene.change_passwords();
    scene.log_in(MODIFIED);
    scene.told.run(&scene.server, &["key-file", "rotate"]);
    let keys = fs::read(scene.server.dir.join("secret.key")).unwrap();
    let keys: Vec<_> = keys.chunks(32).map(<[u8]>::to_vec).collect();
    scene.end_engines();
    scene.move_data();
    scene.look();
    // Its program lives for milliseconds.
    let cache = id(&scene.cache).to_owned();
    let of = [("InstanceId", &*cache), ("AccountName", &*cache), ("AccountPassword", RESET)];
    scene.server.until("saslpasswd2 is seen", |server| {
        server.client().call("ResetAccountPassword", &of);
        sampler.has_seen("saslpasswd2")
    });
    scene.server.until("the passwords are replaced", |_| enter_memcached(&scene.cache, RESET));
    cores_are_off(&scene.server);
    let processes = sampler.end();

    let mut canaries = chosen();
    canaries.extend(drawn(&scene, &second_key, &keys));

    let mut leaks = Vec::new();
    found(&canaries, "the log", &scene.server.log(), &mut leaks);
    for (from, text) in &scene.told.0 {
        found(&canaries, from, text, &mut leaks);
    }
    for (argv, environ) in &processes {
        found(&canaries, &format!("arguments of {argv}"), argv, &mut leaks);
        // An operator hands the first key over by the environment, in which it stays.
        let given = format!("OURKV_ACCESS_KEY_SECRET={KEY_SECRET}");
        let environ = environ.replace(&given, "");
        found(&canaries, &format!("environment of {argv}"), &environ, &mut leaks);
    }
    let mut list = Vec::new();
    files(&scene.server.dir, &mut list);
    assert!(list.iter().any(|file| file.ends_with("ourkv.db-wal")), "{list:?}");
    for file in list {
        let name = file.file_name().unwrap().to_str().unwrap();
        if ["secret.key", "credentials", "sasldb"].contains(&name) {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap_or_default()).into_owned();
        found(&canaries, &file.display().to_string(), &text, &mut leaks);
    }
    leaks.sort();
    leaks.dedup();
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[test]
fn what_is_looked_for_is_found_in_every_form() {
    let canary = Canary::new("a password", b"Canary#Form=07");
    for form in [
        "AUTH Canary#Form=07\r\n",
        "Password=Canary%23Form%3D07&",
        "Password%3DCanary%2523Form%253D07",
        "43616e61727923466f726d3d3037",
        "43616E61727923466F726D3D3037",
    ] {
        assert!(canary.is_in(form), "{form}");
    }
    for ahead in ["", "x", "xy", "xyz"] {
        for behind in ["", "x", "xy"] {
            let text = format!("{ahead}Canary#Form=07{behind}");
            assert!(canary.is_in(&BASE64_STANDARD_NO_PAD.encode(&text)), "{text}");
        }
    }
    assert!(!canary.is_in("Canary#Form=08"));
}
