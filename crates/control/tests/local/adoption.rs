//! Engines outlive the control plane, and only the instance's own are taken up again.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use ourkv_control::engine::Engines;
use ourkv_control::substrate::{Health, Member, Seen, Substrate, Unit};
use ourkv_domain::instance::{EngineVersion, NodeType};
use rustix::fs::{FlockOperation, flock};

use super::ground::{Ground, bring_up, kill, processes_in, take_down, usual_redis};

async fn pair(ground: &mut Ground) -> Unit {
    let unit = ground.redis(NodeType::MasterSlave, EngineVersion::V5_0);
    bring_up(&ground.local(usual().await), &unit).await;
    unit
}

async fn usual() -> Engines {
    Engines::of(vec![usual_redis().await])
}

fn pids(ground: &Ground, unit: &Unit) -> Vec<i32> {
    unit.members().iter().map(|member| ground.pid(unit, *member)).collect()
}

fn whole(seen: &Seen) -> bool {
    seen.running.get(&Member::First) == Some(&Health::Answering)
        && seen.running.get(&Member::Second) == Some(&Health::Linked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_control_plane_adopts_the_same_processes() {
    let mut ground = Ground::new(41);
    let unit = pair(&mut ground).await;
    let before = pids(&ground, &unit);
    let next = ground.local(usual().await);
    assert!(whole(&next.observe(&unit).await.unwrap()));
    bring_up(&next, &unit).await;
    assert_eq!(pids(&ground, &unit), before);
    assert_eq!(next.inventory().await.unwrap(), std::slice::from_ref(&unit.id));

    // The death of one that was adopted is news as well, and leaves no zombie.
    let mut deaths = next.deaths();
    kill(before[0]);
    assert_eq!(deaths.recv().await.unwrap(), unit.id);
    bring_up(&next, &unit).await;
    assert_eq!(pids(&ground, &unit)[1], before[1]);
    take_down(&next, &unit).await;
    assert!(processes_in(&ground.data.path().canonicalize().unwrap()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_torn_anywhere_is_rebuilt_from_the_process() {
    let mut ground = Ground::new(42);
    let unit = pair(&mut ground).await;
    let before = pids(&ground, &unit);
    let manifest = ground.directory(&unit, Member::First).join("engine.json");
    let text = std::fs::read(&manifest).unwrap();
    for length in (0..text.len()).step_by(16) {
        std::fs::write(&manifest, &text[..length]).unwrap();
        let next = ground.local(usual().await);
        assert!(whole(&next.observe(&unit).await.unwrap()), "cut at {length}");
        assert_eq!(std::fs::read(&manifest).unwrap(), text, "cut at {length}");
    }
    std::fs::remove_file(&manifest).unwrap();
    let next = ground.local(usual().await);
    assert!(whole(&next.observe(&unit).await.unwrap()));
    assert_eq!(pids(&ground, &unit), before);
    take_down(&next, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_means_another_process_now_is_left_alone() {
    let mut ground = Ground::new(43);
    let unit = pair(&mut ground).await;
    // An engine of somebody else, with its number in our manifest.
    let mut other = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    other.nonce = "somebody0else".into();
    bring_up(&ground.local(usual().await), &other).await;
    let stranger = ground.pid(&other, Member::First);
    let own = ground.pid(&unit, Member::First);
    let manifest = ground.directory(&unit, Member::First).join("engine.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let forged = text.replace(&format!("\"pid\":{own}"), &format!("\"pid\":{stranger}"));
    assert_ne!(forged, text);

    // With our engine alive it is found, not the stranger.
    std::fs::write(&manifest, &forged).unwrap();
    let next = ground.local(usual().await);
    assert!(whole(&next.observe(&unit).await.unwrap()));
    assert_eq!(std::fs::read_to_string(&manifest).unwrap(), text);

    // With our engine dead nothing is found, and the stranger lives through a stop.
    std::fs::write(&manifest, &forged).unwrap();
    kill(own);
    let next = ground.local(usual().await);
    take_down(&next, &unit).await;
    assert_eq!(ground.pid(&other, Member::First), stranger);
    next.login(&other).await.unwrap();
    take_down(&next, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_control_planes_never_run_two_engines_on_one_directory() {
    let mut ground = Ground::new(44);
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    let (one, two) = (ground.local(usual().await), ground.local(usual().await));
    one.prepare(&unit).await.unwrap();
    for _ in 0..10 {
        // One of them may be told that the other one was faster.
        let _ = tokio::join!(one.start(&unit, Member::First), two.start(&unit, Member::First));
        assert!(processes_in(&ground.directory(&unit, Member::First)).len() <= 1);
        bring_up(&one, &unit).await;
        bring_up(&two, &unit).await;
        // Panics when there is not exactly one.
        ground.pid(&unit, Member::First);
        take_down(&one, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_whose_caller_went_away_runs_to_its_end() {
    let mut ground = Ground::new(45);
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    let local = ground.local(usual().await);
    local.prepare(&unit).await.unwrap();
    let start = local.start(&unit, Member::First);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(2), start).await.is_err());
    bring_up(&local, &unit).await;
    ground.pid(&unit, Member::First);
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_was_being_started_when_the_control_plane_died_is_adopted() {
    let mut ground = Ground::new(46);
    let unit = pair(&mut ground).await;
    let own = pids(&ground, &unit);
    // Its manifest was never written; that of an earlier start is there.
    let manifest = ground.directory(&unit, Member::First).join("engine.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"start_ticks\":", "\"start_ticks\":1")).unwrap();
    let next = ground.local(usual().await);
    bring_up(&next, &unit).await;
    assert_eq!(pids(&ground, &unit), own);
    take_down(&next, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_was_being_made_when_the_control_plane_died_is_waited_for() {
    let mut ground = Ground::new(97);
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
    let local = ground.local(usual().await);
    bring_up(&local, &unit).await;
    local.fence(&unit, Member::First).await.unwrap();
    // It holds the directory, and executes the engine's file only a moment later.
    let directory = ground.directory(&unit, Member::First).canonicalize().unwrap();
    let log = OpenOptions::new().append(true).open(directory.join("engine.log")).unwrap();
    flock(&log, FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut made = Command::new("/bin/sh");
    made.args(["-c", "sleep 0.1; exec \"$0\" --port 0 --save ''"]).arg(usual_redis().await.path);
    made.current_dir(&directory).process_group(0).stdin(Stdio::null()).stdout(log);
    let mut made = made.spawn().unwrap();
    let next = ground.local(usual().await);
    let seen = next.observe(&unit).await.unwrap();
    assert_eq!(seen.running.get(&Member::First), Some(&Health::Starting));
    assert_eq!(u32::try_from(ground.pid(&unit, Member::First)).unwrap(), made.id());
    next.fence(&unit, Member::First).await.unwrap();
    // Whoever ended it may have collected it already.
    let _ = made.wait();
    take_down(&next, &unit).await;
}
