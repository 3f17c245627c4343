//! What can go wrong at a start, and that strangers are left alone.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ourkv_control::engine::{Binary, Engines, Kind};
use ourkv_control::substrate::{Member, Substrate, Trouble, Unit};
use ourkv_domain::instance::{EngineVersion, InstanceType, NodeType};
use tokio::io::AsyncReadExt;

use super::ground::{Ground, PASSWORD, bring_up, each_redis, installed, take_down, usual_redis};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_on_the_address_is_named_and_not_spoken_to() {
    let mut ground = Ground::new(51);
    let local = ground.local(installed().await);
    for kind in [InstanceType::Redis, InstanceType::Memcache] {
        let unit = ground.unit(kind, NodeType::StandAlone, EngineVersion::V5_0);
        let stranger = tokio::net::TcpListener::bind(unit.address).await.unwrap();
        local.prepare(&unit).await.unwrap();
        let refused = local.start(&unit, Member::First).await.unwrap_err();
        let Trouble::AddressInUse { address, holder: Some(holder) } = &refused else {
            panic!("{refused}");
        };
        assert_eq!(*address, unit.address);
        assert!(holder.ends_with(&std::process::id().to_string()), "{holder}");
        assert!(local.observe(&unit).await.unwrap().running.is_empty());
        local.login(&unit).await.unwrap_err();
        nobody_called(&stranger).await;
        drop(stranger);
        bring_up(&local, &unit).await;
        take_down(&local, &unit).await;
    }
}

/// Nobody is waiting to be accepted.
async fn nobody_called(listener: &tokio::net::TcpListener) {
    let none = futures::poll!(std::pin::pin!(listener.accept()));
    assert!(none.is_pending(), "somebody spoke to a stranger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_takes_a_dead_engines_address_sees_no_password() {
    let mut ground = Ground::new(52);
    let local = ground.local(installed().await);
    for kind in [InstanceType::Redis, InstanceType::Memcache] {
        let unit = ground.unit(kind, NodeType::StandAlone, EngineVersion::V5_0);
        bring_up(&local, &unit).await;
        let mut deaths = local.deaths();
        super::ground::kill(ground.pid(&unit, Member::First));
        deaths.recv().await.unwrap();
        let stranger = tokio::net::TcpListener::bind(unit.address).await.unwrap();
        local.login(&unit).await.unwrap_err();
        local.observe(&unit).await.unwrap();
        nobody_called(&stranger).await;
        take_down(&local, &unit).await;
    }
}

/// A program in place of an engine, which the tests write themselves.
fn fake_engine(directory: &Path, body: &str) -> Engines {
    let path = directory.join("redis-server");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let version = (7, 0, 15);
    Engines::of(vec![Binary { path, kind: Kind::Redis, version, from_distribution: true }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_ends_at_once_is_told_with_its_last_words() {
    let mut ground = Ground::new(53);
    let directory = tempfile::tempdir().unwrap();
    let body = format!("cat >/dev/null; echo \"bad {PASSWORD} in /etc/x\" >&2; exit 1");
    let local = ground.local_of_scripts(fake_engine(directory.path(), &body));
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    local.prepare(&unit).await.unwrap();
    for _ in 0..3 {
        let Trouble::Ended { last_words } = local.start(&unit, Member::First).await.unwrap_err()
        else {
            panic!("it did not end");
        };
        assert_eq!(last_words, "bad *** in …");
    }
    assert!(local.observe(&unit).await.unwrap().running.is_empty());
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_never_reads_its_configuration_is_told() {
    let mut ground = Ground::new(54);
    let directory = tempfile::tempdir().unwrap();
    let local = ground.local_of_scripts(fake_engine(directory.path(), "exit 0"));
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    local.prepare(&unit).await.unwrap();
    let ended = local.start(&unit, Member::First).await.unwrap_err();
    assert!(matches!(ended, Trouble::Ended { .. }), "{ended}");
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_installed_cannot_serve() {
    let mut ground = Ground::new(55);
    let local = ground.local(Engines::default());
    for kind in [InstanceType::Redis, InstanceType::Memcache] {
        let unit = ground.unit(kind, NodeType::StandAlone, EngineVersion::V5_0);
        local.prepare(&unit).await.unwrap();
        let none = local.start(&unit, Member::First).await.unwrap_err();
        assert!(matches!(none, Trouble::NoEngine { .. }), "{none}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_that_an_engine_does_not_confirm_is_named() {
    let mut ground = Ground::new(56);
    let local = ground.local(Engines::of(vec![usual_redis().await]));
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    bring_up(&local, &unit).await;
    let asked_for_more = Unit { capacity_mb: 65, ..unit.clone() };
    let unmet = local.start(&asked_for_more, Member::First).await.unwrap_err();
    assert!(unmet.to_string().contains("maxmemory is 67108864, not 68157440"), "{unmet}");
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_whose_engine_runs_is_not_removed() {
    let mut ground = Ground::new(57);
    let local = ground.local(Engines::of(vec![usual_redis().await]));
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    bring_up(&local, &unit).await;
    local.remove(&unit).await.unwrap_err();
    local.login(&unit).await.unwrap();
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_behind_the_admin_socket_sees_no_secret() {
    let mut ground = Ground::new(58);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        let path = ground.directory(&unit, Member::First).join("admin.sock");
        std::fs::remove_file(&path).unwrap();
        let stranger = tokio::net::UnixListener::bind(&path).unwrap();
        let start = local.start(&unit, Member::First).await.unwrap_err();
        assert!(start.to_string().contains("belongs to another process"), "{binary}: {start}");
        let mut seen = Vec::new();
        let (mut caller, _) = stranger.accept().await.unwrap();
        caller.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"", "{binary}");
        take_down(&local, &unit).await;
    }
}

#[test]
fn engines_that_hang_at_their_start_keep_no_thread_from_others() {
    let threads = 2;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(threads)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut ground = Ground::new(59);
        let directory = tempfile::tempdir().unwrap();
        let hanging = fake_engine(directory.path(), "exec sleep 60");
        let hung: Vec<_> = (0..threads)
            .map(|_| {
                let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
                let local = ground.local_of_scripts(hanging.clone());
                tokio::spawn(async move { local.start(&unit, Member::First).await })
            })
            .collect();
        let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
        let local = ground.local(Engines::of(vec![usual_redis().await]));
        bring_up(&local, &unit).await;
        take_down(&local, &unit).await;
        assert!(hung.iter().all(|start| !start.is_finished()), "the others were waited for");
        drop(ground);
        for start in hung {
            start.await.unwrap().unwrap_err();
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_looked_at_is_not_taken_to_be_gone() {
    let mut ground = Ground::new(60);
    let local = ground.local(installed().await);
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    assert!(!local.observe(&unit).await.unwrap().prepared);
    let engines = ground.data.path().join("engines");
    std::fs::remove_dir(&engines).unwrap();
    std::fs::write(&engines, "not a directory").unwrap();
    local.observe(&unit).await.unwrap_err();
}
