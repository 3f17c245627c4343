//! Saves by engines of every installed version: what comes out is what was in, and nothing stays.

use std::time::Duration;

use ourkv_control::engine::{Binary, Engines};
use ourkv_control::substrate::local::Local;
use ourkv_control::substrate::{Loaded, Member, Saving, Specimen, Substrate, Trouble, Unit};
use ourkv_domain::instance::{EngineVersion, InstanceType, NodeType};

use super::ground::{
    Ground, PASSWORD, bring_up, client, each_redis, fill, installed, keys, kill, run, saved, stamp,
    stream, take_down, usual_redis, whole,
};

const NODES: [NodeType; 2] = [NodeType::StandAlone, NodeType::MasterSlave];
const PATIENCE: Duration = Duration::from_secs(30);

/// The engine that saves.
fn saver(unit: &Unit) -> Member {
    *unit.members().last().unwrap()
}

/// Files of saves in the directory of the engine that saves.
fn leftovers(ground: &Ground, unit: &Unit) -> Vec<String> {
    let files = std::fs::read_dir(ground.directory(unit, saver(unit))).unwrap();
    files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("temp-") || name == "dump.rdb")
        .collect()
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let reached = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, reached).await.is_ok(), "{what}");
}

/// The engine's child that writes a file.
fn child(ground: &Ground, unit: &Unit, engine: i32) -> Option<i32> {
    let directory = ground.directory(unit, saver(unit));
    let is_child = |pid: &i32| {
        let stat = procfs::process::Process::new(*pid).and_then(|process| process.stat());
        stat.is_ok_and(|stat| stat.ppid == engine && stat.state != 'Z')
    };
    super::ground::processes_in(&directory).into_iter().find(is_child)
}

/// A save whose writer was stopped on the way.
async fn stuck_save(ground: &Ground, local: &Local, unit: &Unit) -> (Saving, i32) {
    let engine = ground.pid(unit, saver(unit));
    for _ in 0..50 {
        let saving = local.save(unit).await.unwrap();
        // Its file is there soon, and is renamed when it is whole.
        let begun = || !leftovers(ground, unit).is_empty() || child(ground, unit, engine).is_none();
        until("the save does not begin", begun).await;
        if let Some(child) = child(ground, unit, engine) {
            let pid = rustix::process::Pid::from_raw(child).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::STOP);
            if leftovers(ground, unit).iter().any(|name| name.starts_with("temp-")) {
                return (saving, child);
            }
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::CONT);
        }
        whole(saving.bytes).await.unwrap();
    }
    panic!("every save was over before it could be stopped");
}

/// Changes two keys together, again and again, until it is told to end.
fn write_on(unit: &Unit) -> tokio::task::JoinHandle<()> {
    let unit = unit.clone();
    tokio::spawn(async move {
        let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
        for turn in 0_u64.. {
            let mut both = redis::pipe();
            both.atomic().cmd("SET").arg("left").arg(turn).ignore();
            both.cmd("SET").arg("right").arg(turn).ignore();
            both.cmd("DEL").arg(format!("key:{}", turn % 2_000)).ignore();
            both.query_async::<()>(&mut tenant).await.unwrap();
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_under_writes_is_one_moment_of_each_version() {
    let mut ground = Ground::new(61);
    for (binary, version) in each_redis().await {
        for node in NODES {
            let local = ground.local(Engines::of(vec![binary.clone()]));
            let unit = ground.redis(node, version);
            bring_up(&local, &unit).await;
            fill(&unit, 4_000, 1_000).await;
            let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
            run(&mut tenant, "SET expiring x EX 1000").await.unwrap();
            let pid = ground.pid(&unit, saver(&unit));
            let writer = write_on(&unit);
            let mut last = Vec::new();
            for _ in 0..3 {
                last = one_moment(&local, &unit, &binary).await;
            }
            writer.abort();
            assert_eq!(ground.pid(&unit, saver(&unit)), pid, "{binary} was started anew");
            // Reads all settings back, its clock among them.
            bring_up(&local, &unit).await;
            assert_eq!(leftovers(&ground, &unit), [""; 0], "{binary} {node}");
            holds_together(&mut ground, &local, &binary, version, &last).await;
            take_down(&local, &unit).await;
        }
    }
}

async fn one_moment(local: &Local, unit: &Unit, binary: &Binary) -> Vec<u8> {
    let saving = local.save(unit).await.unwrap();
    assert_eq!(saving.engine, stamp(binary));
    assert_eq!(saving.expiring, 1, "{binary}");
    let percent = saving.percent.clone();
    let bytes = whole(saving.bytes).await.unwrap();
    assert_eq!(percent.load(std::sync::atomic::Ordering::Relaxed), 100);
    let specimen =
        Specimen { engine: saving.engine, capacity_mb: unit.capacity_mb, bytes: stream(&bytes) };
    let loaded = local.prove(specimen).await.unwrap();
    assert_eq!(loaded, Loaded { keys: saving.keys, expired: 0 }, "{binary}");
    bytes
}

/// What was changed together is there together.
async fn holds_together(
    ground: &mut Ground,
    local: &Local,
    binary: &Binary,
    version: EngineVersion,
    bytes: &[u8],
) {
    let copy = ground.redis(NodeType::StandAlone, version);
    super::restores::put(local, &copy, 1, stamp(binary), bytes).await;
    bring_up(local, &copy).await;
    let mut tenant = client(&copy, Some(PASSWORD)).await.unwrap();
    let mut value = async |key| redis::cmd("GET").arg(key).query_async::<u64>(&mut tenant).await;
    let (left, right) = (value("left").await.unwrap(), value("right").await.unwrap());
    assert_eq!(left, right, "{binary}");
    take_down(local, &copy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_dies_while_it_saves_ends_the_stream_with_an_error() {
    let mut ground = Ground::new(62);
    for (binary, version) in each_redis().await {
        for node in NODES {
            let local = ground.local(Engines::of(vec![binary.clone()]));
            let unit = ground.redis(node, version);
            bring_up(&local, &unit).await;
            fill(&unit, 20_000, 1_000).await;
            let (saving, child) = stuck_save(&ground, &local, &unit).await;
            kill(ground.pid(&unit, saver(&unit)));
            let ended = whole(saving.bytes).await.unwrap_err();
            assert!(matches!(ended, Trouble::Ended { .. }), "{binary} {node}: {ended}");
            local.forget_save(&unit).await.unwrap();
            local.forget_save(&unit).await.unwrap();
            assert_eq!(leftovers(&ground, &unit), [""; 0], "{binary} {node}");
            assert!(!super::ground::processes_in(ground.data.path()).contains(&child));
            bring_up(&local, &unit).await;
            let left = if node == NodeType::StandAlone { 0 } else { 20_000 };
            assert_eq!(keys(&unit).await, left, "{binary} {node}");
            take_down(&local, &unit).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_that_nobody_reads_any_more_ends() {
    let mut ground = Ground::new(63);
    let binary = usual_redis().await;
    let local = ground.local(Engines::of(vec![binary.clone()]));
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    bring_up(&local, &unit).await;
    fill(&unit, 20_000, 1_000).await;
    let (saving, writer) = stuck_save(&ground, &local, &unit).await;
    drop(saving);
    let engine = ground.pid(&unit, Member::First);
    until("its writer goes on", || child(&ground, &unit, engine) != Some(writer)).await;
    until("its file stays", || leftovers(&ground, &unit).is_empty()).await;
    // And the next one works.
    let bytes = saved(&local, &unit).await;
    assert!(bytes.starts_with(b"REDIS"));
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_control_plane_ends_the_save_of_the_last_one() {
    let mut ground = Ground::new(64);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        fill(&unit, 20_000, 1_000).await;
        let (saving, _) = stuck_save(&ground, &local, &unit).await;
        let next = ground.local(Engines::of(vec![binary.clone()]));
        next.forget_save(&unit).await.unwrap();
        whole(saving.bytes).await.unwrap_err();
        assert_eq!(leftovers(&ground, &unit), [""; 0], "{binary}");
        let bytes = saved(&next, &unit).await;
        assert!(bytes.starts_with(b"REDIS"), "{binary}");
        take_down(&next, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_save_left_does_not_come_back_in_an_instance_that_keeps_nothing() {
    let mut ground = Ground::new(65);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        fill(&unit, 100, 100).await;
        let bytes = saved(&local, &unit).await;
        // As if nobody had been there to remove it.
        std::fs::write(ground.directory(&unit, Member::First).join("dump.rdb"), bytes).unwrap();
        let mut deaths = local.deaths();
        kill(ground.pid(&unit, Member::First));
        deaths.recv().await.unwrap();
        bring_up(&local, &unit).await;
        assert_eq!(keys(&unit).await, 0, "{binary}");
        assert_eq!(leftovers(&ground, &unit), [""; 0], "{binary}");
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_whose_replica_is_gone_is_saved_by_its_master() {
    let mut ground = Ground::new(66);
    let local = ground.local(Engines::of(vec![usual_redis().await]));
    let unit = ground.redis(NodeType::MasterSlave, EngineVersion::V5_0);
    bring_up(&local, &unit).await;
    fill(&unit, 100, 100).await;
    local.stop(&unit, Member::Second, ourkv_control::substrate::Stop::Keep).await.unwrap();
    let saving = local.save(&unit).await.unwrap();
    assert_eq!(saving.keys, 100);
    whole(saving.bytes).await.unwrap();
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_saved_where_nothing_can_be() {
    let mut ground = Ground::new(67);
    let local = ground.local(installed().await);
    let stopped = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    local.prepare(&stopped).await.unwrap();
    local.save(&stopped).await.unwrap_err();
    local.forget_save(&stopped).await.unwrap();
    let cache = ground.unit(InstanceType::Memcache, NodeType::StandAlone, EngineVersion::V5_0);
    bring_up(&local, &cache).await;
    local.save(&cache).await.unwrap_err();
    local.forget_save(&cache).await.unwrap();
    take_down(&local, &cache).await;
}
