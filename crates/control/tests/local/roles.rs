//! Which engine is the master: decided once, done in milliseconds, and never forgotten.

use std::time::{Duration, Instant};

use ourkv_control::engine::{Binary, Engines};
use ourkv_control::substrate::local::Local;
use ourkv_control::substrate::{
    Health, Lead, Link, Member, Pulse, Replication, Seen, Stop, Substrate, Trouble, Unit,
};
use ourkv_domain::instance::{EngineVersion, NodeType};
use redis::Value;
use redis::aio::MultiplexedConnection;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::ground::{
    Ground, PASSWORD, bring_up, client, each_redis, kill, processes_in, run, start_loading,
    take_down, text, usual_redis,
};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn usual() -> Engines {
    Engines::of(vec![usual_redis().await])
}

pub(crate) fn pair(ground: &mut Ground, version: EngineVersion) -> Unit {
    ground.redis(NodeType::MasterSlave, version)
}

async fn tenant(unit: &Unit) -> MultiplexedConnection {
    client(unit, Some(PASSWORD)).await.unwrap()
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn at_their_posts(seen: &Seen, unit: &Unit) -> bool {
    seen.running.get(&unit.lead.master) == Some(&Health::Answering)
        && seen.running.get(&unit.lead.master.other()) == Some(&Health::Linked)
}

async fn replication(local: &Local, unit: &Unit, member: Member) -> Replication {
    let until = Instant::now() + PATIENCE;
    loop {
        // One that is not asked in time on a busy machine is asked again.
        if let Some(replication) = local.standing(unit).await.unwrap()[&member].replication.clone()
        {
            return replication;
        }
        assert!(Instant::now() < until, "the {member} engine says nothing");
    }
}

/// Returns when the replica has all that the master has.
async fn caught_up(local: &Local, unit: &Unit) {
    let until = Instant::now() + PATIENCE;
    loop {
        let master = replication(local, unit, unit.lead.master).await;
        let replica = replication(local, unit, unit.lead.master.other()).await;
        if replica.link == Link::Up && replica.offset >= master.offset {
            return;
        }
        assert!(Instant::now() < until, "{replica:?} does not come to {master:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns when each engine would start from data: one that was given all of them by a master
/// writes them to its file in the background.
async fn on_their_disks(local: &Local, unit: &Unit) {
    let until = Instant::now() + PATIENCE;
    while local.standing(unit).await.unwrap().values().any(|it| it.disk.is_none()) {
        assert!(Instant::now() < until, "{:?}", local.standing(unit).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A planned exchange, as the reconciler does it.
async fn exchange(local: &Local, unit: &mut Unit) {
    let old = unit.lead.master;
    local.pause_writes(unit, old, Duration::from_secs(2)).await.unwrap();
    caught_up(local, unit).await;
    unit.lead = unit.lead.passed_to(old.other());
    local.declare(unit).await.unwrap();
    local.demote(unit, old).await.unwrap();
    for _ in 0..2 {
        local.promote(unit).await.unwrap();
    }
    local.login(unit).await.unwrap();
    // One that is told to step down is told so twice, and one that was ended comes back.
    local.demote(unit, old).await.unwrap();
    local.start(unit, old).await.unwrap();
    local.link(unit).await.unwrap();
}

/// What is done about a master that is gone.
async fn fail_over(local: &Local, unit: &mut Unit) -> Duration {
    let begun = Instant::now();
    local.fence(unit, unit.lead.master).await.unwrap();
    unit.lead = unit.lead.passed_to(unit.lead.master.other());
    local.declare(unit).await.unwrap();
    local.promote(unit).await.unwrap();
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_of_each_version_exchange_their_roles_and_back() {
    let mut ground = Ground::new(60);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let mut unit = pair(&mut ground, version);
        bring_up(&local, &unit).await;
        let mut deaths = local.deaths();
        for round in 1..=3 {
            let mut before = tenant(&unit).await;
            run(&mut before, &format!("SET key{round} value")).await.unwrap();
            exchange(&local, &mut unit).await;
            let seen = local.observe(&unit).await.unwrap();
            assert!(at_their_posts(&seen, &unit), "{binary}: {seen:?}");
            assert_eq!(seen.lead, unit.lead);
            // Nobody goes on writing to the former master.
            run(&mut before, "SET key lost").await.unwrap_err();
            let mut after = tenant(&unit).await;
            for key in 1..=round {
                let got = run(&mut after, &format!("GET key{key}")).await;
                assert_eq!(
                    got,
                    Ok(Value::BulkString(b"value".to_vec())),
                    "{binary}: {key}: {seen:?}"
                );
            }
            let info = text(&mut after, "INFO replication").await;
            assert!(info.contains("role:master") && info.contains("connected_slaves:1"), "{info}");
        }
        assert!(deaths.try_recv().is_err(), "{binary}: an engine that was told to end was missed");
        take_down(&local, &unit).await;
    }
}

/// Writes numbered keys until the engine is gone, and returns how many were acknowledged by the
/// replica.
async fn write_until_the_end(unit: Unit, begun: oneshot::Sender<()>) -> u32 {
    let mut writer = tenant(&unit).await;
    let mut begun = Some(begun);
    for number in 0.. {
        if number == 20
            && let Some(begun) = begun.take()
        {
            begun.send(()).unwrap();
        }
        let mut both = redis::pipe();
        both.cmd("SET").arg(format!("n{number}")).arg(number).ignore();
        both.cmd("WAIT").arg(1).arg(5000);
        match both.query_async::<(i64,)>(&mut writer).await {
            Ok((1,)) => {}
            Ok(_) | Err(_) => return number,
        }
    }
    unreachable!("numbers end later than engines")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_is_lost_that_the_replica_had_when_its_master_was_killed() {
    let mut ground = Ground::new(61);
    for (binary, version) in each_redis().await {
        if binary.level() < (3, 0) {
            // It knows no WAIT.
            continue;
        }
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let mut unit = pair(&mut ground, version);
        bring_up(&local, &unit).await;
        for _ in 0..3 {
            let (begun, first) = oneshot::channel();
            let writer = tokio::spawn(write_until_the_end(unit.clone(), begun));
            first.await.unwrap();
            let mut deaths = local.deaths();
            kill(ground.pid(&unit, unit.lead.master));
            assert_eq!(deaths.recv().await.unwrap(), unit.id);
            let took = fail_over(&local, &mut unit).await;
            let written = writer.await.unwrap();
            assert!(written >= 20, "{binary}: promoted within {took:?}");
            has_all(&unit, written, &binary).await;
            local.login(&unit).await.unwrap();
            // The old one comes back as what it is to be.
            local.start(&unit, unit.lead.master.other()).await.unwrap();
            local.link(&unit).await.unwrap();
            assert!(at_their_posts(&local.observe(&unit).await.unwrap(), &unit), "{binary}");
            has_all(&unit, written, &binary).await;
        }
        take_down(&local, &unit).await;
    }
}

async fn has_all(unit: &Unit, written: u32, binary: &Binary) {
    let mut reader = tenant(unit).await;
    let mut all = redis::cmd("MGET");
    (0..written).for_each(|number| {
        all.arg(format!("n{number}"));
    });
    let values: Vec<Option<u32>> = all.query_async(&mut reader).await.unwrap();
    let missing = values.iter().zip(0..).find(|(value, number)| **value != Some(*number));
    assert_eq!(missing, None, "{binary}: of {written}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_master_that_is_fenced_never_writes_again() {
    let mut ground = Ground::new(62);
    let local = ground.local(usual().await);
    let mut unit = pair(&mut ground, EngineVersion::V5_0);
    bring_up(&local, &unit).await;
    let mut session = tenant(&unit).await;
    run(&mut session, "SET key value").await.unwrap();
    caught_up(&local, &unit).await;
    let old = ground.pid(&unit, Member::First);
    signal(old, Signal::STOP);
    // Its kernel still takes connections, and what is sent on them.
    let waiting = TcpStream::connect(unit.address).await.unwrap();
    waiting.try_write(b"AUTH Passw0rd!#$\r\nSET key stolen\r\n").unwrap();
    let pulse = local.pulse(&unit, Member::First).await.unwrap();
    assert!(matches!(pulse, Pulse::Silent(_)), "{pulse:?}");
    let mut deaths = local.deaths();
    fail_over(&local, &mut unit).await;
    assert!(deaths.try_recv().is_err(), "a fenced engine was missed");
    assert!(processes_in(&ground.directory(&unit, Member::First)).is_empty());
    assert_eq!(local.pulse(&unit, Member::First).await.unwrap(), Pulse::Gone);
    run(&mut session, "SET key stolen").await.unwrap_err();
    let mut next = tenant(&unit).await;
    assert_eq!(text(&mut next, "GET key").await, "value");

    // Whoever still takes it for the master only makes a replica of it.
    let stale = Unit { lead: Lead::default(), ..unit.clone() };
    local.start(&stale, Member::First).await.unwrap();
    local.link(&stale).await.unwrap();
    local.promote(&stale).await.unwrap();
    local.demote(&stale, Member::Second).await.unwrap_err();
    let refused = local.declare(&stale).await.unwrap_err();
    assert!(matches!(refused, Trouble::Unexpected { .. }), "{refused}");
    let rival = Unit { lead: Lead { master: Member::First, epoch: 1 }, ..unit.clone() };
    local.declare(&rival).await.unwrap_err();
    let seen = local.observe(&stale).await.unwrap();
    assert!(at_their_posts(&seen, &unit), "{seen:?}");
    assert_eq!(seen.lead, unit.lead);
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_control_plane_takes_both_up_in_their_roles() {
    let mut ground = Ground::new(63);
    for (binary, version) in each_redis().await {
        let engines = Engines::of(vec![binary.clone()]);
        let mut unit = pair(&mut ground, version);
        let stale = unit.clone();
        let first = ground.local(engines.clone());
        bring_up(&first, &unit).await;
        exchange(&first, &mut unit).await;
        run(&mut tenant(&unit).await, "SET key value").await.unwrap();
        caught_up(&first, &unit).await;
        on_their_disks(&first, &unit).await;
        drop(first);

        let next = ground.local(engines.clone());
        let pids = [Member::First, Member::Second].map(|member| ground.pid(&unit, member));
        assert!(at_their_posts(&next.observe(&stale).await.unwrap(), &unit), "{binary}");
        bring_up(&next, &stale).await;
        let after = [Member::First, Member::Second].map(|member| ground.pid(&unit, member));
        assert_eq!(after, pids, "{binary}");

        // Also where both are gone, and the store knows nothing of the exchange.
        pids.into_iter().for_each(kill);
        let last = ground.local(engines);
        last.fence(&stale, Member::First).await.unwrap();
        last.fence(&stale, Member::Second).await.unwrap();
        let standing = last.standing(&stale).await.unwrap();
        assert!(standing.values().all(|it| it.replication.is_none() && it.disk.is_some()));
        bring_up(&last, &stale).await;
        assert!(at_their_posts(&last.observe(&stale).await.unwrap(), &unit), "{binary}");
        assert_eq!(text(&mut tenant(&unit).await, "GET key").await, "value", "{binary}");
        take_down(&last, &stale).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_keeps_nothing_has_its_data_after_a_promotion() {
    let mut ground = Ground::new(64);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let mut unit = pair(&mut ground, version);
        unit.parameters = unit.parameters.merged(r#"{"appendonly":"no"}"#).unwrap();
        bring_up(&local, &unit).await;
        run(&mut tenant(&unit).await, "SET key value").await.unwrap();
        caught_up(&local, &unit).await;
        kill(ground.pid(&unit, Member::First));
        fail_over(&local, &mut unit).await;
        assert_eq!(text(&mut tenant(&unit).await, "GET key").await, "value", "{binary}");
        local.start(&unit, Member::First).await.unwrap();
        local.link(&unit).await.unwrap();
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_at_no_post_is_told_apart() {
    let mut ground = Ground::new(65);
    let local = ground.local(usual().await);
    let mut unit = pair(&mut ground, EngineVersion::V5_0);
    bring_up(&local, &unit).await;
    caught_up(&local, &unit).await;
    // Decided and not done.
    unit.lead = unit.lead.passed_to(Member::Second);
    local.declare(&unit).await.unwrap();
    let seen = local.observe(&unit).await.unwrap();
    assert_eq!(seen.running[&Member::First], Health::Astray);
    assert_eq!(seen.running[&Member::Second], Health::Astray);
    local.login(&unit).await.unwrap_err();
    // A start is no promotion.
    local.start(&unit, Member::Second).await.unwrap_err();
    local.fence(&unit, Member::First).await.unwrap();
    let seen = local.observe(&unit).await.unwrap();
    assert_eq!(seen.running.get(&Member::First), None);
    assert_eq!(seen.running[&Member::Second], Health::Astray);
    local.promote(&unit).await.unwrap();
    local.start(&unit, Member::First).await.unwrap();
    local.link(&unit).await.unwrap();
    assert!(at_their_posts(&local.observe(&unit).await.unwrap(), &unit));
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_is_taken_as_soon_as_it_is_free() {
    let mut ground = Ground::new(66);
    let local = ground.local(usual().await);
    let mut unit = pair(&mut ground, EngineVersion::V5_0);
    bring_up(&local, &unit).await;
    caught_up(&local, &unit).await;
    local.fence(&unit, Member::First).await.unwrap();
    let holder = std::net::TcpListener::bind(unit.address).unwrap();
    unit.lead = unit.lead.passed_to(Member::Second);
    local.declare(&unit).await.unwrap();
    let (promoted, ()) = tokio::join!(local.promote(&unit), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(holder);
    });
    promoted.unwrap();
    local.login(&unit).await.unwrap();
    // A stranger is named and left alone.
    local.fence(&unit, Member::Second).await.unwrap();
    let _stranger = std::net::TcpListener::bind(unit.address).unwrap();
    let refused = local.start(&unit, Member::Second).await.unwrap_err();
    assert!(matches!(refused, Trouble::AddressInUse { .. }), "{refused}");
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standings_tell_a_broken_link_from_one_that_never_was() {
    let mut ground = Ground::new(67);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = pair(&mut ground, version);
        bring_up(&local, &unit).await;
        for member in unit.members() {
            let standing = &local.standing(&unit).await.unwrap()[member];
            assert_eq!(standing.disk, None, "{binary}: an empty engine has data");
        }
        run(&mut tenant(&unit).await, "SET key value").await.unwrap();
        caught_up(&local, &unit).await;
        let master = replication(&local, &unit, Member::First).await;
        let replica = replication(&local, &unit, Member::Second).await;
        assert_eq!((master.link, replica.link), (Link::Master, Link::Up), "{binary}");
        assert_eq!((master.keys, replica.keys), (1, 1), "{binary}");
        assert_eq!(master.history, replica.history, "{binary}");
        assert_eq!(master.history.is_empty(), binary.level() < (4, 0), "{binary}");

        local.fence(&unit, Member::First).await.unwrap();
        let standing = local.standing(&unit).await.unwrap();
        assert_eq!(standing[&Member::First].replication, None);
        assert!(standing[&Member::First].disk.is_some(), "{binary}");
        link_becomes(&local, &unit, |link| matches!(link, Link::Down(time) if time < PATIENCE))
            .await;
        let left = replication(&local, &unit, Member::Second).await;
        assert!(left.offset >= master.offset, "{binary}: {left:?} {master:?}");

        local.stop(&unit, Member::Second, Stop::Keep).await.unwrap();
        local.start(&unit, Member::Second).await.unwrap();
        link_becomes(&local, &unit, |link| link == Link::Never).await;
        let alone = replication(&local, &unit, Member::Second).await;
        assert_eq!(alone.keys, 1, "{binary}");
        take_down(&local, &unit).await;
    }
}

async fn link_becomes(local: &Local, unit: &Unit, is: impl Fn(Link) -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is(replication(local, unit, Member::Second).await.link) {
        assert!(Instant::now() < until, "{:?}", local.standing(unit).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_runs_a_long_script_is_busy_and_not_dead() {
    let mut ground = Ground::new(68);
    let local = ground.local(usual().await);
    let unit = pair(&mut ground, EngineVersion::V5_0);
    bring_up(&local, &unit).await;
    let Pulse::Answers(Some((history, _))) = local.pulse(&unit, Member::First).await.unwrap()
    else {
        panic!("a master that does nothing gives no sign of life");
    };
    assert!(!history.is_empty());
    assert_eq!(local.pulse(&unit, Member::Second).await.unwrap(), Pulse::Answers(None));
    let mut session = tenant(&unit).await;
    let script = tokio::spawn(async move {
        let mut endless = redis::cmd("EVAL");
        endless.arg("while true do end").arg(0);
        let _: redis::RedisResult<()> = endless.query_async(&mut session).await;
    });
    let until = Instant::now() + PATIENCE;
    while local.pulse(&unit, Member::First).await.unwrap() != Pulse::Busy {
        assert!(Instant::now() < until, "it never gets busy");
    }
    // First it answers nobody, and after five seconds it says that it is busy.
    let until = Instant::now() + Duration::from_secs(7);
    while Instant::now() < until {
        // Between the two it can tell a client only, that it wants a login.
        let pulse = local.pulse(&unit, Member::First).await.unwrap();
        assert!(matches!(pulse, Pulse::Busy | Pulse::Answers(None)), "{pulse:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(local.pulse(&unit, Member::First).await.unwrap(), Pulse::Busy);
    let seen = local.observe(&unit).await.unwrap();
    assert_eq!(seen.running[&Member::First], Health::Answering);
    // Working or not, a stopped one is silent.
    signal(ground.pid(&unit, Member::First), Signal::STOP);
    let pulse = local.pulse(&unit, Member::First).await.unwrap();
    assert!(matches!(pulse, Pulse::Silent(_)), "{pulse:?}");
    local.fence(&unit, Member::First).await.unwrap();
    script.await.unwrap();
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_reads_its_data_is_not_dead_and_can_be_fenced() {
    let mut ground = Ground::new(69);
    let all = each_redis().await;
    let (binary, version) = all.into_iter().find(|(it, _)| it.level() == (6, 2)).unwrap();
    let local = ground.local(Engines::of(vec![binary]));
    let unit = pair(&mut ground, version);
    local.prepare(&unit).await.unwrap();
    let start = start_loading(&ground, &local, &unit, Member::First).await;
    let pulse = local.pulse(&unit, Member::First).await.unwrap();
    assert!(matches!(pulse, Pulse::Answers(None)), "{pulse:?}");
    let seen = local.observe(&unit).await.unwrap();
    assert_eq!(seen.running[&Member::First], Health::Starting);
    local.fence(&unit, Member::First).await.unwrap();
    start.await.unwrap().unwrap_err();
    assert!(processes_in(&ground.directory(&unit, Member::First)).is_empty());
    take_down(&local, &unit).await;
}
