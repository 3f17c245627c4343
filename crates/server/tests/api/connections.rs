//! Connections of the API that ask for nothing: slow, idle, half closed, without end, and more of
//! them than there are descriptors. Callers are answered all along, or at the latest when the time
//! of those is over; engines are not touched; and nothing needs a restart.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use redis::Commands;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit, setrlimit};
use serde_json::Value;

use crate::common::{Ourkv, PASSWORD, PATIENCE};
use crate::failover::{until_followed, write_again, write_to_both};
use crate::tenant::{engines, id, login};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: [(&str, &str); 2] =
    [("InstanceClass", "redis.master.small.default"), ("EngineVersion", "4.0")];

/// No connection is dropped for being slow or idle while a test goes on.
const PATIENT: [(&str, &str); 3] = [
    ("OURKV_LIMITS_HEADER_SECONDS", "600"),
    ("OURKV_LIMITS_BODY_SECONDS", "600"),
    ("OURKV_LIMITS_STALL_SECONDS", "600"),
];

/// Each is, soon.
const STRICT: [(&str, &str); 3] = [
    ("OURKV_LIMITS_HEADER_SECONDS", "2"),
    ("OURKV_LIMITS_BODY_SECONDS", "2"),
    ("OURKV_LIMITS_STALL_SECONDS", "2"),
];

/// Connections that ask for nothing.
const CROWD: usize = 10_000;

/// Room for the descriptors of this process, which has the other ends.
pub(crate) fn raise_file_limit(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum;
    assert!(most.is_none_or(|most| most >= wanted), "{wanted} open files are needed: ulimit -Hn");
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
}

fn connect(server: &Ourkv) -> TcpStream {
    let address: SocketAddr = server.address.parse().unwrap();
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A connection that was of use once.
fn kept(server: &Ourkv) -> TcpStream {
    let mut stream = connect(server);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    stream
}

/// What clients send that are no use to anybody.
const BEGINNINGS: [&str; 5] = [
    "",
    "GET /?Action=Describe",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab",
    "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /he",
];

/// The `n`-th of many such connections; every tenth says that it sends no more.
fn idler(server: &Ourkv, n: usize) -> TcpStream {
    // One in five waits for an answer first, so that there are no more than the server has taken.
    let mut stream = if n.is_multiple_of(5) { kept(server) } else { connect(server) };
    stream.write_all(BEGINNINGS[n % BEGINNINGS.len()].as_bytes()).unwrap();
    if n % 10 >= 8 {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    stream
}

/// Asks again and again, as fast as the server takes it, and reads nothing of the answers.
fn insatiable(server: &Ourkv) -> TcpStream {
    let mut stream = connect(server);
    stream.set_nonblocking(true).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let began = Instant::now();
    loop {
        match stream.write(request.as_bytes()) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        assert!(began.elapsed() < PATIENCE, "the server takes whatever is sent");
    }
    stream
}

/// Waits until one that asks without end is left alone. It reads nothing meanwhile: each answer that
/// is taken makes room for the next one.
fn until_left(mut stream: TcpStream) {
    let began = Instant::now();
    while stream.write(b"G").map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |_| true) {
        assert!(began.elapsed() < PATIENCE, "a connection stays");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the end of a connection, by whichever side of TCP.
fn until_dropped(mut stream: TcpStream) {
    let mut rest = [0; 1 << 10];
    loop {
        match stream.read(&mut rest) {
            Ok(1..) => {}
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                panic!("a connection stays")
            }
            Ok(0) | Err(_) => return,
        }
    }
}

fn descriptors(pid: Pid) -> usize {
    let path = PathBuf::from(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    std::fs::read_dir(path).unwrap().count()
}

/// What a process has in memory, in KiB.
fn resident(pid: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Calls are answered, and what is created comes up.
fn serves(server: &Ourkv) {
    server.client().call("DescribeRegions", &[]).expect_ok();
    let created = server.normal(&[STANDALONE]);
    login(&created);
    server.client().call("DeleteInstance", &[("InstanceId", id(&created))]).expect_ok();
}

#[test]
fn ten_thousand_that_ask_for_nothing_delay_nobody() {
    raise_file_limit(CROWD as u64 + 1000);
    let server = Ourkv::start_with(&[], &PATIENT);
    serves(&server);
    let pid = server.pid();
    let before = resident(pid);
    let crowd = crowd(CROWD, |n| idler(&server, n));
    server.until("all are there", |_| descriptors(pid) > CROWD / 5 * 4);
    let insatiable: Vec<_> = (0..5).map(|_| insatiable(&server)).collect();
    serves(&server);
    let most = resident(pid);
    println!("{CROWD} connections: {before} KiB before, {most} KiB with them");
    // Far more than they need, and far less than a buffer of full size for each.
    assert!(most < before + 40 * CROWD as u64, "{before} KiB before, {most} KiB with them");
    drop((crowd, insatiable));
    server.until("nothing of them is left", |_| descriptors(pid) < 200);
    serves(&server);
    assert_eq!(server.pid(), pid);
}

/// Makes connections from several threads.
fn crowd(count: usize, connection: impl Fn(usize) -> TcpStream + Sync) -> Vec<TcpStream> {
    const THREADS: usize = 8;
    std::thread::scope(|scope| {
        let connection = &connection;
        let part = |first: usize| {
            move || (first..count).step_by(THREADS).map(connection).collect::<Vec<_>>()
        };
        let parts: Vec<_> = (0..THREADS).map(|first| scope.spawn(part(first))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

#[test]
fn whoever_is_too_slow_is_dropped() {
    let server = Ourkv::start_with(&[], &STRICT);
    let idlers: Vec<_> = (0..200).map(|n| idler(&server, n)).collect();
    let insatiable: Vec<_> = (0..3).map(|_| insatiable(&server)).collect();
    // One that sends a byte now and then is not any better.
    let mut drip = connect(&server);
    let began = Instant::now();
    while drip.write_all(b"x").is_ok() {
        assert!(began.elapsed() < PATIENCE, "a connection stays");
        std::thread::sleep(Duration::from_millis(50));
    }
    idlers.into_iter().for_each(until_dropped);
    insatiable.into_iter().for_each(until_left);
    let pid = server.pid();
    server.until("nothing of them is left", |_| descriptors(pid) < 100);
    serves(&server);
}

/// The limit on open files that this server can't raise: few more than an engine needs. And how
/// many of them it keeps from connections.
const FILES: usize = 11_000;
const KEPT: usize = 4096;

#[test]
fn connections_leave_the_engines_their_descriptors() {
    raise_file_limit(FILES as u64);
    let mut server = Ourkv::prepare(&[], &PATIENT);
    let limit = format!("--nofile={FILES}:{FILES}");
    let mut wrapper = vec!["prlimit", limit.as_str()];
    if rustix::process::geteuid().is_root() {
        // Who has this raises any limit.
        wrapper.splice(..0, ["setpriv", "--bounding-set", "-sys_resource"]);
    }
    server.started_by(&wrapper);
    server.serve();
    assert!(server.log().contains("the limit on open files allows fewer connections"));
    let pair = server.normal(&PAIR);
    write_to_both(&mut login(&pair), "before");
    let before = engines(&server.dir);
    let pid = server.pid();
    let most = FILES - KEPT;
    let mut crowd = crowd(most - 100, |_| kept(&server));
    crowd.extend((0..150).map(|_| connect(&server)));
    server.until("no further connection is taken", |_| descriptors(pid) >= most);
    // It is replaced, and started again, by a server that takes no more connections.
    kill(*before.iter().find(|(dir, _)| dir.ends_with("/0")).unwrap().1);
    write_again(&pair, PASSWORD, "afterwards");
    until_followed(&server, &pair);
    assert!(descriptors(pid) < most + 200, "some are left for the engines");
    assert_eq!(login(&pair).get::<_, String>("before").unwrap(), "before");
    // Who calls is answered once there are fewer of them.
    drop(crowd);
    serves(&server);
    assert_eq!(server.pid(), pid);
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn without_descriptors_what_runs_goes_on_and_the_rest_waits() {
    let mut server = Ourkv::start();
    let (single, pair) = (server.normal(&[STANDALONE]), server.normal(&PAIR));
    write_to_both(&mut login(&pair), "before");
    let mut tenants = [login(&single), login(&pair)];
    let (pid, before) = (server.pid(), engines(&server.dir));
    let limit = file_limit(pid);
    // Whatever it opens from now on would have a number above this.
    let none = Rlimit { current: Some(3), ..limit };
    prlimit(Some(pid), Resource::Nofile, none).unwrap();
    let mut waiting = connect(&server);
    waiting.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    server.until("it is out of descriptors", |server| {
        server.log().contains("a connection could not be accepted")
    });
    let of = |created: &Value, which: &str| {
        let is_it = |dir: &str| dir.contains(id(created)) && dir.ends_with(which);
        before.iter().find(|(dir, _)| is_it(dir)).map(|(dir, pid)| (dir.clone(), *pid)).unwrap()
    };
    for created in [&single, &pair] {
        kill(of(created, "/0").1);
    }
    assert!(tenants[0].ping::<String>().is_err(), "its engine ended");
    assert!(server.runs());
    // A replica was not touched, and a client of an engine never had to do with the server.
    let (dir, pid_of_replica) = of(&pair, "/1");
    assert_eq!(engines(&server.dir).get(&dir), Some(&pid_of_replica));

    prlimit(Some(pid), Resource::Nofile, limit).unwrap();
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "who waited is answered: {answer}");
    for created in [&single, &pair] {
        write_again(created, PASSWORD, "afterwards");
        server.wait_for(id(created), "Normal");
    }
    until_followed(&server, &pair);
    assert_eq!(login(&pair).get::<_, String>("before").unwrap(), "before");
    serves(&server);
    assert_eq!(server.pid(), pid, "it was not started again");
    let told = server.log().matches("a connection could not be accepted").count();
    assert!(told < 10, "it says so once, not {told} times");
}

/// The limit on open files of another process.
fn file_limit(pid: Pid) -> Rlimit {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    // None of them is `unlimited`: the kernel has a largest one.
    let mut words = line.split_whitespace().map(|word| word.parse().ok());
    Rlimit { current: words.next().unwrap(), maximum: words.next().unwrap() }
}
