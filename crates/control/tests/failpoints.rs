//! Every failpoint, in the modes error, panic and pause.
//!
//! Failpoints belong to the whole process, so these tests have a program of their own and take
//! turns.

#![expect(clippy::unwrap_used, reason = "what can't be set up fails the test")]

#[path = "control/common.rs"]
#[expect(dead_code, reason = "shared with the other tests, which need more of it")]
mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fail::FailScenario;
use ourkv_control::reconciler::{Damping, Handle, Settings, failpoint_names};
use ourkv_control::substrate::fake::{Call, Fault};
use ourkv_control::substrate::{Health, Member, Substrate};
use ourkv_domain::billing::Money;
use ourkv_domain::clock::Clock as _;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Intent, Phase, Status};

use crate::common::{PATIENCE, SHAPES, World, quick, settled};

const PAIR: usize = 1;
const CACHE: usize = 2;

const OLD: &str = "old\n";
const NEW: &str = "new\nnewer\n";
/// Refused by whatever loads it.
const CORRUPT: &str = "corrupt\n";

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

/// A password that takes the place of another, and one that follows before that was done.
async fn change_password(world: &World, reconciler: &Handle, id: &InstanceId) {
    for passwords in [&["Second-1"][..], &["Third-11", "Fourth-1"]] {
        for password in passwords {
            ask_for_password(world, id, password).await;
        }
        settled(reconciler).await;
        lets_in_only(world, id, passwords[passwords.len() - 1]).await;
    }
}

async fn ask_for_password(world: &World, id: &InstanceId, password: &'static str) {
    let id = id.clone();
    let asked = world.write(move |tx| tx.change_password(&id, &password.into())).await;
    assert!(asked.is_some());
}

/// It answers, and every engine of it has this password alone.
async fn lets_in_only(world: &World, id: &InstanceId, password: &str) {
    let instance = world.instance(id).await.unwrap();
    assert_eq!(instance.status(), Some(Status::Normal));
    for member in world.fake.seen(id).running.into_keys() {
        assert_eq!(passwords(world, id, member), [password], "{member}");
    }
    let key = id.clone();
    let secrets = world.write(move |tx| tx.secrets(&key)).await.unwrap();
    assert_eq!((secrets.password.unwrap().expose(), secrets.change), (password, None));
}

fn passwords(world: &World, id: &InstanceId, member: Member) -> Vec<String> {
    let known = world.fake.passwords(id, member);
    known.iter().map(|password| password.expose().to_owned()).collect()
}

async fn fall_ill(world: &World, reconciler: &Handle, id: &InstanceId) {
    world.fake.inject(Call::Start, Some(id), Fault::Fail, 2);
    world.fake.kill(id, Member::First);
    settled(reconciler).await;
    world.fake.heal();
    assert_eq!(world.phase(id).await, Some(Phase::Normal));
}

/// A switch that works, one that is given up, and the end of both engines.
async fn change_roles(world: &World, reconciler: &Handle, id: &InstanceId) {
    assert!(world.fake.write(id, "one"));
    switch(world, id).await;
    settled(reconciler).await;
    world.fake.cut(id);
    switch(world, id).await;
    settled(reconciler).await;
    world.fake.kill(id, Member::First);
    world.fake.kill(id, Member::Second);
    settled(reconciler).await;
    whole(world, id, "one\n").await;
}

async fn switch(world: &World, id: &InstanceId) {
    let (id, now) = (id.clone(), world.clock.now());
    let asked = world.write(move |tx| tx.request_switch(&id, now)).await;
    assert!(asked.is_some());
}

/// One engine takes writes, the other follows it, and both have these data.
async fn whole(world: &World, id: &InstanceId, data: &str) {
    let instance = world.instance(id).await.unwrap();
    assert_eq!(instance.status(), Some(Status::Normal));
    let (lead, seen) = (instance.role.lead, world.fake.seen(id));
    assert_eq!((seen.lead, world.fake.writer(id)), (lead, Some(lead.master)));
    assert_eq!(seen.running[&lead.master], Health::Answering);
    assert_eq!(seen.running[&lead.master.other()], Health::Linked);
    for member in [Member::First, Member::Second] {
        assert_eq!(world.fake.data_of(id, member), data, "{member}");
    }
}

/// A restore that works and one that is refused.
async fn change_data(world: &World, reconciler: &Handle, id: &InstanceId) {
    world.fake.put(id, OLD);
    for data in [NEW, CORRUPT] {
        let backup = world.library.put(&world.mint, data);
        world.restore(id, backup).await;
        settled(reconciler).await;
        ends_whole(world, id, NEW).await;
    }
}

/// A clone, from nothing to nothing.
async fn copy(world: &World, reconciler: &Handle, shape: usize) {
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
async fn a_change_of_masters_that_is_cut_off_ends_with_one_master_and_all_that_was_acknowledged() {
    let scenario = FailScenario::setup();
    let world = world().await;
    for name in failpoint_names() {
        for planned in [false, true] {
            let first = start(&world);
            let id = world.create(SHAPES[PAIR]).await;
            settled(&first).await;
            assert!(world.fake.write(&id, "before"));
            let mut acknowledged = String::from("before\n");
            // A point that fails for ever stops it there, as the end of the process would.
            fail::cfg(name, "return(error)").unwrap();
            if planned {
                switch(&world, &id).await;
            } else {
                world.fake.kill(&id, Member::First);
            }
            for line in ["one", "two", "three"] {
                let _ = tokio::time::timeout(Duration::from_millis(10), first.settle()).await;
                if world.fake.write(&id, line) {
                    acknowledged += line;
                    acknowledged += "\n";
                }
            }
            first.shutdown().await;
            let cut = world.instance(&id).await.unwrap();
            let (lead, decided) = (cut.role.lead, planned || cut.role.lead.epoch > 0);
            if decided && cut.status() == Some(Status::Normal) {
                assert_eq!(world.fake.writer(&id), Some(lead.master), "{name}: nobody answers");
            }
            fail::remove(name);
            let next = start(&world);
            settled(&next).await;
            whole(&world, &id, &acknowledged).await;
            world.intend(&id, Intent::Delete).await;
            settled(&next).await;
            next.shutdown().await;
        }
    }
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_normal_between_a_decision_and_the_answer_of_the_new_master() {
    let scenario = FailScenario::setup();
    let world = world().await;
    let reconciler = start(&world);
    let before_it_answers =
        ["take_over.after", "declare.before", "declare.after", "promote.before"];
    for (name, planned) in before_it_answers.iter().flat_map(|name| [(*name, false), (*name, true)])
    {
        let id = world.create(SHAPES[PAIR]).await;
        settled(&reconciler).await;
        fail::cfg(name, "1*pause->off").unwrap();
        if planned {
            switch(&world, &id).await;
            reconciler.nudge();
        } else {
            world.fake.kill(&id, Member::First);
        }
        let decided = async {
            loop {
                let instance = world.instance(&id).await.unwrap();
                if instance.role.lead.epoch > 0 {
                    return instance.status();
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let shown = tokio::time::timeout(PATIENCE, decided).await.expect("nothing is decided");
        assert_ne!(world.fake.writer(&id), Some(Member::Second), "{name} holds nothing back");
        let expected = if planned { Status::HASwitching } else { Status::Unavailable };
        assert_eq!(shown, Some(expected), "{name}");
        fail::remove(name);
        settled(&reconciler).await;
        whole(&world, &id, "").await;
    }
    reconciler.shutdown().await;
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_passwords_that_is_cut_off_leaves_a_way_in_and_ends_with_the_wanted_one() {
    const FORMER: &str = "Passw0rd!";
    const WANTED: &str = "Second-1";
    let scenario = FailScenario::setup();
    let world = world().await;
    for name in failpoint_names() {
        for (shape, dies) in [(0, false), (PAIR, false), (PAIR, true), (CACHE, false)] {
            let first = start(&world);
            let id = world.create(SHAPES[shape]).await;
            settled(&first).await;
            // A point that fails for ever stops it there, as the end of the process would.
            fail::cfg(name, "return(error)").unwrap();
            ask_for_password(&world, &id, WANTED).await;
            let _ = tokio::time::timeout(Duration::from_millis(20), first.settle()).await;
            if dies {
                world.fake.kill(&id, Member::First);
                let _ = tokio::time::timeout(Duration::from_millis(20), first.settle()).await;
            }
            first.shutdown().await;
            let mut known = Vec::new();
            for member in world.fake.seen(&id).running.into_keys() {
                let good = passwords(&world, &id, member);
                assert!(good.iter().any(|good| good == FORMER || good == WANTED), "{name}");
                known.push(good);
            }
            let former = known.iter().all(|good| good.iter().any(|good| good == FORMER));
            let wanted = known.iter().all(|good| good.iter().any(|good| good == WANTED));
            assert!(former || wanted, "{name}: {known:?}");
            fail::remove(name);
            let next = start(&world);
            settled(&next).await;
            lets_in_only(&world, &id, WANTED).await;
            world.intend(&id, Intent::Delete).await;
            settled(&next).await;
            next.shutdown().await;
        }
    }
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_change_of_passwords_keeps_both_in_force_and_stops_no_other() {
    let scenario = FailScenario::setup();
    let world = world().await;
    let reconciler = start(&world);
    let both = ["record_password_admitted.before", "dismiss_passwords.before"];
    for name in ["admit_password.before", both[0], both[1], "record_password_reset.before"] {
        let mut ids = Vec::new();
        for _ in 0..2 {
            ids.push(world.create(SHAPES[PAIR]).await);
        }
        settled(&reconciler).await;
        fail::cfg(name, "1*pause->off").unwrap();
        for id in &ids {
            ask_for_password(&world, id, "Second-1").await;
        }
        reconciler.nudge();
        let is_done = |id: &InstanceId| passwords(&world, id, Member::First) == ["Second-1"];
        let done = async {
            while !ids.iter().any(is_done) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.expect("the other waits");
        for id in ids.iter().filter(|id| both.contains(&name) && !is_done(id)) {
            let good = passwords(&world, id, Member::First);
            assert!(good == ["Second-1", "Passw0rd!"] || good == ["Passw0rd!"], "{name} {good:?}");
            assert_eq!(world.phase(id).await, Some(Phase::Normal));
        }
        fail::remove(name);
        settled(&reconciler).await;
        for id in &ids {
            lets_in_only(&world, id, "Second-1").await;
        }
    }
    reconciler.shutdown().await;
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
