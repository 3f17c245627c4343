//! What the reconciler makes of masters that end, hang or are to be replaced.

use std::sync::Arc;
use std::time::Duration;

use ourkv_control::reconciler::{Damping, Handle, Settings, Suspicion};
use ourkv_control::substrate::fake::{Call, Fault};
use ourkv_control::substrate::{Health, Member, Substrate, Unit};
use ourkv_domain::billing::Money;
use ourkv_domain::clock::Clock as _;
use ourkv_domain::event::EventKind;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Lead, Phase, Status};
use tokio::sync::oneshot;

use crate::common::{PATIENCE, SHAPES, World, quick, secrets, settled};

const SINGLE: usize = 0;
const PAIR: usize = 1;

async fn world() -> World {
    World::new(Money::from_yuan(10_000).unwrap()).await
}

fn start(world: &World, settings: Settings) -> Handle {
    world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, settings)
}

/// A pair that runs and holds a line.
async fn pair(world: &World, reconciler: &Handle) -> InstanceId {
    let id = world.create(SHAPES[PAIR]).await;
    settled(reconciler).await;
    assert!(world.fake.write(&id, "one"));
    id
}

async fn events(world: &World, id: &InstanceId) -> Vec<EventKind> {
    let id = id.clone();
    let events = world.write(move |tx| tx.events(&id, 100)).await;
    events.into_iter().rev().map(|event| event.kind).collect()
}

/// Waits for something that should come about.
async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let reached = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, reached).await.is_ok(), "not reached: {what}");
}

/// It is served by that engine, the other one follows, and both have these data.
async fn is_led_by(world: &World, id: &InstanceId, master: Member, data: &str) {
    let instance = world.instance(id).await.unwrap();
    assert_eq!(instance.status(), Some(Status::Normal));
    assert_eq!((instance.role.lead.master, &instance.role.switch), (master, &None));
    let seen = world.fake.seen(id);
    assert_eq!(seen.lead, instance.role.lead);
    assert_eq!(world.fake.writer(id), Some(master));
    assert_eq!(seen.running[&master.other()], Health::Linked);
    for member in [Member::First, Member::Second] {
        assert_eq!(world.fake.data_of(id, member), data, "{member}");
    }
}

async fn ask_to_switch(world: &World, id: &InstanceId) {
    let (key, now) = (id.clone(), world.clock.now());
    assert!(world.write(move |tx| tx.request_switch(&key, now)).await.is_some());
    assert_eq!(world.instance(id).await.unwrap().status(), Some(Status::HASwitching));
}

#[tokio::test]
async fn a_replica_takes_over_where_the_master_ends_and_the_old_one_follows() {
    let world = world().await;
    let reconciler = world.start();
    let id = pair(&world, &reconciler).await;
    let starts = world.fake.count(Call::Start);
    world.fake.kill(&id, Member::First);
    settled(&reconciler).await;
    is_led_by(&world, &id, Member::Second, "one\n").await;
    assert_eq!(world.fake.count(Call::Start), starts + 1);
    assert_eq!(events(&world, &id).await, [EventKind::FailedOver]);
    assert!(world.fake.write(&id, "two"));
    world.fake.kill(&id, Member::Second);
    settled(&reconciler).await;
    is_led_by(&world, &id, Member::First, "one\ntwo\n").await;
    assert_eq!(world.fake.seen(&id).lead, Lead { master: Member::First, epoch: 2 });
    reconciler.shutdown().await;
}

#[tokio::test]
async fn clients_do_not_wait_for_the_old_master() {
    let world = world().await;
    let reconciler = world.start();
    let id = pair(&world, &reconciler).await;
    world.fake.inject(Call::Start, Some(&id), Fault::Hang, u32::MAX);
    world.fake.kill(&id, Member::First);
    until("a master", async || world.fake.write(&id, "two")).await;
    assert_eq!(world.fake.writer(&id), Some(Member::Second));
    world.until(&id, |phase| phase == Some(&Phase::Normal)).await;
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_replica_in_trouble_delays_no_failover() {
    let world = world().await;
    let reconciler = world.start();
    let id = pair(&world, &reconciler).await;
    world.fake.kill(&id, Member::First);
    settled(&reconciler).await;
    // The pass waits for the replica's link when the master ends.
    world.fake.inject(Call::Link, Some(&id), Fault::Hang, 1);
    world.fake.cut(&id);
    world.fake.kill(&id, Member::First);
    until("a pass", async || world.fake.count(Call::Link) >= 3).await;
    world.fake.kill(&id, Member::Second);
    until("a master", async || world.fake.write(&id, "two")).await;
    assert_eq!(world.fake.data(&id), "one\ntwo\n");
    reconciler.shutdown().await;
}

#[tokio::test]
async fn one_that_does_not_follow_does_not_take_over() {
    let world = world().await;
    let reconciler = world.start();
    let id = pair(&world, &reconciler).await;
    world.fake.inject(Call::Link, Some(&id), Fault::Fail, 3);
    world.fake.kill(&id, Member::Second);
    until("a replica", async || world.fake.seen(&id).running.len() == 2).await;
    assert!(world.fake.write(&id, "two"));
    world.fake.kill(&id, Member::First);
    settled(&reconciler).await;
    is_led_by(&world, &id, Member::First, "one\ntwo\n").await;
    assert_eq!(events(&world, &id).await, [EventKind::Restored]);
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_pair_of_which_both_end_has_the_masters_data_or_else_the_others() {
    let world = world().await;
    let reconciler = world.start();
    let id = pair(&world, &reconciler).await;
    world.fake.kill(&id, Member::Second);
    world.fake.kill(&id, Member::First);
    settled(&reconciler).await;
    is_led_by(&world, &id, Member::First, "one\n").await;
    reconciler.shutdown().await;
    world.fake.kill(&id, Member::First);
    world.fake.kill(&id, Member::Second);
    world.fake.lose_disk(&id, Member::First);
    let reconciler = world.start();
    settled(&reconciler).await;
    is_led_by(&world, &id, Member::Second, "one\n").await;
    let expected = [EventKind::Restored, EventKind::FailedOver, EventKind::LostWrites];
    assert_eq!(events(&world, &id).await, expected);
    reconciler.shutdown().await;
}

#[tokio::test]
async fn roles_that_change_too_often_stay_for_a_while() {
    let world = world().await;
    let damping = Damping { failovers: 2, ..Damping::default() };
    let reconciler = start(&world, Settings { damping, ..quick() });
    let id = pair(&world, &reconciler).await;
    for master in [Member::First, Member::Second, Member::First] {
        world.fake.kill(&id, master);
        settled(&reconciler).await;
    }
    is_led_by(&world, &id, Member::First, "one\n").await;
    let expected = [EventKind::FailedOver, EventKind::FailedOver, EventKind::Damped];
    assert_eq!(events(&world, &id).await, expected);
    reconciler.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_hangs_is_ended_and_replaced_or_started_again() {
    let world = world().await;
    let suspicion =
        Suspicion { every: Duration::from_millis(5), window: Duration::from_millis(20), times: 3 };
    let reconciler = start(&world, Settings { suspicion, ..quick() });
    let id = pair(&world, &reconciler).await;
    let single = world.create(SHAPES[SINGLE]).await;
    settled(&reconciler).await;
    world.fake.hang(&id, Member::First);
    world.fake.hang(&single, Member::First);
    until("a master", async || world.fake.write(&id, "two")).await;
    until("a start", async || world.fake.write(&single, "two")).await;
    settled(&reconciler).await;
    is_led_by(&world, &id, Member::Second, "one\ntwo\n").await;
    assert_eq!(events(&world, &id).await, [EventKind::Fenced, EventKind::FailedOver]);
    assert_eq!(events(&world, &single).await, [EventKind::Fenced]);
    assert_eq!(world.phase(&single).await, Some(Phase::Normal));
    reconciler.shutdown().await;
}

#[tokio::test]
async fn one_that_is_found_to_hang_is_not_waited_for() {
    let world = world().await;
    let reconciler = world.start();
    let id = pair(&world, &reconciler).await;
    reconciler.shutdown().await;
    world.fake.hang(&id, Member::First);
    // It runs, and whoever waits for its answer waits for long.
    world.fake.inject(Call::Start, Some(&id), Fault::Hang, 1);
    let suspicion =
        Suspicion { every: Duration::from_millis(5), window: Duration::from_millis(20), times: 3 };
    let reconciler = start(&world, Settings { suspicion, ..quick() });
    until("a master", async || world.fake.write(&id, "two")).await;
    settled(&reconciler).await;
    assert!(events(&world, &id).await.contains(&EventKind::Fenced));
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_control_plane_suspects_from_where_the_last_one_ended() {
    const ASKED: u32 = 100;
    let world = world().await;
    let suspicion = |every: u64, times| Suspicion {
        every: Duration::from_millis(every),
        window: Duration::from_millis(1),
        times,
    };
    let settings = Settings { suspicion: suspicion(1, u32::MAX), ..quick() };
    let reconciler = start(&world, settings);
    let id = pair(&world, &reconciler).await;
    world.fake.hang(&id, Member::First);
    let asked = world.fake.count(Call::Pulse);
    until("it is asked often", async || {
        world.fake.count(Call::Pulse) > asked + 2 * u64::from(ASKED) + 2
    })
    .await;
    reconciler.shutdown().await;
    assert_eq!(world.fake.writer(&id), Some(Member::First));
    // Alone, it would have to ask for longer than anybody waits here.
    let settings = Settings { suspicion: suspicion(2_000, ASKED), ..quick() };
    let reconciler = start(&world, settings);
    until("a master", async || world.fake.write(&id, "two")).await;
    settled(&reconciler).await;
    is_led_by(&world, &id, Member::Second, "one\ntwo\n").await;
    reconciler.shutdown().await;
}

#[tokio::test]
async fn what_a_master_said_before_it_was_started_again_holds_nobody_back() {
    let world = world().await;
    let reconciler = world.start();
    let id = pair(&world, &reconciler).await;
    until("they are asked", async || world.fake.count(Call::Pulse) >= 2).await;
    // Both end, or the roles are exchanged to and fro: it is the master again.
    for exchanged in [false, true] {
        if exchanged {
            for _ in 0..2 {
                ask_to_switch(&world, &id).await;
                settled(&reconciler).await;
            }
        } else {
            world.fake.kill(&id, Member::Second);
            world.fake.kill(&id, Member::First);
            settled(&reconciler).await;
        }
        let master = world.fake.seen(&id).lead.master;
        world.fake.kill(&id, master);
        settled(&reconciler).await;
        is_led_by(&world, &id, master.other(), "one\n").await;
    }
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_planned_switch_exchanges_the_roles_and_loses_nothing() {
    let world = world().await;
    let reconciler = world.start();
    let id = pair(&world, &reconciler).await;
    for (master, data) in [(Member::Second, "one\ntwo\n"), (Member::First, "one\ntwo\ntwo\n")] {
        assert!(world.fake.write(&id, "two"));
        ask_to_switch(&world, &id).await;
        settled(&reconciler).await;
        is_led_by(&world, &id, master, data).await;
    }
    assert_eq!(world.fake.count(Call::Demote), 2);
    assert_eq!(events(&world, &id).await, [EventKind::Switched, EventKind::Switched]);
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_former_master_that_does_not_leave_the_address_is_ended() {
    let world = world().await;
    let reconciler = world.start();
    let id = pair(&world, &reconciler).await;
    world.fake.inject(Call::Demote, Some(&id), Fault::Fail, 1);
    ask_to_switch(&world, &id).await;
    settled(&reconciler).await;
    is_led_by(&world, &id, Member::Second, "one\n").await;
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_switch_to_one_that_does_not_catch_up_is_given_up() {
    let world = world().await;
    let settings = Settings { catch_up: Duration::from_millis(20), ..quick() };
    let reconciler = start(&world, settings);
    let id = pair(&world, &reconciler).await;
    world.fake.lag(&id, true);
    assert!(world.fake.write(&id, "two"));
    ask_to_switch(&world, &id).await;
    settled(&reconciler).await;
    assert!(world.fake.write(&id, "three"), "writes go on");
    world.fake.lag(&id, false);
    is_led_by(&world, &id, Member::First, "one\ntwo\nthree\n").await;
    assert_eq!(events(&world, &id).await, [EventKind::SwitchGivenUp]);
    reconciler.shutdown().await;
}

#[tokio::test]
async fn of_many_masters_that_end_at_once_all_are_replaced() {
    let world = world().await;
    let reconciler = world.start();
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(world.create(SHAPES[PAIR]).await);
    }
    settled(&reconciler).await;
    for id in &ids {
        world.fake.write(id, "one");
        world.fake.kill(id, Member::First);
    }
    settled(&reconciler).await;
    for id in &ids {
        is_led_by(&world, id, Member::Second, "one\n").await;
    }
    reconciler.shutdown().await;
}

#[tokio::test]
async fn failover_does_not_wait_for_a_store_that_is_away() {
    let world = world().await;
    let settings = Settings {
        store_patience: Duration::from_millis(20),
        sweep: Duration::from_millis(50),
        ..quick()
    };
    let reconciler = start(&world, settings);
    let id = pair(&world, &reconciler).await;
    // Whatever is to be written waits for this.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (held, holds) = oneshot::channel();
    let (store, mut held) = (world.store.clone(), Some(held));
    let blocked = tokio::spawn(async move {
        let work = store.write(move |_| {
            if let Some(held) = held.take() {
                held.send(()).expect("the test waits");
            }
            let _ = released.recv();
            Ok::<_, ourkv_store::StoreError>(())
        });
        work.await.unwrap();
    });
    holds.await.unwrap();
    world.fake.kill(&id, Member::First);
    until("a master", async || world.fake.write(&id, "two")).await;
    assert_eq!(world.fake.seen(&id).lead, Lead { master: Member::Second, epoch: 1 });
    drop(release);
    blocked.await.unwrap();
    until("the store knows", async || {
        world.instance(&id).await.unwrap().role.lead.master == Member::Second
    })
    .await;
    settled(&reconciler).await;
    is_led_by(&world, &id, Member::Second, "one\ntwo\n").await;
    let told = events(&world, &id).await;
    let failovers = told.iter().filter(|kind| **kind == EventKind::FailedOver).count();
    assert_eq!(failovers, 1, "{told:?}");
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_master_that_the_store_does_not_know_stays_the_master() {
    let world = world().await;
    let reconciler = world.start();
    let id = pair(&world, &reconciler).await;
    reconciler.shutdown().await;
    // As it is after a failover without the store, or with one that was restored since.
    world.fake.kill(&id, Member::First);
    let mut unit = Unit::new(&world.instance(&id).await.unwrap(), secrets());
    unit.lead = unit.lead.passed_to(Member::Second);
    world.fake.declare(&unit).await.unwrap();
    world.fake.promote(&unit).await.unwrap();
    assert!(world.fake.write(&id, "two"));
    let next = world.start();
    settled(&next).await;
    is_led_by(&world, &id, Member::Second, "one\ntwo\n").await;
    assert_eq!(events(&world, &id).await, [EventKind::RoleFound]);
    next.shutdown().await;
}

#[tokio::test]
async fn a_control_plane_whose_machine_was_taken_over_acts_no_more() {
    let mut world = world().await;
    let claim = |world: &World, holder: &'static str| {
        let (store, node, now) = (world.store.clone(), world.node.clone(), world.clock.now());
        async move { store.write(move |tx| tx.claim_node(&node, holder, now)).await.unwrap() }
    };
    let plain = world.store.clone();
    let lease = claim(&world, "sleeper").await;
    world.store = plain.held_by(lease);
    let reconciler = world.start();
    let id = pair(&world, &reconciler).await;
    let sleeper = std::mem::replace(&mut world.store, plain);
    claim(&world, "follower").await;
    let calls = world.fake.count(Call::Observe);
    world.fake.kill(&id, Member::First);
    tokio::time::timeout(PATIENCE, sleeper.superseded()).await.expect("it finds out");
    reconciler.shutdown().await;
    assert_eq!(world.fake.count(Call::Observe), calls);
    assert_eq!(world.fake.writer(&id), None);
    assert_eq!(events(&world, &id).await, []);
}

#[tokio::test]
async fn a_clock_that_jumps_changes_no_roles_and_hides_no_death() {
    let world = world().await;
    let reconciler = start(&world, Settings::default());
    let id = pair(&world, &reconciler).await;
    for jump in [1, -1, 24 * 3650, -24 * 3650] {
        world.clock.jump(jiff::SignedDuration::from_hours(jump));
        reconciler.nudge();
        settled(&reconciler).await;
        is_led_by(&world, &id, Member::First, "one\n").await;
    }
    assert!(events(&world, &id).await.is_empty());
    world.clock.jump(jiff::SignedDuration::from_hours(-24 * 365));
    world.fake.kill(&id, Member::First);
    settled(&reconciler).await;
    is_led_by(&world, &id, Member::Second, "one\n").await;
    reconciler.shutdown().await;
}
