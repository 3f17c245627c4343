//! Every failpoint, in the modes error, panic and pause.
//!
//! Failpoints belong to the whole process, so these tests have a program of their own and take
//! turns.

#![expect(clippy::unwrap_used, reason = "what can't be set up fails the test")]

#[path = "control/common.rs"]
#[expect(dead_code, reason = "shared with the other tests, which need more of it")]
mod common;
#[path = "failpoints/data.rs"]
mod data;
#[path = "failpoints/passwords.rs"]
mod passwords;
#[path = "failpoints/roles.rs"]
mod roles;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fail::FailScenario;
use ourkv_control::reconciler::{Damping, Handle, Settings, failpoint_names};
use ourkv_control::substrate::fake::{Call, Fault};
use ourkv_control::substrate::{Member, Substrate};
use ourkv_domain::billing::Money;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Intent, Phase};

use crate::common::{PATIENCE, SHAPES, World, quick, settled};
use crate::data::{change_data, copy};
use crate::passwords::change_password;
use crate::roles::change_roles;

const PAIR: usize = 1;
const CACHE: usize = 2;

/// From nothing through every state to nothing.
async fn live(world: &World, reconciler: &Handle, shape: usize) {
    let id = world.create(SHAPES[shape]).await;
    settled(reconciler).await;
    assert_eq!(world.phase(&id).await, Some(Phase::Normal));
    fall_ill(world, reconciler, &id).await;
    if shape == PAIR {
        change_roles(world, reconciler, &id).await;
    }
    change_password(world, reconciler, &id).await;
    if shape != CACHE {
        change_data(world, reconciler, &id).await;
        copy(world, reconciler, shape).await;
    }
    for (intent, phase) in [(Intent::Stop, Phase::Inactive), (Intent::Run, Phase::Normal)] {
        world.intend(&id, intent).await;
        settled(reconciler).await;
        assert_eq!(world.phase(&id).await, Some(phase));
    }
    world.intend(&id, Intent::Delete).await;
    settled(reconciler).await;
    assert_eq!(world.instance(&id).await, None);
    assert_eq!(world.taken().await, (0, 0));
    assert!(world.fake.inventory().await.unwrap().is_empty());
    let gone = id.clone();
    let meter = world.write(move |tx| tx.lock_meter(&gone)).await.unwrap();
    assert!(meter.closed.is_some());
}

async fn fall_ill(world: &World, reconciler: &Handle, id: &InstanceId) {
    world.fake.inject(Call::Start, Some(id), Fault::Fail, 2);
    world.fake.kill(id, Member::First);
    settled(reconciler).await;
    world.fake.heal();
    assert_eq!(world.phase(id).await, Some(Phase::Normal));
}

/// A reconciler that soon comes back to what can wait.
fn start(world: &World) -> Handle {
    let damping = Damping { failovers: usize::MAX, ..Damping::default() };
    let settings = Settings { sweep: Duration::from_millis(50), damping, ..quick() };
    world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, settings)
}

async fn world() -> World {
    World::new(Money::from_yuan(1_000_000).unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_passes_every_failpoint() {
    let scenario = FailScenario::setup();
    let passed = Arc::new(Mutex::new(BTreeSet::new()));
    for name in failpoint_names() {
        let passed = Arc::clone(&passed);
        fail::cfg_callback(name, move || {
            passed.lock().unwrap().insert(name);
        })
        .unwrap();
    }
    let world = world().await;
    let reconciler = start(&world);
    live(&world, &reconciler, 1).await;
    reconciler.shutdown().await;
    let missed: Vec<_> = failpoint_names()
        .into_iter()
        .filter(|name| !passed.lock().unwrap().contains(name))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_step_fails_the_end_is_the_same() {
    for mode in ["1*return(error)->off", "3*return(error)->off", "1*panic->off"] {
        let scenario = FailScenario::setup();
        let world = world().await;
        let reconciler = start(&world);
        for name in failpoint_names() {
            for shape in 0..SHAPES.len() {
                fail::cfg(name, mode).unwrap();
                live(&world, &reconciler, shape).await;
                fail::remove(name);
            }
        }
        reconciler.shutdown().await;
        scenario.teardown();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_between_two_steps_is_followed_by_one_that_goes_on() {
    let scenario = FailScenario::setup();
    let world = world().await;
    for name in failpoint_names() {
        let id = world.create(SHAPES[1]).await;
        // A point that fails for ever stops the instance there, as the end of the process would.
        fail::cfg(name, "return(error)").unwrap();
        for intent in [None, Some(Intent::Stop), Some(Intent::Delete)] {
            if let Some(intent) = intent
                && world.instance(&id).await.is_some()
            {
                world.intend(&id, intent).await;
            }
            let cut = start(&world);
            let _ = tokio::time::timeout(Duration::from_millis(30), cut.settle()).await;
            cut.shutdown().await;
        }
        fail::remove(name);
        let next = start(&world);
        settled(&next).await;
        next.shutdown().await;
        assert_eq!(world.instance(&id).await, None, "{name}");
        assert_eq!(world.taken().await, (0, 0), "{name}");
        assert!(world.fake.inventory().await.unwrap().is_empty(), "{name}");
    }
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_instance_stops_no_other() {
    let scenario = FailScenario::setup();
    let world = world().await;
    let reconciler = world.start();
    for name in ["prepare.before", "start_first.after", "login.before", "record_normal.before"] {
        fail::cfg(name, "1*pause->off").unwrap();
        let mut ids = Vec::new();
        for _ in 0..8 {
            ids.push(world.create(SHAPES[1]).await);
        }
        reconciler.nudge();
        tokio::time::timeout(PATIENCE, all_but_one(&world, &ids)).await.expect("others wait");
        fail::remove(name);
        settled(&reconciler).await;
        assert_eq!(unfinished(&world, &ids).await, 0);
    }
    reconciler.shutdown().await;
    scenario.teardown();
}

async fn all_but_one(world: &World, ids: &[InstanceId]) {
    while unfinished(world, ids).await != 1 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn unfinished(world: &World, ids: &[InstanceId]) -> usize {
    let mut count = 0;
    for id in ids {
        count += usize::from(world.phase(id).await != Some(Phase::Normal));
    }
    count
}
