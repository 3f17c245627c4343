//! Data put into instances of every installed version: it is there, it stays as long as it
//! should, and whatever was interrupted can be done again.

use std::path::Path;

use bytes::Bytes;
use futures::StreamExt;
use ourkv_control::engine::{Binary, Engines};
use ourkv_control::substrate::local::Local;
use ourkv_control::substrate::{
    Health, Loaded, Member, Seen, Specimen, Staging, Stop, Substrate, Trouble, Unit,
};
use ourkv_domain::backup::EngineStamp;
use ourkv_domain::instance::{EngineVersion, InstanceType, NodeType};

use super::ground::{
    Ground, PASSWORD, bring_up, client, each_redis, fill, installed, keys, kill, run, saved, stamp,
    stream, take_down, text, usual_redis,
};

const NODES: [NodeType; 2] = [NodeType::StandAlone, NodeType::MasterSlave];

/// Prepares an instance whose engines do not run, and puts data into it.
pub(crate) async fn put(local: &Local, unit: &Unit, serial: i64, engine: EngineStamp, data: &[u8]) {
    local.prepare(unit).await.unwrap();
    local.stage(unit, Staging { serial, engine, bytes: stream(data) }).await.unwrap();
    local.swap(unit, serial).await.unwrap();
}

async fn halt(local: &Local, unit: &Unit) {
    for member in unit.members() {
        local.stop(unit, *member, Stop::Keep).await.unwrap();
    }
}

/// `(dataset, staged, untidy)` as seen.
async fn sight(local: &Local, unit: &Unit) -> (i64, Option<i64>, bool) {
    let Seen { dataset, staged, untidy, .. } = local.observe(unit).await.unwrap();
    (dataset, staged, untidy)
}

/// Something of each type, in two databases; returns how many keys.
async fn variety(unit: &Unit) -> u64 {
    let mut tenant = client(unit, Some(PASSWORD)).await.unwrap();
    for command in [
        "SET string value",
        "SET number 12345",
        "RPUSH list a b c 1 2 3",
        "SADD set 1 2 3",
        "SADD words a b c",
        "HSET hash field value",
        "ZADD sorted 1.5 a 2.5 b",
        "SET expiring x EX 10000",
        "SELECT 200",
        "SET elsewhere x",
    ] {
        run(&mut tenant, command).await.unwrap();
    }
    9
}

/// What the engine that saved it has.
async fn dump(local: &Local, unit: &Unit) -> (Vec<u8>, u64) {
    let saving = local.save(unit).await.unwrap();
    let keys = saving.keys;
    (super::ground::whole(saving.bytes).await.unwrap(), keys)
}

/// What each version saves.
async fn dumps(ground: &mut Ground) -> Vec<(Binary, Vec<u8>)> {
    let mut dumps = Vec::new();
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        let keys = variety(&unit).await;
        let (bytes, saved) = dump(&local, &unit).await;
        assert_eq!(saved, keys, "{binary}");
        take_down(&local, &unit).await;
        dumps.push((binary, bytes));
    }
    dumps
}

async fn has_variety(unit: &Unit, about: &str) {
    let mut tenant = client(unit, Some(PASSWORD)).await.unwrap();
    assert_eq!(text(&mut tenant, "GET string").await, "value", "{about}");
    assert_eq!(text(&mut tenant, "LINDEX list 5").await, "3", "{about}");
    assert_eq!(text(&mut tenant, "HGET hash field").await, "value", "{about}");
    assert_eq!(text(&mut tenant, "ZSCORE sorted b").await, "2.5", "{about}");
    assert_eq!(keys(unit).await, 8, "{about}");
    run(&mut tenant, "SELECT 200").await.unwrap();
    assert_eq!(text(&mut tenant, "GET elsewhere").await, "x", "{about}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_of_each_version_serves_on_it_and_on_every_newer_one() {
    let mut ground = Ground::new(71);
    for (writer, data) in dumps(&mut ground).await {
        for (reader, version) in each_redis().await {
            if !reader.reads(writer.kind, writer.version) {
                continue;
            }
            for node in NODES {
                let about = format!("{writer} on {reader} {node}");
                let local = ground.local(Engines::of(vec![reader.clone()]));
                let unit = ground.redis(node, version);
                put(&local, &unit, 1, stamp(&writer), &data).await;
                bring_up(&local, &unit).await;
                has_variety(&unit, &about).await;
                local.tidy(&unit).await.unwrap();
                assert_eq!(sight(&local, &unit).await, (1, None, false), "{about}");
                if node == NodeType::MasterSlave {
                    comes_back(&ground, &local, &unit, &about).await;
                }
                take_down(&local, &unit).await;
            }
        }
    }
}

/// A pair has its data and what was written since, after the deaths of both engines.
async fn comes_back(ground: &Ground, local: &Local, unit: &Unit, about: &str) {
    for turn in 0..2 {
        let mut tenant = client(unit, Some(PASSWORD)).await.unwrap();
        run(&mut tenant, "SELECT 7").await.unwrap();
        assert_eq!(
            run(&mut tenant, &format!("SETNX since{turn} x")).await,
            Ok(redis::Value::Int(1))
        );
        for member in unit.members() {
            kill(ground.pid(unit, *member));
        }
        halt(local, unit).await;
        bring_up(local, unit).await;
        has_variety(unit, about).await;
        let mut tenant = client(unit, Some(PASSWORD)).await.unwrap();
        run(&mut tenant, "SELECT 7").await.unwrap();
        assert_eq!(text(&mut tenant, &format!("GET since{turn}")).await, "x", "{about}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_keeps_nothing_has_its_data_until_it_is_tidied() {
    let mut ground = Ground::new(72);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        fill(&unit, 50, 100).await;
        let data = saved(&local, &unit).await;
        halt(&local, &unit).await;
        put(&local, &unit, 1, stamp(&binary), &data).await;
        for _ in 0..2 {
            bring_up(&local, &unit).await;
            assert_eq!(keys(&unit).await, 50, "{binary}");
            local.save(&unit).await.unwrap_err();
            kill(ground.pid(&unit, Member::First));
            halt(&local, &unit).await;
        }
        bring_up(&local, &unit).await;
        local.tidy(&unit).await.unwrap();
        local.tidy(&unit).await.unwrap();
        assert_eq!(keys(&unit).await, 50, "{binary}");
        assert_eq!(saved(&local, &unit).await.len(), data.len(), "{binary}");
        kill(ground.pid(&unit, Member::First));
        halt(&local, &unit).await;
        bring_up(&local, &unit).await;
        assert_eq!(keys(&unit).await, 0, "{binary}");
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_serves_its_old_data_until_the_swap_and_the_new_from_then_on() {
    let mut ground = Ground::new(73);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        fill(&unit, 50, 100).await;
        let data = saved(&local, &unit).await;
        fill(&unit, 80, 100).await;
        let staging = |serial| Staging { serial, engine: stamp(&binary), bytes: stream(&data) };
        local.stage(&unit, staging(3)).await.unwrap();
        assert_eq!(sight(&local, &unit).await, (0, Some(3), true), "{binary}");
        let loaded = local.prove_staged(&unit, 3).await.unwrap();
        assert_eq!(loaded, Loaded { keys: 50, expired: 0 }, "{binary}");
        local.prove_staged(&unit, 4).await.unwrap_err();
        local.swap(&unit, 3).await.unwrap_err();
        assert_eq!(keys(&unit).await, 80, "{binary}");
        halt(&local, &unit).await;
        for _ in 0..2 {
            local.swap(&unit, 3).await.unwrap();
            assert_eq!(sight(&local, &unit).await, (3, None, true), "{binary}");
        }
        bring_up(&local, &unit).await;
        local.swap(&unit, 3).await.unwrap();
        assert_eq!(keys(&unit).await, 50, "{binary}");
        replica_has(&ground, &local, &unit, &binary, 50).await;
        local.tidy(&unit).await.unwrap();
        assert_eq!(sight(&local, &unit).await, (3, None, false), "{binary}");
        // And once more, the other way.
        local.stage(&unit, staging(4)).await.unwrap();
        local.tidy(&unit).await.unwrap();
        assert_eq!(sight(&local, &unit).await, (3, None, false), "{binary}");
        assert_eq!(keys(&unit).await, 50, "{binary}");
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_system_has_of_a_clone_ends_with_the_run_of_the_machine() {
    let mut ground = Ground::new(70);
    let binary = usual_redis().await;
    let version = EngineVersion::V5_0;
    let local = ground.local(Engines::of(vec![binary.clone()]));
    let source = ground.redis(NodeType::StandAlone, version);
    bring_up(&local, &source).await;
    fill(&source, 50, 100).await;
    let data = saved(&local, &source).await;
    take_down(&local, &source).await;

    let unit = ground.redis(NodeType::MasterSlave, version);
    let staging = || Staging { serial: 1, engine: stamp(&binary), bytes: stream(&data) };
    local.prepare(&unit).await.unwrap();
    local.stage(&unit, staging()).await.unwrap();
    assert_eq!(sight(&local, &unit).await, (0, Some(1), true));
    let first = ground.directory(&unit, Member::First);
    let marked = |directory: &Path| {
        let text = std::fs::read_to_string(directory.join("dataset.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let next = first.with_file_name("next");
    let mut mark = marked(&next);
    mark["run"] = "another".into();
    std::fs::write(next.join("dataset.json"), mark.to_string()).unwrap();
    assert_eq!(sight(&local, &unit).await, (0, None, true));

    local.stage(&unit, staging()).await.unwrap();
    local.swap(&unit, 1).await.unwrap();
    bring_up(&local, &unit).await;
    assert_eq!(marked(&first).get("run"), None, "the disk has it");
    assert_eq!(keys(&unit).await, 50);
    take_down(&local, &unit).await;
}

/// The replica has as many keys as that, by its own save.
async fn replica_has(ground: &Ground, local: &Local, unit: &Unit, binary: &Binary, keys: u64) {
    let replica = ground.pid(unit, Member::Second);
    let seen = local.observe(unit).await.unwrap();
    assert_eq!(seen.running[&Member::Second], Health::Linked, "{binary}");
    let saving = local.save(unit).await.unwrap();
    assert_eq!(saving.keys, keys, "{binary}");
    super::ground::whole(saving.bytes).await.unwrap();
    assert_eq!(ground.pid(unit, Member::Second), replica);
}

/// Every way to be interrupted: each step is begun by another control plane, and each is done
/// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_interrupted_is_done_again() {
    let mut ground = Ground::new(74);
    for (binary, version) in each_redis().await {
        for node in NODES {
            let engines = Engines::of(vec![binary.clone()]);
            let local = ground.local(engines.clone());
            let unit = ground.redis(node, version);
            bring_up(&local, &unit).await;
            fill(&unit, 50, 100).await;
            let data = saved(&local, &unit).await;
            broken_stage(&local, &unit, &binary, &data).await;
            assert_eq!(sight(&local, &unit).await, (0, None, true));
            assert_eq!(keys(&unit).await, 50);
            for _ in 0..2 {
                let local = ground.local(engines.clone());
                let staging = Staging { serial: 1, engine: stamp(&binary), bytes: stream(&data) };
                local.stage(&unit, staging).await.unwrap();
                assert_eq!(sight(&local, &unit).await, (0, Some(1), true));
            }
            halt(&local, &unit).await;
            for _ in 0..2 {
                let local = ground.local(engines.clone());
                local.swap(&unit, 1).await.unwrap();
                assert_eq!(sight(&local, &unit).await, (1, None, true));
            }
            for _ in 0..2 {
                let local = ground.local(engines.clone());
                bring_up(&local, &unit).await;
                assert_eq!(keys(&unit).await, 50, "{binary} {node}");
                unit.members().iter().for_each(|member| kill(ground.pid(&unit, *member)));
                halt(&local, &unit).await;
            }
            bring_up(&local, &unit).await;
            assert_eq!(keys(&unit).await, 50, "{binary} {node}");
            for _ in 0..2 {
                ground.local(engines.clone()).tidy(&unit).await.unwrap();
                assert_eq!(sight(&local, &unit).await, (1, None, false));
            }
            take_down(&local, &unit).await;
        }
    }
}

/// A stream that breaks in the middle stages nothing, and its own trouble is told.
async fn broken_stage(local: &Local, unit: &Unit, binary: &Binary, data: &[u8]) {
    let half = Bytes::copy_from_slice(&data[..data.len() / 2]);
    let gone = Trouble::Dataset { reason: "it is not what was stored".into() };
    let bytes = futures::stream::iter([Ok(half), Err(gone)]).boxed();
    let staging = Staging { serial: 1, engine: stamp(binary), bytes };
    let told = local.stage(unit, staging).await.unwrap_err();
    assert_eq!(told.to_string(), "the data cannot be used: it is not what was stored");
}

/// While an engine turns from its dump to a file that it appends to, it is not said to serve.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_killed_while_it_turns_to_appending_has_its_data_all_the_same() {
    let mut ground = Ground::new(75);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        fill(&unit, 20_000, 1_000).await;
        let data = saved(&local, &unit).await;
        halt(&local, &unit).await;
        put(&local, &unit, 1, stamp(&binary), &data).await;
        for _ in 0..5 {
            let start = local.start(&unit, Member::First);
            let killed = async {
                let directory = ground.directory(&unit, Member::First);
                while super::ground::processes_in(&directory).is_empty() {
                    tokio::task::yield_now().await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(60)).await;
                super::ground::processes_in(&directory).into_iter().for_each(kill);
                // Where its start was just done, the next one would take it for one that runs.
                while !super::ground::processes_in(&directory).is_empty() {
                    tokio::task::yield_now().await;
                }
            };
            // A start that failed has nothing to be killed.
            let start = async {
                let _ = start.await;
            };
            tokio::select! {
                () = start => {}
                () = killed => {}
            }
        }
        bring_up(&local, &unit).await;
        assert_eq!(keys(&unit).await, 20_000, "{binary}");
        local.tidy(&unit).await.unwrap();
        kill(ground.pid(&unit, Member::First));
        halt(&local, &unit).await;
        bring_up(&local, &unit).await;
        assert_eq!(keys(&unit).await, 20_000, "{binary}");
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_is_never_older_than_its_data() {
    let mut ground = Ground::new(76);
    let all: Vec<Binary> = each_redis().await.into_iter().map(|(binary, _)| binary).collect();
    let (oldest, newest) = (all.first().unwrap().clone(), all.last().unwrap().clone());
    let mut data = dumps(&mut ground).await;
    let (_, new_data) = data.pop().unwrap();
    let (_, old_data) = data.remove(0);
    let local = ground.local(Engines::of(all.clone()));
    for node in NODES {
        // Data of a newer engine than the instance would have.
        let unit = ground.redis(node, EngineVersion::V2_8);
        put(&local, &unit, 1, stamp(&newest), &new_data).await;
        bring_up(&local, &unit).await;
        has_variety(&unit, "new data").await;
        let served = procfs::process::Process::new(ground.pid(&unit, Member::First)).unwrap();
        assert_eq!(served.exe().unwrap(), newest.path.canonicalize().unwrap());
        take_down(&local, &unit).await;
        // Data of an older one does not hold it back.
        let unit = ground.redis(node, EngineVersion::V5_0);
        put(&local, &unit, 1, stamp(&oldest), &old_data).await;
        bring_up(&local, &unit).await;
        has_variety(&unit, "old data").await;
        let served = procfs::process::Process::new(ground.pid(&unit, Member::First)).unwrap();
        assert_ne!(served.exe().unwrap(), oldest.path.canonicalize().unwrap());
        take_down(&local, &unit).await;
    }
    let local = ground.local(Engines::of(vec![oldest]));
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V2_8);
    local.prepare(&unit).await.unwrap();
    let staging = Staging { serial: 1, engine: stamp(&newest), bytes: stream(&new_data) };
    let refused = local.stage(&unit, staging).await.unwrap_err();
    assert!(matches!(refused, Trouble::NoEngine { .. }), "{refused}");
    let specimen = Specimen { engine: stamp(&newest), capacity_mb: 64, bytes: stream(&new_data) };
    let refused = local.prove(specimen).await.unwrap_err();
    assert!(matches!(refused, Trouble::NoEngine { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_data_of_a_clone_is_told_by_its_own_start() {
    let mut ground = Ground::new(77);
    for (binary, version) in each_redis().await {
        for node in NODES {
            let local = ground.local(Engines::of(vec![binary.clone()]));
            let unit = ground.redis(node, version);
            put(&local, &unit, 1, stamp(&binary), b"REDIS0006 and nothing that is meant").await;
            let refused = local.start(&unit, Member::First).await.unwrap_err();
            assert!(matches!(refused, Trouble::Dataset { .. }), "{binary} {node}: {refused}");
            take_down(&local, &unit).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_takes_no_data() {
    let mut ground = Ground::new(78);
    let local = ground.local(installed().await);
    let cache = ground.unit(InstanceType::Memcache, NodeType::StandAlone, EngineVersion::V5_0);
    local.prepare(&cache).await.unwrap();
    let engine = stamp(&usual_redis().await);
    let staging = Staging { serial: 1, engine, bytes: stream(b"x") };
    local.stage(&cache, staging).await.unwrap_err();
    local.tidy(&cache).await.unwrap();
    assert_eq!(sight(&local, &cache).await, (0, None, false));
    take_down(&local, &cache).await;
}
