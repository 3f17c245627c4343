//! Passwords that are replaced, on the fake substrate.

use std::time::Duration;

use ourkv_control::substrate::fake::{Call, Fault};
use ourkv_control::substrate::{Health, Member};
use ourkv_domain::billing::Money;
use ourkv_domain::event::EventKind;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Intent, Phase};

use crate::common::{PATIENCE, SHAPES, World, settled};

const PAIR: usize = 1;

async fn ask(world: &World, id: &InstanceId, password: &'static str) {
    let id = id.clone();
    assert!(world.write(move |tx| tx.change_password(&id, &password.into())).await.is_some());
}

fn passwords(world: &World, id: &InstanceId, member: Member) -> Vec<String> {
    let known = world.fake.passwords(id, member);
    known.iter().map(|password| password.expose().to_owned()).collect()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_have_the_wanted_password_alone_and_the_journal_says_so() {
    let world = World::new(Money::from_yuan(10_000).unwrap()).await;
    let reconciler = world.start();
    for shape in SHAPES {
        let id = world.create(shape).await;
        settled(&reconciler).await;
        let before = world.instance(&id).await.unwrap().observed.since;
        ask(&world, &id, "Second-1").await;
        settled(&reconciler).await;
        for member in world.fake.seen(&id).running.into_keys() {
            assert_eq!(passwords(&world, &id, member), ["Second-1"]);
        }
        let after = world.instance(&id).await.unwrap();
        assert_eq!((after.observed.phase, after.observed.since), (Phase::Normal, before));
        let key = id.clone();
        let journal = world.write(move |tx| tx.events(&key, 9)).await;
        let kinds: Vec<_> = journal.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::PasswordReset]);
        assert!(!journal[0].detail.contains("Second-1"));
    }
    reconciler.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_does_not_take_it_holds_up_nothing_else() {
    let world = World::new(Money::from_yuan(10_000).unwrap()).await;
    let reconciler = world.start();
    let id = world.create(SHAPES[PAIR]).await;
    settled(&reconciler).await;
    world.fake.inject(Call::AdmitPassword, Some(&id), Fault::Fail, u32::MAX);
    ask(&world, &id, "Second-1").await;
    reconciler.nudge();
    until("nobody tries", || world.fake.count(Call::AdmitPassword) > 1).await;
    world.fake.kill(&id, Member::Second);
    until("the replica stays away", || {
        world.fake.seen(&id).running.get(&Member::Second) == Some(&Health::Linked)
    })
    .await;
    assert_eq!(world.phase(&id).await, Some(Phase::Normal));
    assert_eq!(passwords(&world, &id, Member::First), ["Passw0rd!"]);
    world.fake.heal();
    settled(&reconciler).await;
    for member in [Member::First, Member::Second] {
        assert_eq!(passwords(&world, &id, member), ["Second-1"]);
    }
    reconciler.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stopped_starts_with_the_wanted_one() {
    let world = World::new(Money::from_yuan(10_000).unwrap()).await;
    let reconciler = world.start();
    let id = world.create(SHAPES[PAIR]).await;
    settled(&reconciler).await;
    world.intend(&id, Intent::Stop).await;
    settled(&reconciler).await;
    ask(&world, &id, "Second-1").await;
    settled(&reconciler).await;
    world.intend(&id, Intent::Run).await;
    settled(&reconciler).await;
    for member in [Member::First, Member::Second] {
        assert_eq!(passwords(&world, &id, member), ["Second-1"]);
    }
    reconciler.shutdown().await;
}
