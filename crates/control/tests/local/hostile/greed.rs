//! A tenant that takes all that it can get: connections, memory, answers that nobody reads,
//! messages that nobody takes. It gets what its class has and no more, keeps its instance, and a
//! neighbour on the same machine is served all along.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ourkv_control::engine::{Binary, Engines};
use ourkv_control::substrate::Unit;
use ourkv_domain::instance::NodeType;
use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::ground::{Ground, PASSWORD, bring_up, client, each_redis, run, take_down, text};
use super::witness::Witness;

const MB: u64 = 1 << 20;
/// For anything that should come about; far beyond what it takes.
const PATIENCE: Duration = Duration::from_mins(1);
/// The end of a value of 8 MB.
const LARGE: &str = "8388607";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_all_takes_what_is_its_own() {
    let mut ground = Ground::new(158);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let greedy = ground.redis(NodeType::StandAlone, version);
        let neighbour = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &greedy).await;
        bring_up(&local, &neighbour).await;
        let witness = Witness::of(&ground, &binary, &greedy).await;
        let served = Served::watch(&neighbour).await;
        let attack = async {
            connections(&binary, &greedy).await;
            memory(&binary, &greedy).await;
            answers_that_nobody_reads(&binary, &greedy).await;
            messages_that_nobody_takes(&binary, &greedy).await;
        };
        tokio::time::timeout(4 * PATIENCE, attack).await.unwrap();
        served.all_along().await;
        witness.finds_nothing_changed(&ground, &local, &greedy).await;
        let mut tenant = tenant(&greedy).await;
        assert_eq!(text(&mut tenant, "SET after all").await, "OK", "{binary}");
        take_down(&local, &greedy).await;
        take_down(&local, &neighbour).await;
    }
}

/// A neighbour's client that asks without pause.
struct Served {
    over: Arc<AtomicBool>,
    times: Arc<AtomicU64>,
    asking: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn watch(unit: &Unit) -> Self {
        let (over, times) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tenant = tenant(unit).await;
        let (ends, counts) = (Arc::clone(&over), Arc::clone(&times));
        let asking = tokio::spawn(async move {
            while !ends.load(Ordering::Relaxed) {
                let count = counts.fetch_add(1, Ordering::Relaxed).to_string();
                run(&mut tenant, &format!("SET count {count}")).await.unwrap();
                assert_eq!(text(&mut tenant, "GET count").await, count);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self { over, times, asking }
    }

    async fn all_along(self) {
        let so_far = self.times.load(Ordering::Relaxed);
        while self.times.load(Ordering::Relaxed) < so_far + 2 {
            assert!(!self.asking.is_finished(), "the neighbour is not served any more");
            tokio::task::yield_now().await;
        }
        self.over.store(true, Ordering::Relaxed);
        self.asking.await.unwrap();
    }
}

async fn tenant(unit: &Unit) -> MultiplexedConnection {
    client(unit, Some(PASSWORD)).await.unwrap()
}

/// A number that the engine tells of itself.
async fn told(tenant: &mut MultiplexedConnection, section: &str, name: &str) -> u64 {
    let info = text(tenant, &format!("INFO {section}")).await;
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("{name} in {info}")).trim().parse().unwrap()
}

/// A connection that says so much at once and reads nothing.
async fn says(unit: &Unit, commands: &str) -> TcpStream {
    let mut stream = TcpStream::connect(unit.address).await.unwrap();
    stream.write_all(format!("AUTH {PASSWORD}\r\n{commands}").as_bytes()).await.unwrap();
    stream
}

async fn connections(binary: &Binary, unit: &Unit) {
    let mut tenant = tenant(unit).await;
    let mut held = Vec::new();
    for _ in 0..4 * unit.connections {
        held.push(TcpStream::connect(unit.address).await.unwrap());
    }
    let most = u64::try_from(unit.connections).unwrap() + 4;
    // It has looked at all of them once it has answered the last one.
    let mut last = [0];
    assert_eq!(held.last_mut().unwrap().read(&mut last).await.unwrap(), 1, "{binary}");
    let connected = told(&mut tenant, "clients", "connected_clients").await;
    assert!(connected <= most, "{binary}: {connected}");
    assert!(told(&mut tenant, "stats", "rejected_connections").await > most, "{binary}");
}

async fn memory(binary: &Binary, unit: &Unit) {
    let mut tenant = tenant(unit).await;
    let capacity = u64::try_from(unit.capacity_mb).unwrap() * MB;
    let mut refused = 0;
    for n in 0..20 {
        let written = run(&mut tenant, &format!("SETRANGE large:{n} {LARGE} x")).await;
        refused += u64::from(written.is_err_and(|error| error.code() == Some("OOM")));
    }
    assert!(refused >= 10, "{binary}: {refused} of 20 were too much");
    let used = told(&mut tenant, "memory", "used_memory").await;
    assert!(used <= capacity + 16 * MB, "{binary}: {used}");
    for n in 0..20 {
        run(&mut tenant, &format!("DEL large:{n}")).await.unwrap();
    }
}

async fn answers_that_nobody_reads(binary: &Binary, unit: &Unit) {
    let mut tenant = tenant(unit).await;
    run(&mut tenant, &format!("SETRANGE large {LARGE} x")).await.unwrap();
    let before = told(&mut tenant, "memory", "used_memory").await;
    let capacity = u64::try_from(unit.capacity_mb).unwrap() * MB;
    // One that asks for far more than its class has, and, where the engine has a limit for all of
    // them, several that stay below what one may.
    let mut silent = vec![says(unit, &"GET large\r\n".repeat(100)).await];
    if binary.level() >= (7, 0) {
        for _ in 0..20 {
            silent.push(says(unit, &"GET large\r\n".repeat(6)).await);
        }
    }
    let clients = until_alone(&mut tenant, silent.len() / 2).await;
    assert!(clients <= silent.len() / 2, "{binary}: {clients} of {} stay", silent.len());
    let most = told(&mut tenant, "memory", "used_memory_peak").await;
    // What is sent is counted twice for a moment.
    assert!(most <= before + 2 * capacity, "{binary}: {most} after {before}");
    drop(silent);
    run(&mut tenant, "DEL large").await.unwrap();
}

/// Waits until few clients are left beside this one, and those of the system; says how many.
async fn until_alone(tenant: &mut MultiplexedConnection, few: usize) -> usize {
    let waiting = async {
        loop {
            let clients = told(tenant, "clients", "connected_clients").await;
            let others = usize::try_from(clients).unwrap().saturating_sub(4);
            if others <= few {
                return others;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

async fn messages_that_nobody_takes(binary: &Binary, unit: &Unit) {
    let mut tenant = tenant(unit).await;
    let channels: Vec<_> = (0..5000).map(|n| format!("SUBSCRIBE channel:{n}\r\n")).collect();
    let silent =
        [says(unit, &channels.concat()).await, says(unit, "SUBSCRIBE channel:1\r\n").await];
    let subscribed = async |tenant: &mut MultiplexedConnection| {
        let count = run(tenant, "PUBSUB NUMSUB channel:1").await.unwrap();
        redis::from_redis_value::<(String, u64)>(count).unwrap().1
    };
    let all_there = async {
        while subscribed(&mut tenant).await < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_there).await.unwrap();
    let message = "x".repeat(1 << 20);
    let mut sent = 0;
    while subscribed(&mut tenant).await > 0 {
        assert!(sent < 1000, "{binary}: nobody takes it, and it is kept");
        run(&mut tenant, &format!("PUBLISH channel:1 {message}")).await.unwrap();
        sent += 1;
        // An engine before 3.0 looks once in a second whom it has to leave.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(sent > 8, "{binary}: a short delay is no reason to hang up");
    let most = told(&mut tenant, "memory", "used_memory_peak").await;
    assert!(most <= 4 * u64::try_from(unit.capacity_mb).unwrap() * MB, "{binary}: {most}");
    drop(silent);
}
