//! What these tests stand on: installed engines, a data directory, units with addresses of their
//! own, and the certainty that no engine outlives its test.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use ourkv_control::engine::{Binary, Engines, Kind};
use ourkv_control::substrate::local::Local;
use ourkv_control::substrate::local::confine::{Confine, Confinement};
use ourkv_control::substrate::{ByteStream, Lead, Member, Stop, Substrate, Trouble, Unit};
use ourkv_domain::backup::EngineStamp;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{EngineVersion, InstanceType, NodeType, Secrets};
use ourkv_domain::network::HostAddresses;
use ourkv_domain::parameter::Parameters;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tokio::task::JoinHandle;

pub(crate) const PASSWORD: &str = "Passw0rd!#$";
pub(crate) const ADMIN: &str = "AdminSecret0123456789abcdefghijk";
pub(crate) const LINK: &str = "LinkSecret0123456789abcdefghijkl";

/// Every engine of this machine, as `ourkv serve` finds them.
pub(crate) async fn installed() -> Engines {
    let directory = std::env::var_os("OURKV_ENGINES_DIR").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".local/share/ourkv/engines"),
        PathBuf::from,
    );
    let engines = Engines::discover(&[directory]).await;
    for kind in [Kind::Redis, Kind::Memcached] {
        let there = engines.binaries().iter().any(|b| b.kind == kind && b.from_distribution);
        assert!(there, "the distribution's {kind} is missing; `make test` installs it");
    }
    engines
}

/// Each Redis-like engine with the level of compatibility that tests ask it for.
pub(crate) async fn each_redis() -> Vec<(Binary, EngineVersion)> {
    let installed = installed().await;
    let redis = installed.binaries().into_iter().filter(|b| b.kind != Kind::Memcached);
    redis
        .map(|binary| {
            let newest = |version: &EngineVersion| version.number() <= binary.level();
            let levels = [EngineVersion::V5_0, EngineVersion::V4_0, EngineVersion::V2_8];
            let level = levels.into_iter().find(newest).unwrap();
            // Here it serves whatever is asked for, patched or not.
            (Binary { from_distribution: true, ..binary.clone() }, level)
        })
        .collect()
}

/// The distribution's Redis.
pub(crate) async fn usual_redis() -> Binary {
    let installed = installed().await;
    let usual =
        installed.binaries().into_iter().find(|b| b.kind == Kind::Redis && b.from_distribution);
    usual.unwrap().clone()
}

/// A data directory and a block of addresses. Engines that run in it are ended with it.
pub(crate) struct Ground {
    pub(crate) data: tempfile::TempDir,
    block: u8,
    next: u8,
}

impl Ground {
    /// Addresses are 127.200.`block`.x.
    pub(crate) fn new(block: u8) -> Self {
        Self { data: tempfile::tempdir().unwrap(), block, next: 0 }
    }

    pub(crate) fn local(&self, engines: Engines) -> Local {
        Local::new(self.data.path(), engines, HostAddresses::LoopbackOnly).unwrap()
    }

    /// Engines are scripts of the test, and not confined: no engine is a script.
    pub(crate) fn local_of_scripts(&self, engines: Engines) -> Local {
        let confinement = Confinement { confine: Confine::Off, ..Confinement::default() };
        self.confined(engines, confinement).unwrap()
    }

    pub(crate) fn confined(
        &self,
        engines: Engines,
        confinement: Confinement,
    ) -> Result<Local, Trouble> {
        Local::confined(self.data.path(), engines, HostAddresses::LoopbackOnly, confinement, None)
    }

    pub(crate) fn unit(
        &mut self,
        kind: InstanceType,
        node: NodeType,
        version: EngineVersion,
    ) -> Unit {
        self.next += 1;
        let ip = Ipv4Addr::new(127, 200, self.block, self.next);
        Unit {
            id: InstanceId::parse(format!("r-test{:03}{:03}", self.block, self.next)).unwrap(),
            nonce: format!("nonce{:03}{:03}", self.block, self.next),
            instance_type: kind,
            node_type: node,
            version,
            capacity_mb: 64,
            connections: 50,
            address: SocketAddrV4::new(ip, kind.port()),
            parameters: Parameters::defaults(kind, version),
            lead: Lead::default(),
            secrets: Secrets {
                password: Some(PASSWORD.into()),
                admin: ADMIN.into(),
                replication: LINK.into(),
                change: None,
            },
        }
    }

    pub(crate) fn redis(&mut self, node: NodeType, version: EngineVersion) -> Unit {
        self.unit(InstanceType::Redis, node, version)
    }

    pub(crate) fn directory(&self, unit: &Unit, member: Member) -> PathBuf {
        let number = if member == Member::First { "0" } else { "1" };
        let root = self.data.path().canonicalize().unwrap();
        root.join("engines").join(format!("{}.{}", unit.id, unit.nonce)).join(number)
    }

    /// The process of a member's engine, found by its working directory.
    pub(crate) fn pid(&self, unit: &Unit, member: Member) -> i32 {
        let directory = self.directory(unit, member);
        let pids = processes_in(&directory);
        // A child that writes a file has its engine for a parent.
        let parent = |pid: &i32| procfs::process::Process::new(*pid).and_then(|p| p.stat());
        let is_engine = |pid: &&i32| parent(pid).is_ok_and(|stat| !pids.contains(&stat.ppid));
        let engines: Vec<&i32> = pids.iter().filter(is_engine).collect();
        assert_eq!(engines.len(), 1, "engines in {}", directory.display());
        *engines[0]
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let Ok(root) = self.data.path().canonicalize() else {
            return;
        };
        processes_in(&root).into_iter().for_each(kill);
    }
}

/// Processes that work in a directory or below it, zombies aside.
pub(crate) fn processes_in(directory: &Path) -> Vec<i32> {
    let all = procfs::process::all_processes().unwrap().filter_map(Result::ok);
    all.filter(|process| process.cwd().is_ok_and(|cwd| cwd.starts_with(directory)))
        .map(|process| process.pid())
        .collect()
}

/// `kill -9`.
pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Prepares, starts and links all members, and logs in.
pub(crate) async fn bring_up(local: &Local, unit: &Unit) {
    local.prepare(unit).await.unwrap();
    for member in unit.members() {
        let started = local.start(unit, *member).await;
        started.unwrap_or_else(|trouble| panic!("start of {member} of {}: {trouble}", unit.id));
    }
    local.link(unit).await.unwrap();
    local.login(unit).await.unwrap();
}

/// Starts a member on data that take it long to read, and returns the start while it reads them.
pub(crate) async fn start_loading(
    ground: &Ground,
    local: &Local,
    unit: &Unit,
    member: Member,
) -> JoinHandle<Result<(), Trouble>> {
    let commands = "*3\r\n$4\r\nSADD\r\n$1\r\ns\r\n$1\r\n1\r\n".repeat(6_000_000);
    std::fs::write(ground.directory(unit, member).join("appendonly.aof"), commands).unwrap();
    let (substrate, loading) = (local.clone(), unit.clone());
    let start = tokio::spawn(async move { substrate.start(&loading, member).await });
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        assert!(Instant::now() < until && !start.is_finished(), "it was not seen to load");
        let standing = local.standing(unit).await.unwrap();
        if standing[&member].replication.as_ref().is_some_and(|it| it.loading) {
            return start;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Stops all members and removes the instance.
pub(crate) async fn take_down(local: &Local, unit: &Unit) {
    for member in unit.members() {
        local.stop(unit, *member, Stop::Discard).await.unwrap();
    }
    local.remove(unit).await.unwrap();
}

/// A connection as a client makes it; logged in if there is a password.
pub(crate) async fn client(
    unit: &Unit,
    password: Option<&str>,
) -> RedisResult<MultiplexedConnection> {
    let mut info = redis::RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(password) = password {
        info = info.set_password(password);
    }
    let stream = tokio::net::TcpStream::connect(unit.address).await?;
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let (connection, driver) =
        MultiplexedConnection::new_with_config(&info, stream, patient).await?;
    tokio::spawn(driver);
    Ok(connection)
}

/// Runs a command written as in redis-cli.
pub(crate) async fn run(
    connection: &mut MultiplexedConnection,
    command: &str,
) -> RedisResult<Value> {
    let mut words = command.split(' ');
    let mut request = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        request.arg(word);
    });
    request.query_async(connection).await
}

/// The same, for an answer that is text.
pub(crate) async fn text(connection: &mut MultiplexedConnection, command: &str) -> String {
    let answer = run(connection, command).await.unwrap_or_else(|e| panic!("{command}: {e}"));
    redis::from_redis_value(answer).unwrap_or_else(|e| panic!("{command}: {e}"))
}

/// What data of an engine is marked with.
pub(crate) fn stamp(binary: &Binary) -> EngineStamp {
    binary.stamp().unwrap()
}

/// Bytes as a stream of chunks of a size that nothing else has.
pub(crate) fn stream(bytes: &[u8]) -> ByteStream {
    let chunks: Vec<_> =
        bytes.chunks(10_007).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
    futures::stream::iter(chunks).boxed()
}

/// All bytes of a stream, or its trouble.
pub(crate) async fn whole(bytes: ByteStream) -> Result<Vec<u8>, Trouble> {
    bytes
        .try_fold(Vec::new(), async |mut all, part| {
            all.extend_from_slice(&part);
            Ok(all)
        })
        .await
}

/// What an engine saves.
pub(crate) async fn saved(local: &Local, unit: &Unit) -> Vec<u8> {
    whole(local.save(unit).await.unwrap().bytes).await.unwrap()
}

/// Gives an instance keys `key:0` and so on, with values of this size that cannot be compressed.
pub(crate) async fn fill(unit: &Unit, keys: usize, size: usize) {
    let mut tenant = client(unit, Some(PASSWORD)).await.unwrap();
    let mut noise = 1_u64;
    for first in (0..keys).step_by(500) {
        let mut pipeline = redis::pipe();
        for key in first..keys.min(first + 500) {
            let value: Vec<u8> = std::iter::repeat_with(|| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                noise.to_be_bytes()[0]
            })
            .take(size)
            .collect();
            pipeline.cmd("SET").arg(format!("key:{key}")).arg(value).ignore();
        }
        pipeline.query_async::<()>(&mut tenant).await.unwrap();
    }
}

/// How many keys a tenant sees in its first database.
pub(crate) async fn keys(unit: &Unit) -> u64 {
    let mut tenant = client(unit, Some(PASSWORD)).await.unwrap();
    redis::cmd("DBSIZE").query_async(&mut tenant).await.unwrap()
}
