//! Restores and clones.

use std::time::Duration;

use fail::FailScenario;
use ourkv_control::reconciler::{Handle, failpoint_names};
use ourkv_control::substrate::{Health, Member};
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Intent, Status};

use super::common::{PATIENCE, SHAPES, World, settled};
use super::{start, world};

const OLD: &str = "old\n";
const NEW: &str = "new\nnewer\n";
/// Refused by whatever loads it.
const CORRUPT: &str = "corrupt\n";

/// A restore that works and one that is refused.
pub(crate) async fn change_data(world: &World, reconciler: &Handle, id: &InstanceId) {
    world.fake.put(id, OLD);
    for data in [NEW, CORRUPT] {
        let backup = world.library.put(&world.mint, data);
        world.restore(id, backup).await;
        settled(reconciler).await;
        ends_whole(world, id, NEW).await;
    }
}

/// A clone, from nothing to nothing.
pub(crate) async fn copy(world: &World, reconciler: &Handle, shape: usize) {
    let backup = world.library.put(&world.mint, NEW);
    let id = world.clone_of(backup, SHAPES[shape]).await;
    settled(reconciler).await;
    ends_whole(world, &id, NEW).await;
    world.intend(&id, Intent::Delete).await;
    settled(reconciler).await;
    assert_eq!(world.instance(&id).await, None);
}

/// It answers, no restore is pending, nothing is left of one, and the data are these.
async fn ends_whole(world: &World, id: &InstanceId, data: &str) {
    let instance = world.instance(id).await.unwrap();
    assert_eq!(instance.status(), Some(Status::Normal));
    assert_eq!(instance.restore, None);
    assert_eq!(world.fake.data(id), data);
    let seen = world.fake.seen(id);
    assert_eq!((seen.dataset, seen.staged, seen.untidy), (instance.dataset, None, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_cut_off_ends_with_all_of_the_old_data_or_all_of_the_new() {
    let scenario = FailScenario::setup();
    let world = world().await;
    for name in failpoint_names() {
        for (data, shape) in [(NEW, 0), (NEW, 1), (CORRUPT, 0), (CORRUPT, 1)] {
            let first = start(&world);
            let id = world.create(SHAPES[shape]).await;
            settled(&first).await;
            world.fake.put(&id, OLD);
            // A point that fails for ever stops it there, as the end of the process would.
            fail::cfg(name, "return(error)").unwrap();
            let backup = world.library.put(&world.mint, data);
            world.restore(&id, backup).await;
            let _ = tokio::time::timeout(Duration::from_millis(30), first.settle()).await;
            first.shutdown().await;
            let held = world.fake.data(&id);
            assert!(held == OLD || held == NEW, "{name}: {held:?}");
            fail::remove(name);
            let next = start(&world);
            settled(&next).await;
            ends_whole(&world, &id, if data == NEW { NEW } else { OLD }).await;
            world.intend(&id, Intent::Delete).await;
            settled(&next).await;
            next.shutdown().await;
        }
    }
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_restore_stops_no_other_and_not_its_own_instance() {
    let scenario = FailScenario::setup();
    let world = world().await;
    let reconciler = start(&world);
    for name in ["fetch.after", "stage.before", "stage.after", "prove_staged.before"] {
        let mut ids = Vec::new();
        for _ in 0..2 {
            let id = world.create(SHAPES[1]).await;
            settled(&reconciler).await;
            world.fake.put(&id, OLD);
            ids.push(id);
        }
        fail::cfg(name, "1*pause->off").unwrap();
        for id in &ids {
            let backup = world.library.put(&world.mint, NEW);
            world.restore(id, backup).await;
        }
        reconciler.nudge();
        let done = async {
            while !ids.iter().any(|id| world.fake.data(id) == NEW) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.expect("the other waits");
        for id in ids.iter().filter(|id| world.fake.data(id) == OLD) {
            world.fake.kill(id, Member::Second);
            let mended = async {
                while world.fake.seen(id).running.get(&Member::Second) != Some(&Health::Linked) {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::time::timeout(PATIENCE, mended).await.expect("a pause holds its engines");
            world.intend(id, Intent::Delete).await;
            reconciler.nudge();
            let gone = async {
                while world.instance(id).await.is_some() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::time::timeout(PATIENCE, gone).await.expect("a pause holds its deletion");
        }
        fail::remove(name);
        settled(&reconciler).await;
    }
    reconciler.shutdown().await;
    scenario.teardown();
}
