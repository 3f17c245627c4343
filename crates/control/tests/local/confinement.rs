//! Real engines: who they are, what they may and what they may take.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use ourkv_control::engine::{Binary, Engines, Kind};
use ourkv_control::substrate::local::confine::{
    Confine, Confinement, FIRST_USER, USERS, abilities,
};
use ourkv_control::substrate::{Member, Specimen, Stop, Substrate, Unit};
use ourkv_domain::instance::{EngineVersion, InstanceType, NodeType};
use procfs::process::{LimitValue, Process};

use super::ground::{
    ADMIN, Ground, PASSWORD, bring_up, client, each_redis, installed, processes_in, run, saved,
    stamp, take_down, text, usual_redis,
};

/// Whether engines have users of their own here.
fn has_users() -> bool {
    abilities(FIRST_USER).users.is_ok()
}

/// The user of a unit's engines; our own where they have none.
fn user_of(unit: &Unit) -> u32 {
    let low = u32::from(*unit.address.ip()) & 0x00ff_ffff;
    if has_users() { FIRST_USER + low } else { rustix::process::geteuid().as_raw() }
}

fn status(pid: i32) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// It runs as that user, and can't become more than that.
fn is_powerless(pid: i32, user: u32, what: &dyn std::fmt::Display) {
    let status = status(pid);
    for ids in ["Uid", "Gid"] {
        let ids: Vec<&str> = status[ids].split_whitespace().collect();
        assert_eq!(ids, [user.to_string().as_str(); 4], "{what}");
    }
    if has_users() {
        assert_eq!(status["Groups"], "", "{what}");
    }
    assert_eq!(status["NoNewPrivs"], "1", "{what}");
    let mut sets = vec!["CapInh", "CapPrm", "CapEff", "CapAmb"];
    sets.extend(has_users().then_some("CapBnd"));
    for set in sets {
        assert_eq!(u64::from_str_radix(&status[set], 16), Ok(0), "{what}: {set}");
    }
}

fn is_bounded(pid: i32, wanted: &[(&str, u64)], what: &dyn std::fmt::Display) {
    let limits = Process::new(pid).unwrap().limits().unwrap();
    for (name, bound) in wanted {
        let limit = match *name {
            "as" => limits.max_address_space,
            "nofile" => limits.max_open_files,
            "nproc" => limits.max_processes,
            "core" => limits.max_core_file_size,
            "memlock" => limits.max_locked_memory,
            "cpu" => limits.max_cpu_time,
            "fsize" => limits.max_file_size,
            other => panic!("{other}"),
        };
        for value in [limit.soft_limit, limit.hard_limit] {
            assert!(matches!(value, LimitValue::Value(value) if value == *bound), "{what}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_has_a_user_of_its_own_and_no_power() {
    let mut ground = Ground::new(101);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        for &member in unit.members() {
            let pid = ground.pid(&unit, member);
            is_powerless(pid, user_of(&unit), &binary);
            // 64 MB and 50 clients.
            let bounds =
                [("as", (4 << 30) + (256 << 20)), ("nofile", 566), ("core", 0), ("memlock", 0)];
            is_bounded(pid, &bounds, &binary);
            if has_users() {
                is_bounded(pid, &[("nproc", 64)], &binary);
            }
            let directory = std::fs::metadata(ground.directory(&unit, member)).unwrap();
            assert_eq!((directory.uid(), directory.mode() & 0o777), (user_of(&unit), 0o700));
        }
        // Its child is what it is.
        let data = saved(&local, &unit).await;
        assert!(data.starts_with(b"REDIS"), "{binary}");
        let above = ground.directory(&unit, Member::First);
        let above = std::fs::metadata(above.parent().unwrap()).unwrap();
        assert_eq!(above.uid(), rustix::process::geteuid().as_raw());
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_has_a_user_of_its_own_and_no_power() {
    let mut ground = Ground::new(102);
    let local = ground.local(installed().await);
    let unit = ground.unit(InstanceType::Memcache, NodeType::StandAlone, EngineVersion::V2_8);
    bring_up(&local, &unit).await;
    let pid = ground.pid(&unit, Member::First);
    is_powerless(pid, user_of(&unit), &"memcached");
    is_bounded(pid, &[("as", (4 << 30) + (256 << 20)), ("nofile", 54), ("core", 0)], &"memcached");
    take_down(&local, &unit).await;
}

/// Its administrator may have an engine do anything that the engine can do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_reaches_no_other_port_and_no_other_directory() {
    let walls = abilities(FIRST_USER).walls.unwrap_or(0);
    let mut ground = Ground::new(103);
    for (binary, version) in each_redis().await.into_iter().filter(|(b, _)| b.has_acl()) {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        let mut admin = client(&unit, None).await.unwrap();
        run(&mut admin, &format!("AUTH cp_admin {ADMIN}")).await.unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        if binary.level() < (7, 0) && (has_users() || walls >= 2) {
            let moved = format!("CONFIG SET dir {}", elsewhere.path().display());
            let moved = run(&mut admin, &moved);
            let saved = moved.await.is_ok() && run(&mut admin, "SAVE").await.is_ok();
            assert!(!saved, "{binary}");
            assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "{binary}");
        }
        let control = TcpListener::bind("127.0.0.1:0").unwrap();
        control.set_nonblocking(true).unwrap();
        let port = control.local_addr().unwrap().port();
        run(&mut admin, &format!("REPLICAOF 127.0.0.1 {port}")).await.unwrap();
        // It tries once in a second.
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(walls < 4 || control.accept().is_err(), "{binary} connected");
        }
        run(&mut admin, "REPLICAOF NO ONE").await.unwrap();
        if binary.level() >= (6, 2) && walls >= 4 {
            run(&mut admin, "CONFIG SET port 16379").await.unwrap_err();
        }
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_from_before_is_taken_over_and_given_back() {
    let mut ground = Ground::new(104);
    for (binary, version) in each_redis().await {
        let engines = Engines::of(vec![binary.clone()]);
        let unit = ground.redis(NodeType::MasterSlave, version);
        let off = Confinement { confine: Confine::Off, ..Confinement::default() };
        for (round, confinement) in [off, Confinement::default(), off].into_iter().enumerate() {
            let local = ground.confined(engines.clone(), confinement).unwrap();
            bring_up(&local, &unit).await;
            let ours = rustix::process::geteuid().as_raw();
            let user = if round == 1 { user_of(&unit) } else { ours };
            for &member in unit.members() {
                let status = status(ground.pid(&unit, member));
                assert!(status["Uid"].starts_with(&format!("{user}\t")), "{binary}: {round}");
            }
            let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
            if round > 0 {
                let expected = (round - 1).to_string();
                assert_eq!(text(&mut tenant, "GET round").await, expected, "{binary}");
            }
            text(&mut tenant, &format!("SET round {round}")).await;
            for member in unit.members() {
                local.stop(&unit, *member, Stop::Keep).await.unwrap();
            }
        }
        take_down(&ground.local(engines), &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adopted_engine_gets_the_bounds_that_it_lacks() {
    let mut ground = Ground::new(105);
    let engines = Engines::of(vec![usual_redis().await]);
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    bring_up(&ground.local_of_scripts(engines.clone()), &unit).await;
    let pid = ground.pid(&unit, Member::First);
    let local = ground.local(engines);
    local.observe(&unit).await.unwrap();
    is_bounded(pid, &[("nofile", 566), ("core", 0)], &"adopted");
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_has_a_user_of_its_own_and_no_power() {
    let ground = Ground::new(106);
    let binary = usual_redis().await;
    let local = ground.local(Engines::of(vec![binary.clone()]));
    let first = futures::stream::iter([Ok(Bytes::from_static(b"REDIS0010"))]);
    let bytes = first.chain(futures::stream::pending()).boxed();
    let specimen = Specimen { engine: stamp(&binary), capacity_mb: 64, bytes };
    let trials = ground.data.path().canonicalize().unwrap().join("trials");
    let proving = tokio::spawn(async move { local.prove(specimen).await });
    // It opens what it loads after it has all its bounds, and then that has no name any more.
    let begun =
        |trial: &Path| trial.join("owner.lock").exists() && !trial.join("dump.rdb").exists();
    let pid = loop {
        let pids = processes_in(&trials);
        let mut places = std::fs::read_dir(&trials).unwrap().flatten();
        if let [pid] = pids[..]
            && places.any(|place| begun(&place.path()))
        {
            break pid;
        }
        assert!(!proving.is_finished());
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let user = std::fs::metadata(format!("/proc/{pid}")).unwrap().uid();
    if has_users() {
        assert!((FIRST_USER + USERS / 6 * 5..FIRST_USER + USERS).contains(&user));
    }
    is_powerless(pid, user, &"trial");
    let bounds = [("as", 1_179_648 << 10), ("cpu", 136), ("nofile", 64), ("core", 0)];
    is_bounded(pid, &bounds, &"trial");
    proving.abort();
    // It is ended before anybody is told.
    let _ = proving.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_in_an_engines_place_is_not_started() {
    let mut ground = Ground::new(107);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("redis-server");
    std::fs::write(&path, "#!/bin/sh\nexec sleep 60\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let version = (7, 0, 15);
    let binary = Binary { path, kind: Kind::Redis, version, from_distribution: true };
    let local = ground.local(Engines::of(vec![binary]));
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    local.prepare(&unit).await.unwrap();
    if abilities(FIRST_USER).walls.is_ok() {
        let trouble = local.start(&unit, Member::First).await.unwrap_err();
        assert!(trouble.to_string().contains("no 64-bit program"), "{trouble}");
    }
    assert!(local.observe(&unit).await.unwrap().running.is_empty());
    take_down(&local, &unit).await;
}

/// Its user could neither go there nor read the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_in_a_closed_home_runs_under_its_own_name() {
    let mut ground = Ground::new(108);
    let home = tempfile::tempdir().unwrap();
    let usual = usual_redis().await;
    let path = home.path().join("redis-7.0").join("redis-server");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::copy(usual.path.canonicalize().unwrap(), &path).unwrap();
    let local = ground.local(Engines::of(vec![Binary { path: path.clone(), ..usual }]));
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    bring_up(&local, &unit).await;
    let process = Process::new(ground.pid(&unit, Member::First)).unwrap();
    assert_eq!(process.stat().unwrap().comm, "redis-server");
    assert_eq!(process.exe().unwrap(), path.canonicalize().unwrap());
    take_down(&local, &unit).await;
}
