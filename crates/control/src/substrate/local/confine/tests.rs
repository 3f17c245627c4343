//! Code that runs in an engine's place, and what it reaches.
//!
//! A Python program stands for a tenant who has come to run code in an engine. It is started as
//! engines are, tries everything once and tells what the kernel answered.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

use super::*;

const PYTHON: &str = "/usr/bin/python3";
const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 201, 0, 61);
const OTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 201, 0, 62);
const GREEDY_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 201, 0, 64);
const FUGITIVES_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 201, 0, 63);
/// An unprivileged user that every machine has.
const NOBODY: u32 = 65534;

/// Prints a line for each attempt: its name, and `done` or the error.
const PROBE: &str = r#"
import errno, os, signal, socket, sys
home, control, control_port, own_port, abstract, neighbour = sys.argv[1:7]

def attempt(name, work):
    try:
        work()
        answer = "done"
    except OSError as error:
        answer = errno.errorcode[error.errno]
    print(name, answer, flush=True)

def read(path):
    with open(path, "rb") as file:
        file.read(1)

def enter(path):
    open(path, "rb").close()

def write(path):
    with open(path, "wb") as file:
        file.write(b"x")

def connect(port):
    stream = socket.create_connection(("127.0.0.1", int(port)))
    stream.close()

def listen(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(port)))
    listener.listen()
    return listener

def serve_itself():
    listener = listen(own_port)
    connect(own_port)
    listener.close()

def end_a_child():
    child = os.fork()
    if child == 0:
        signal.pause()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

def move():
    write("file"); os.mkdir("parts"); os.rename("file", "parts/file")
    os.remove("parts/file"); os.rmdir("parts")

def execute(path):
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            raise OSError(code, "")
        return
    try:
        os.execv(path, [path, "-c", ":"])
    except OSError as error:
        os._exit(error.errno)

def speak_abstract():
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect("\0" + abstract)

for name, work in {
    "own-file": move,
    "own-port": serve_itself,
    "own-child": end_a_child,
    "own-socket": lambda: socket.socket(socket.AF_UNIX).bind("admin.sock"),
    "own-memory": lambda: read("/proc/self/smaps"),
    "null": lambda: write("/dev/null"),
    "store": lambda: read(home + "/ourkv.db"),
    "key": lambda: read(home + "/secret.key"),
    "neighbour-data": lambda: read(home + "/engines/b/0/dump.rdb"),
    "neighbour-beside": lambda: read("../../b/0/dump.rdb"),
    "neighbour-list": lambda: os.listdir("../.."),
    "neighbour-write": lambda: write(home + "/engines/b/0/dump.rdb"),
    "neighbour-link": lambda: os.link(home + "/engines/b/0/dump.rdb", "stolen"),
    "neighbour-name": lambda: os.symlink(home + "/engines/b/0/dump.rdb", "name"),
    "pipe": lambda: os.mkfifo("pipe"),
    "elsewhere": lambda: write("/tmp/ourkv-probe"),
    "passwords": lambda: read("/etc/passwd"),
    "shell": lambda: execute("/bin/sh"),
    "control-signal": lambda: os.kill(int(control), 0),
    "neighbour-signal": lambda: os.kill(int(neighbour), 0),
    "control-memory": lambda: enter(f"/proc/{control}/mem"),
    "control-environment": lambda: read(f"/proc/{control}/environ"),
    "neighbour-environment": lambda: read(f"/proc/{neighbour}/environ"),
    "neighbour-files": lambda: os.listdir(f"/proc/{neighbour}/fd"),
    "neighbour-directory": lambda: read(f"/proc/{neighbour}/cwd/dump.rdb"),
    "processes": lambda: os.listdir("/proc"),
    "control-port": lambda: connect(control_port),
    "other-port": lambda: listen(0),
    "abstract": speak_abstract,
    "root": lambda: os.setuid(0),
    "limit": lambda: os.nice(-5),
}.items():
    attempt(name, work)
"#;

/// What an engine needs.
const GRANTED: &[&str] = &["own-file", "own-port", "own-child", "own-socket", "own-memory", "null"];
/// What it may not, whatever the machine has: it is neither root nor has a way to become that.
const REFUSED: &[&str] = &["root", "limit"];
/// What its user keeps from it.
const REFUSED_BY_USER: &[&str] = &[
    "store",
    "key",
    "neighbour-data",
    "neighbour-beside",
    "neighbour-list",
    "neighbour-write",
    "neighbour-link",
    "control-signal",
    "neighbour-signal",
    "control-memory",
    "control-environment",
    "neighbour-environment",
    "neighbour-files",
    "neighbour-directory",
];
/// What Landlock keeps from it, and since which version.
const REFUSED_BY_WALLS: &[(&str, i32)] = &[
    ("store", 2),
    ("key", 2),
    ("neighbour-data", 2),
    ("neighbour-beside", 2),
    ("neighbour-list", 2),
    ("neighbour-write", 2),
    ("neighbour-link", 2),
    ("neighbour-name", 2),
    ("pipe", 2),
    ("elsewhere", 2),
    ("passwords", 2),
    ("shell", 2),
    ("control-memory", 2),
    ("control-environment", 2),
    ("neighbour-environment", 2),
    ("neighbour-files", 2),
    ("neighbour-directory", 2),
    ("processes", 2),
    ("control-port", 4),
    ("other-port", 4),
    ("control-signal", 6),
    ("neighbour-signal", 6),
    ("abstract", 6),
];

/// A data directory as a node has it, closed to others.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for engine in ["engines/a/0", "engines/b/0"] {
            std::fs::create_dir_all(home.path().join(engine)).unwrap();
        }
        for file in ["ourkv.db", "secret.key", "engines/b/0/dump.rdb"] {
            std::fs::write(home.path().join(file), "secret").unwrap();
        }
        Self(home)
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.0.path().join("engines").join(name).join("0")
    }
}

/// A process that is ended with its test.
struct Neighbour(Child);

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(
    confiner: &Confiner,
    directory: &Path,
    address: Ipv4Addr,
    port: u16,
    words: &[&str],
) -> Child {
    let user = confiner.user_at(address);
    hand_over(directory, user).unwrap();
    let cell = Cell { directory, user, port: Some(port), priority: None };
    let arguments = words.iter().map(|word| (*word).to_owned()).collect();
    let launch = Launch { arguments, environment: Vec::new(), input: None };
    let (input, output, error) = (Stdio::null(), Stdio::piped(), Stdio::inherit());
    confiner.spawn(PYTHON.as_ref(), &launch, cell, Streams { input, output, error }).unwrap()
}

/// What the kernel answered to each attempt.
fn probe(confiner: &Confiner) -> BTreeMap<String, String> {
    let home = Home::new();
    let control = TcpListener::bind("127.0.0.1:0").unwrap();
    let control_port = control.local_addr().unwrap().port().to_string();
    let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let name = format!("ourkv-{}-{own}", std::process::id());
    let _abstract =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let waits = ["-c", "import signal; print('', flush=True); signal.pause()"];
    let mut neighbour = Neighbour(run(confiner, &home.directory("b"), OTHER_ADDRESS, 6379, &waits));
    // It is what it is to be once it has said something.
    neighbour.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let home_path = home.0.path().to_str().unwrap();
    let (process, other) = (std::process::id().to_string(), neighbour.0.id().to_string());
    let own_port = own.to_string();
    let words = ["-c", PROBE, home_path, &process, &control_port, &own_port, &name, &other];
    let probe = run(confiner, &home.directory("a"), OWN_ADDRESS, own, &words);
    let told = probe.wait_with_output().unwrap();
    assert!(told.status.success());
    let told = String::from_utf8(told.stdout).unwrap();
    told.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, answer)| (name.to_owned(), answer.to_owned()))
        .collect()
}

#[test]
fn code_in_an_engine_reaches_what_the_engine_needs_and_nothing_else() {
    let scratch = tempfile::tempdir().unwrap();
    let confiner = Confiner::new(Confinement::default(), scratch.path()).unwrap();
    // As it becomes the user where the kernel keeps it from signalling, and where it does not.
    let by_child = Confiner { scopes_signals: false, ..confiner.clone() };
    for confiner in [confiner, by_child] {
        check(&confiner, &probe(&confiner));
    }
}

fn check(confiner: &Confiner, answers: &BTreeMap<String, String>) {
    for name in GRANTED {
        assert_eq!(answers[*name], "done", "{name}: {answers:?}");
    }
    let by_user = confiner.first_user.map_or(&[][..], |_| REFUSED_BY_USER);
    let version = abilities(FIRST_USER).walls.unwrap_or(0);
    let by_walls = REFUSED_BY_WALLS.iter().filter(|(_, since)| *since <= version);
    let refused = REFUSED.iter().chain(by_user).chain(by_walls.map(|(name, _)| name));
    for name in refused {
        let answer = answers[*name].as_str();
        assert!(["EACCES", "EPERM", "EXDEV"].contains(&answer), "{name}: {answers:?}");
    }
}

/// The test above is about root's engines where it is root who tests.
#[test]
fn nor_where_the_control_plane_is_no_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let own = std::env::current_exe().unwrap();
    let (mut command, _way) = by_open_ways(&own, "/tmp".as_ref()).unwrap();
    command.uid(NOBODY).gid(NOBODY);
    let name = "code_in_an_engine_reaches_what_the_engine_needs_and_nothing_else";
    let path = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
    let told = command.args([&path, "--exact"]).output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn what_is_not_confined_reaches_it_all() {
    let scratch = tempfile::tempdir().unwrap();
    let off = Confinement { confine: Confine::Off, ..Confinement::default() };
    let answers = probe(&Confiner::new(off, scratch.path()).unwrap());
    for (name, _) in REFUSED_BY_WALLS {
        assert_eq!(answers[*name], "done", "{name}: {answers:?}");
    }
}

/// It takes what it can get, once it has its bounds, and tells how much that was.
const GREEDY: &str = r#"
import mmap, os, signal, sys
sys.stdin.readline()
children, files, memory = [], [], []
try:
    while len(children) < 200:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
try:
    while len(memory) < 100:
        memory.append(mmap.mmap(-1, 64 << 20))
except (OSError, MemoryError):
    pass
try:
    while len(files) < 1000:
        files.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
print(len(children), len(memory), len(files))
"#;

#[test]
fn no_process_gets_more_than_its_bounds() {
    let scratch = tempfile::tempdir().unwrap();
    let confiner = Confiner::new(Confinement::default(), scratch.path()).unwrap();
    let (home, user) = (Home::new(), confiner.user_at(GREEDY_ADDRESS));
    let directory = home.directory("a");
    hand_over(&directory, user).unwrap();
    let arguments = ["-c", GREEDY].map(str::to_owned).to_vec();
    let launch = Launch { arguments, environment: Vec::new(), input: None };
    let cell = Cell { directory: &directory, user, port: None, priority: None };
    let (input, output, error) = (Stdio::piped(), Stdio::piped(), Stdio::inherit());
    let streams = Streams { input, output, error };
    let mut child = confiner.spawn(PYTHON.as_ref(), &launch, cell, streams).unwrap();
    // 64 MB: an address space of 1 GB and twice that.
    Limits::of_trial(64).put_on(child.id(), user).unwrap();
    child.stdin.take().unwrap().write_all(b"begin\n").unwrap();
    let told = child.wait_with_output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let told: Vec<u32> = told.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [children, memory, files] = told[..] else { panic!("{told:?}") };
    // It is one of its user's processes itself; without a user of its own nobody counts them.
    assert_eq!(children, if user.is_some() { 63 } else { 200 });
    assert!((10..18).contains(&memory), "{memory}");
    assert!((40..64).contains(&files), "{files}");
}

/// It leaves its directory and its process group, and hangs on to nothing.
const FUGITIVE: &str = r#"
import os, signal, time
if os.fork() == 0:
    os.setsid(); os.chdir("/"); os.closerange(2, 100)
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.close(1)
        while True:
            if os.fork() == 0:
                time.sleep(0.01)
                os._exit(0)
            os.wait()
    os._exit(0)
"#;

#[test]
fn nothing_outlives_what_a_user_was_for() {
    let scratch = tempfile::tempdir().unwrap();
    let confiner = Confiner::new(Confinement::default(), scratch.path()).unwrap();
    let Some(user) = confiner.user_at(FUGITIVES_ADDRESS) else {
        return end_all_of(None).unwrap();
    };
    let home = Home::new();
    let words = ["-c", FUGITIVE];
    let child = run(&confiner, &home.directory("a"), FUGITIVES_ADDRESS, 6379, &words);
    let told = child.wait_with_output().unwrap();
    let pid: i32 = String::from_utf8(told.stdout).unwrap().trim().parse().unwrap();
    let runs = || {
        let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
        stat.is_ok_and(|stat| stat.state != 'Z')
    };
    assert!(runs());
    end_all_of(Some(user)).unwrap();
    let began = std::time::Instant::now();
    while runs() {
        assert!(began.elapsed().as_secs() < 10, "it goes on");
        std::thread::yield_now();
    }
}

#[test]
fn who_requires_what_there_is_not_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let required = |scratch: &Path| {
        let settings = Confinement { confine: Confine::Require, ..Confinement::default() };
        Confiner::new(settings, scratch)
    };
    let Abilities { users, walls } = abilities(FIRST_USER);
    let confiner = required(scratch.path());
    assert_eq!(confiner.is_ok(), users.is_ok() && walls.is_ok());
    // Nothing can belong to anybody there.
    required("/proc/self/fdinfo".as_ref()).unwrap_err();
}
