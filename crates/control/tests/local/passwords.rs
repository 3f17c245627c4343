//! A tenant's password is replaced while it is used: no session ends, no command fails, and the
//! replica never loses its master.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ourkv_control::engine::memcached::{Answer, Client};
use ourkv_control::engine::{Binary, Engines};
use ourkv_control::substrate::{Health, Member, Stop, Substrate, Unit};
use ourkv_domain::instance::{EngineVersion, InstanceType, NodeType, PasswordChange, Stride};
use redis::aio::MultiplexedConnection;
use tokio::task::JoinHandle;

use super::ground::{
    Ground, PASSWORD, bring_up, client, each_redis, installed, kill, run, take_down, text,
};

const WANTED: &str = "Wanted-Passw0rd";
const PATIENCE: Duration = Duration::from_secs(30);

fn changing(unit: &Unit, stride: Stride) -> Unit {
    let mut unit = unit.clone();
    let former = match stride {
        Stride::Adding => vec![PASSWORD.into()],
        Stride::Dropping => Vec::new(),
    };
    unit.secrets.password = Some(WANTED.into());
    unit.secrets.change = Some(PasswordChange { serial: 1, stride, former });
    unit
}

fn settled(unit: &Unit) -> Unit {
    let mut unit = changing(unit, Stride::Dropping);
    unit.secrets.change = None;
    unit
}

/// Clients that write, and one that watches the link, from before the change until after it.
struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    async fn begin(unit: &Unit) -> Self {
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut load = Self { stop, written, tasks: Vec::new() };
        for number in 0..3 {
            let mut tenant = client(unit, Some(PASSWORD)).await.unwrap();
            let (stop, written) = (Arc::clone(&load.stop), Arc::clone(&load.written));
            load.tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    run(&mut tenant, &format!("INCR counter:{number}")).await.unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        if unit.is_pair() {
            let mut tenant = client(unit, Some(PASSWORD)).await.unwrap();
            // The master learns a moment later than its replica that the first copy is whole.
            let began = Instant::now();
            while !text(&mut tenant, "INFO replication").await.contains("state=online") {
                assert!(began.elapsed() < PATIENCE, "the replica is not there");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let stop = Arc::clone(&load.stop);
            load.tasks.push(tokio::spawn(async move {
                let syncs = full_syncs(&mut tenant).await;
                while !stop.load(Ordering::Relaxed) {
                    let replication = text(&mut tenant, "INFO replication").await;
                    assert!(replication.contains("connected_slaves:1\r\n"), "{replication}");
                    assert!(replication.contains("state=online"), "{replication}");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                assert_eq!(full_syncs(&mut tenant).await, syncs);
            }));
        }
        load.goes_on().await;
        load
    }

    /// Everybody writes on.
    async fn goes_on(&self) {
        let (before, began) = (self.written.load(Ordering::Relaxed), Instant::now());
        while self.written.load(Ordering::Relaxed) < before + 100 {
            assert!(began.elapsed() < PATIENCE, "nobody writes");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn end(self) {
        self.goes_on().await;
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn full_syncs(tenant: &mut MultiplexedConnection) -> String {
    let stats = text(tenant, "INFO stats").await;
    let line = stats.lines().find(|line| line.starts_with("sync_full:"));
    line.unwrap().to_owned()
}

/// Whether a password opens the instance, by every form of login that the engine has.
async fn opens(unit: &Unit, password: &str, binary: &Binary) -> bool {
    let mut forms = vec![format!("AUTH {password}")];
    if binary.level() >= (6, 0) {
        forms.push(format!("AUTH {} {password}", unit.id));
        forms.push(format!("AUTH {}:{password}", unit.id));
    }
    let mut opened = Vec::new();
    for form in forms {
        let mut stranger = client(unit, None).await.unwrap();
        let entered = run(&mut stranger, &form).await.is_ok();
        assert_eq!(run(&mut stranger, "PING").await.is_ok(), entered, "{form}");
        opened.push(entered);
    }
    assert!(opened.iter().all(|form| *form == opened[0]), "{opened:?}");
    opened[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_replaced_under_load_on_each_version() {
    let mut ground = Ground::new(171);
    for (binary, version) in each_redis().await {
        for node in [NodeType::StandAlone, NodeType::MasterSlave] {
            let local = ground.local(Engines::of(vec![binary.clone()]));
            let unit = ground.redis(node, version);
            bring_up(&local, &unit).await;
            let load = Load::begin(&unit).await;

            let adding = changing(&unit, Stride::Adding);
            for _ in 0..2 {
                local.admit_password(&adding).await.unwrap();
                local.login(&adding).await.unwrap();
                assert!(opens(&unit, WANTED, &binary).await, "{binary}");
                let both = opens(&unit, PASSWORD, &binary).await;
                assert_eq!(both, binary.level() >= (6, 0), "{binary}");
            }
            load.goes_on().await;
            let dropping = changing(&unit, Stride::Dropping);
            for _ in 0..2 {
                local.dismiss_passwords(&dropping).await.unwrap();
                assert!(opens(&unit, WANTED, &binary).await, "{binary}");
                assert!(!opens(&unit, PASSWORD, &binary).await, "{binary}");
            }
            load.end().await;

            let unit = settled(&unit);
            local.login(&unit).await.unwrap();
            it_stays_so_over_restarts(&ground, &local, &unit, &binary).await;
            take_down(&local, &unit).await;
        }
    }
}

/// Each engine is killed and started again, the replica first.
async fn it_stays_so_over_restarts(
    ground: &Ground,
    local: &ourkv_control::substrate::local::Local,
    unit: &Unit,
    binary: &Binary,
) {
    for member in unit.members().iter().rev() {
        kill(ground.pid(unit, *member));
        let began = Instant::now();
        while local.observe(unit).await.unwrap().running.contains_key(member) {
            assert!(began.elapsed() < PATIENCE, "it lives on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        local.start(unit, *member).await.unwrap();
        local.link(unit).await.unwrap();
        assert!(opens(unit, WANTED, binary).await, "{binary}");
        assert!(!opens(unit, PASSWORD, binary).await, "{binary}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_cut_off_in_between_finds_a_way_in() {
    let mut ground = Ground::new(172);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        let (adding, dropping) =
            (changing(&unit, Stride::Adding), changing(&unit, Stride::Dropping));
        // Nothing was done yet: the former one is what was promised.
        local.login(&adding).await.unwrap();
        local.login(&dropping).await.unwrap_err();
        let answers = |seen: ourkv_control::substrate::Seen| {
            seen.running.values().all(|health| *health != Health::Starting)
        };
        assert!(answers(local.observe(&adding).await.unwrap()), "{binary}");
        local.admit_password(&adding).await.unwrap();
        // Another process knows nothing of what was done.
        let next = ground.local(Engines::of(vec![binary.clone()]));
        assert!(answers(next.observe(&adding).await.unwrap()), "{binary}");
        next.login(&adding).await.unwrap();
        // An engine that starts meanwhile knows both.
        kill(ground.pid(&unit, Member::Second));
        next.stop(&adding, Member::Second, Stop::Keep).await.unwrap();
        next.start(&adding, Member::Second).await.unwrap();
        next.link(&adding).await.unwrap();
        next.admit_password(&adding).await.unwrap();
        next.dismiss_passwords(&dropping).await.unwrap();
        next.login(&dropping).await.unwrap();
        next.login(&settled(&unit)).await.unwrap();
        take_down(&next, &settled(&unit)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_without_a_password_gets_one() {
    let mut ground = Ground::new(173);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let mut unit = ground.redis(NodeType::MasterSlave, version);
        unit.secrets.password = None;
        bring_up(&local, &unit).await;
        let mut adding = changing(&unit, Stride::Adding);
        adding.secrets.change.as_mut().unwrap().former.clear();
        local.admit_password(&adding).await.unwrap();
        local.dismiss_passwords(&changing(&unit, Stride::Dropping)).await.unwrap();
        let unit = settled(&unit);
        local.login(&unit).await.unwrap();
        local.link(&unit).await.unwrap();
        assert!(opens(&unit, WANTED, &binary).await, "{binary}");
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_memcached_takes_another_password() {
    let mut ground = Ground::new(174);
    let local = ground.local(installed().await);
    let unit = ground.unit(InstanceType::Memcache, NodeType::MasterSlave, EngineVersion::V2_8);
    bring_up(&local, &unit).await;
    let answer = |password: &'static str| {
        let (address, user) = (unit.address, unit.id.clone());
        async move {
            let mut client = Client::connect(address).await.unwrap();
            client.log_in(user.as_str(), &password.into()).await.unwrap()
        }
    };
    let mut session = Client::connect(unit.address).await.unwrap();
    assert_eq!(session.log_in(unit.id.as_str(), &PASSWORD.into()).await.unwrap(), Answer::Ok);
    let pid = ground.pid(&unit, Member::First);

    let (adding, dropping) = (changing(&unit, Stride::Adding), changing(&unit, Stride::Dropping));
    local.login(&adding).await.unwrap();
    local.login(&dropping).await.unwrap_err();
    local.admit_password(&adding).await.unwrap();
    local.dismiss_passwords(&dropping).await.unwrap();
    local.login(&dropping).await.unwrap();
    assert_eq!(answer(WANTED).await, Answer::Ok);
    assert_eq!(answer(PASSWORD).await, Answer::NotLoggedIn);
    assert_eq!(session.no_op().await.unwrap(), Answer::Ok, "its session goes on");
    assert_eq!(ground.pid(&unit, Member::First), pid);

    let unit = settled(&unit);
    local.stop(&unit, Member::First, Stop::Keep).await.unwrap();
    local.start(&unit, Member::First).await.unwrap();
    local.login(&unit).await.unwrap();
    take_down(&local, &unit).await;
}
