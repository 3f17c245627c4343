//! Starts that come to their end when something else is decided already.

use std::time::{Duration, Instant};

use ourkv_control::engine::Engines;
use ourkv_control::substrate::{Member, Substrate, Unit};
use ourkv_domain::instance::{EngineVersion, NodeType};
use rustix::process::{Pid, Signal, kill_process};

use super::ground::{Ground, bring_up, each_redis, processes_in, take_down, usual_redis};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_nobody_waits_for_any_more_is_not_begun_when_its_turn_comes() {
    let mut ground = Ground::new(98);
    let unit = ground.redis(NodeType::MasterSlave, EngineVersion::V5_0);
    let local = ground.local(Engines::of(vec![usual_redis().await]));
    bring_up(&local, &unit).await;
    let manifest = ground.directory(&unit, Member::First).join("engine.json");
    let before = std::fs::read_to_string(&manifest).unwrap();
    // It hangs: the first one waits for its answer, the second one for its turn.
    let master = Pid::from_raw(ground.pid(&unit, Member::First)).unwrap();
    kill_process(master, Signal::STOP).unwrap();
    let (substrate, hung) = (local.clone(), unit.clone());
    let first = tokio::spawn(async move { substrate.start(&hung, Member::First).await });
    for _ in 0..2 {
        let waits = local.start(&unit, Member::First);
        assert!(tokio::time::timeout(Duration::from_millis(200), waits).await.is_err());
    }
    local.fence(&unit, Member::First).await.unwrap();
    first.await.unwrap().unwrap_err();
    assert!(processes_in(&ground.directory(&unit, Member::First)).is_empty());
    let after = std::fs::read_to_string(&manifest).unwrap();
    assert_eq!(after, before, "another engine was started, and ended again");
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_does_not_end_who_is_to_be_the_master_since() {
    let mut ground = Ground::new(99);
    let all = each_redis().await;
    let (binary, version) = all.into_iter().find(|(it, _)| it.level() == (6, 2)).unwrap();
    let local = ground.local(Engines::of(vec![binary]));
    // No kernel opens as many files: it will be found not to be set to that.
    let many = 2_000_000;
    let unit = Unit { connections: many, ..ground.redis(NodeType::MasterSlave, version) };
    local.prepare(&unit).await.unwrap();
    let directory = ground.directory(&unit, Member::Second);
    let commands = "*3\r\n$4\r\nSADD\r\n$1\r\ns\r\n$1\r\n1\r\n".repeat(6_000_000);
    std::fs::write(directory.join("appendonly.aof"), commands).unwrap();
    let (substrate, replica) = (local.clone(), unit.clone());
    let start = tokio::spawn(async move { substrate.start(&replica, Member::Second).await });
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until && !start.is_finished(), "it was not seen to load");
        let standing = local.standing(&unit).await.unwrap();
        if standing[&Member::Second].replication.as_ref().is_some_and(|it| it.loading) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let decided = Unit { lead: unit.lead.passed_to(Member::Second), ..unit.clone() };
    local.declare(&decided).await.unwrap();
    let pid = ground.pid(&unit, Member::Second);
    let trouble = start.await.unwrap().unwrap_err();
    assert!(trouble.to_string().contains("maxclients"), "{trouble}");
    assert_eq!(ground.pid(&unit, Member::Second), pid);
    take_down(&local, &decided).await;
}
