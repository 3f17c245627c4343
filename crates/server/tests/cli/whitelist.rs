//! Whitelists in force: real engines, the real packet filter, in a network namespace of its own
//! for each test, so that no rule ever stands in the machine's own network. Clients bind different
//! addresses of 127.0.0.0/8, and on a machine like this one that is all that tells them apart.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CapabilitySet, capabilities};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::common::{Ourkv, PASSWORD, PATIENCE};
use crate::own_namespace::{can_have_own_network, in_own_network, is_in_own_namespace};

const ENFORCED: (&str, &str) = ("OURKV_NETWORK_WHITELIST", "enforce");
const AUTO: (&str, &str) = ("OURKV_NETWORK_WHITELIST", "auto");
const SINGLE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
/// What clients of this machine have unless they bind something else.
const USUAL: [u8; 4] = [127, 0, 0, 1];
const OTHER: [u8; 4] = [127, 0, 0, 9];

/// Runs the test in a network of its own; where this machine lets nobody have one, `ourkv` must
/// say there whether whitelists are in force, and be right.
fn where_enforced(name: &str, test: impl FnOnce()) {
    if is_in_own_namespace() || can_have_own_network() {
        return in_own_network(name, test);
    }
    let (state, found) = finding(&Ourkv::prepare(&[], &[AUTO]));
    if capabilities(None).unwrap().effective.contains(CapabilitySet::NET_ADMIN) {
        assert_eq!((&*state, &*found), ("ok", "enforced by nftables"));
    } else {
        assert_eq!(state, "warning");
        assert!(found.contains("not enforced here"), "{found}");
    }
}

/// A client that is logged in.
struct Session {
    stream: TcpStream,
    runtime: tokio::runtime::Runtime,
}

impl Session {
    /// Connects from an address and logs in.
    fn open(created: &Value, from: impl Into<IpAddr>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ip: Ipv4Addr = created["PrivateIpAddr"].as_str().unwrap().parse().unwrap();
        let port = u16::try_from(created["Port"].as_u64().unwrap()).unwrap();
        let from = (from.into(), 0).into();
        let connecting = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(from)?;
            tokio::time::timeout(PATIENCE, socket.connect((ip, port).into())).await?
        };
        let stream = runtime.block_on(connecting)?;
        let mut session = Self { stream, runtime };
        assert_eq!(session.ask(&format!("AUTH {PASSWORD}"))?, "+OK");
        Ok(session)
    }

    /// The first line that it answers.
    fn ask(&mut self, command: &str) -> std::io::Result<String> {
        let Self { stream, runtime } = self;
        let asking = async {
            stream.write_all(format!("{command}\r\n").as_bytes()).await?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"\n") {
                answer.push(stream.read_u8().await?);
            }
            Ok(String::from_utf8(answer).unwrap().trim_end().to_owned())
        };
        runtime.block_on(async { tokio::time::timeout(PATIENCE, asking).await? })
    }
}

/// Whether a client gets in; one that does not must be told at once.
fn gets_in(created: &Value, from: [u8; 4]) -> bool {
    match Session::open(created, from).and_then(|mut session| session.ask("PING")) {
        Ok(answer) => answer == "+PONG",
        Err(error) => {
            let told = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
            assert!(told.contains(&error.kind()), "{error}");
            false
        }
    }
}

fn id(created: &Value) -> &str {
    created["InstanceId"].as_str().unwrap()
}

fn modify(server: &Ourkv, created: &Value, list: &str, more: &[(&str, &str)]) {
    let params = [&[("InstanceId", id(created)), ("SecurityIps", list)], more].concat();
    server.client().call("ModifySecurityIps", &params).expect_ok();
}

/// Waits until one gets in, or does not.
fn until(server: &Ourkv, created: &Value, from: [u8; 4], wanted: bool) {
    server.until(&format!("{from:?} gets in: {wanted}"), |_| gets_in(created, from) == wanted);
}

/// All rules of this network.
fn rules() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn finding(server: &Ourkv) -> (String, String) {
    let output = server.try_cli(&["doctor", "--output", "json"]).stdout;
    let findings: Value = serde_json::from_slice(&output).unwrap();
    let found = findings.as_array().unwrap().iter().find(|f| f["check"] == "whitelist").unwrap();
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("found") + &text("advice"))
}

#[test]
fn lets_in_whom_it_names_and_nobody_else() {
    where_enforced("whitelist::lets_in_whom_it_names_and_nobody_else", || {
        let server = Ourkv::start_with(&[], &[ENFORCED]);
        let created = server.normal(&[SINGLE]);
        assert!(gets_in(&created, USUAL), "as every client of this machine");
        assert!(!gets_in(&created, OTHER));

        let mut session = Session::open(&created, USUAL).unwrap();
        modify(&server, &created, "127.0.0.9", &[]);
        until(&server, &created, OTHER, true);
        assert!(!gets_in(&created, USUAL), "the change came as one");
        let cut = session.ask("PING").unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::ConnectionReset, "also in the middle of a session");

        let attributes = server.attributes(id(&created));
        assert_eq!(attributes["SecurityIPList"], "127.0.0.9");
        assert_eq!(attributes["InstanceStatus"], "Normal", "ourkv itself is not locked out");

        let own = [("SecurityIpGroupName", "own"), ("ModifyMode", "Append")];
        modify(&server, &created, "127.0.0.0/30", &own);
        until(&server, &created, USUAL, true);
        assert!(gets_in(&created, OTHER), "whoever stands in any group gets in");
        modify(&server, &created, "127.0.0.0/30", &[own[0], ("ModifyMode", "Delete")]);
        until(&server, &created, USUAL, false);

        modify(&server, &created, "10.0.0.0/8,0.0.0.0/0", &[]);
        for client in [USUAL, OTHER, [127, 99, 99, 99]] {
            until(&server, &created, client, true);
        }
    });
}

#[test]
fn a_list_ends_with_its_instance() {
    where_enforced("whitelist::a_list_ends_with_its_instance", || {
        let server = Ourkv::start_with(&[], &[ENFORCED, ("OURKV_BACKUP_FINAL", "false")]);
        let created = server.normal(&[SINGLE]);
        modify(&server, &created, "0.0.0.0/0", &[]);
        until(&server, &created, OTHER, true);
        server.client().call("DeleteInstance", &[("InstanceId", id(&created))]).expect_ok();
        server.until("its rules are gone", |_| !rules().contains("list_"));
        // Where addresses are given again, the next one must not inherit.
        let next = server.normal(&[SINGLE]);
        assert!(gets_in(&next, USUAL) && !gets_in(&next, OTHER));
    });
}

/// Ends the first engine of an instance, which is the master at first.
fn kill_first(server: &Ourkv, created: &Value) {
    let whose = format!("/{}.", id(created));
    let home = |entry: &std::fs::DirEntry| std::fs::read_link(entry.path().join("cwd")).ok();
    let is_it = |entry: &std::fs::DirEntry| {
        home(entry).is_some_and(|home| {
            let home = home.to_string_lossy();
            home.starts_with(&*server.dir.to_string_lossy())
                && home.contains(&whose)
                && home.ends_with("/0")
        })
    };
    let found = std::fs::read_dir("/proc").unwrap().flatten().find(is_it).unwrap();
    let pid = found.file_name().to_str().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// A pair of each engine that is installed: how a replica connects depends on it.
#[test]
fn a_pair_goes_on_whoever_is_let_in() {
    where_enforced("whitelist::a_pair_goes_on_whoever_is_let_in", || {
        let server = Ourkv::start_with(&[], &[ENFORCED]);
        for version in ["2.8", "4.0", "5.0"] {
            let created = server.normal(&[("EngineVersion", version)]);
            modify(&server, &created, "127.0.0.9", &[]);
            until(&server, &created, OTHER, true);
            let mut session = Session::open(&created, OTHER).unwrap();
            session.ask("SET kept yes").unwrap();
            // 2.8 knows no WAIT, and the last write of a master that is killed may be lost.
            let waited = session.ask("WAIT 1 60000").unwrap();
            assert!(waited == ":1" || version == "2.8", "{version}: {waited}");
            kill_first(&server, &created);
            server.until("the replica takes over", |server| {
                let events = server.cli(&["events", id(&created), "--output", "json"]);
                assert!(!events.contains("LostWrites"), "{version}: {events}");
                events.contains("\"FailedOver\"")
            });
            until(&server, &created, OTHER, true);
            let mut session = Session::open(&created, OTHER).unwrap();
            let kept = session.ask("GET kept").unwrap();
            assert!(kept == "$3" || version == "2.8", "{version}: {kept}");
            // A replica of 2.8 may come from there, and so may all of its user.
            assert!(version == "2.8" || !gets_in(&created, USUAL), "{version}");
        }
    });
}

#[test]
fn rules_last_as_long_as_the_engines() {
    where_enforced("whitelist::rules_last_as_long_as_the_engines", || {
        let mut server = Ourkv::start_with(&[], &[ENFORCED]);
        let created = server.normal(&[SINGLE]);
        modify(&server, &created, "127.0.0.9", &[]);
        until(&server, &created, OTHER, true);
        assert_eq!(finding(&server).0, "ok");
        server.kill();
        assert!(!gets_in(&created, USUAL) && gets_in(&created, OTHER), "while nobody serves");
        server.serve();
        assert!(!gets_in(&created, USUAL) && gets_in(&created, OTHER));

        assert!(Command::new("nft").args(["flush", "ruleset"]).status().unwrap().success());
        until(&server, &created, USUAL, false);
        server.kill();
        server.cli(&["down"]);
        assert_eq!(rules(), "");

        server.serve();
        server.wait_for(id(&created), "Normal");
        assert!(!gets_in(&created, USUAL) && gets_in(&created, OTHER), "it is remembered");
        server.restart(&[("OURKV_NETWORK_WHITELIST", "off")]);
        server.until("nothing is left of it", |_| rules().is_empty());
        assert!(gets_in(&created, USUAL));
        assert!(finding(&server).1.contains("not enforced: network.whitelist is off"));
    });
}

/// A client elsewhere reaches an address of the machine through a wire.
#[test]
fn clients_of_other_machines_are_told_apart() {
    where_enforced("whitelist::clients_of_other_machines_are_told_apart", || {
        let elsewhere = Elsewhere::start();
        elsewhere.wire();
        let server = Ourkv::start_with(&["--host-addresses"], &[ENFORCED]);
        let (vpc, vswitch) = server.vswitch("cn-hongkong-b", "172.16.0.0/24");
        let created = server.normal(&[
            SINGLE,
            ("NetworkType", "VPC"),
            ("VpcId", &vpc),
            ("VSwitchId", &vswitch),
            ("PrivateIpAddress", "172.16.0.10"),
        ]);
        assert!(elsewhere.ping().contains("refused"), "by the default list");
        modify(&server, &created, "10.9.0.0/30", &[]);
        server.until("it gets in", |_| elsewhere.ping().contains("NOAUTH"));
        modify(&server, &created, "10.9.0.1", &[]);
        server.until("it does not", |_| elsewhere.ping().contains("refused"));
    });
}

/// Another network at the end of a wire. Its only process ends with it.
struct Elsewhere {
    process: std::process::Child,
    pid: String,
}

impl Elsewhere {
    fn start() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "600"]);
        let process = command.spawn().unwrap();
        let pid = process.id().to_string();
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let network = format!("/proc/{pid}/ns/net");
        while std::fs::read_link(&network).unwrap() == own {
            std::thread::yield_now();
        }
        Self { process, pid }
    }

    /// This side is 10.9.0.1, the other one 10.9.0.2.
    fn wire(&self) {
        let pid = &self.pid;
        let inside = format!("nsenter --net=/proc/{pid}/ns/net");
        let script = format!(
            "ip link add veth0 type veth peer name veth1 netns {pid} && \
             ip address add 10.9.0.1/30 dev veth0 && ip link set veth0 up && \
             {inside} ip address add 10.9.0.2/30 dev veth1 && {inside} ip link set veth1 up && \
             {inside} ip route add default via 10.9.0.1"
        );
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// What a client there is told.
    fn ping(&self) -> String {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.pid));
        let output = command.args(["redis-cli", "-h", "172.16.0.10", "ping"]).output().unwrap();
        let [said, talk] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap());
        (said + &talk).replace("Connection reset", "refused")
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whatever breaks between the store and the kernel, the next pass or the next process makes up
/// for it.
#[cfg(feature = "failpoints")]
#[test]
fn a_change_that_is_cut_off_comes_into_force() {
    where_enforced("whitelist::a_change_that_is_cut_off_comes_into_force", || {
        // The first time is at the start, when there is no list yet.
        for how in ["1*off->1*return(error)->off", "1*off->return(abort)", "1*off->pause"] {
            for point in ["guard_apply.before", "guard_apply.after"] {
                let set = format!("{point}={how}");
                let mut server = Ourkv::start_with(&[], &[ENFORCED, ("FAILPOINTS", &set)]);
                let created = server.normal(&[SINGLE]);
                modify(&server, &created, "127.0.0.9", &[]);
                if how.contains("abort") {
                    server.until_it_ends();
                }
                if !how.contains("error") {
                    server.restart(&[ENFORCED]);
                }
                until(&server, &created, OTHER, true);
                until(&server, &created, USUAL, false);
                assert_eq!(server.attributes(id(&created))["SecurityIPList"], "127.0.0.9");
            }
        }
    });
}

#[test]
fn without_the_capability_it_says_so_and_serves_unless_told_to_enforce() {
    let run = |arguments: &[&str], mode: &str| {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"]);
        command.arg(env!("CARGO_BIN_EXE_ourkv")).args(arguments);
        command.arg("--data-dir").arg(home.path().join("data"));
        command.env("OURKV_NETWORK_WHITELIST", mode).output().unwrap()
    };
    if rustix::process::geteuid().is_root() {
        for (mode, state) in [("auto", "warning"), ("enforce", "problem")] {
            let output = run(&["doctor", "--output", "json"], mode).stdout;
            let findings: Value = serde_json::from_slice(&output).unwrap();
            let all = findings.as_array().unwrap();
            let found = all.iter().find(|f| f["check"] == "whitelist").unwrap();
            assert_eq!(found["state"], state, "{findings:#}");
            let text = found["found"].as_str().unwrap();
            assert_eq!(text, "not enforced here: this process may not change the packet filter");
            assert!(found["advice"].as_str().unwrap().contains("CAP_NET_ADMIN"));
        }
        let refused = run(&["serve", "--listen", "127.0.0.1:0", "--dns", "off"], "enforce");
        let talk = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{talk}");
        assert!(refused.stdout.is_empty(), "it answered nobody");
        assert!(talk.contains("network.whitelist is `enforce`"), "{talk}");
    } else {
        let server = Ourkv::start_with(&[], &[AUTO]);
        assert!(finding(&server).1.contains("not enforced here"));
        assert!(gets_in(&server.normal(&[SINGLE]), OTHER));
    }
}
