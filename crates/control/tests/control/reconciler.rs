//! What the reconciler makes of intents, deaths and trouble.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use ourkv_control::reconciler::{Delays, Settings};
use ourkv_control::substrate::fake::{Call, Fake, Fault};
use ourkv_control::substrate::{
    Health, Loaded, Member, Pulse, Saving, Seen, Specimen, Staging, Standing, Stop, Substrate,
    Trouble, Unit,
};
use ourkv_domain::billing::Money;
use ourkv_domain::ids::{InstanceId, NodeId};
use ourkv_domain::instance::{Intent, Phase};
use rstest::rstest;
use tokio::sync::broadcast;

use crate::common::{PATIENCE, SHAPES, World, quick, settled};

const FOREVER: u32 = u32::MAX;
const SINGLE: usize = 0;
const PAIR: usize = 1;

fn rich() -> Money {
    Money::from_yuan(1_000).unwrap()
}

fn creating_in_trouble(phase: Option<&Phase>) -> bool {
    matches!(phase, Some(Phase::Creating { trouble: Some(_) }))
}

fn unavailable(phase: Option<&Phase>) -> bool {
    matches!(phase, Some(Phase::Unavailable { .. }))
}

fn normal(phase: Option<&Phase>) -> bool {
    phase == Some(&Phase::Normal)
}

#[rstest]
#[case::standalone(SINGLE, 1)]
#[case::pair(PAIR, 2)]
#[case::memcache(2, 1)]
#[tokio::test]
async fn a_created_instance_becomes_normal(#[case] shape: usize, #[case] engines: u64) {
    let world = World::new(rich()).await;
    let reconciler = world.start();
    let id = world.create(SHAPES[shape]).await;
    reconciler.nudge();
    settled(&reconciler).await;
    let instance = world.instance(&id).await.unwrap();
    assert_eq!(instance.observed.phase, Phase::Normal);
    assert_eq!(instance.observed.generation, instance.generation);
    assert_eq!(world.fake.count(Call::Start), engines);
    assert_eq!(world.fake.count(Call::Login), 1);
    assert_eq!(world.fake.count(Call::Observe), 1, "what was promised need not be looked at");
    reconciler.shutdown().await;
}

#[rstest]
#[case::standalone(SINGLE)]
#[case::pair(PAIR)]
#[case::memcache(2)]
#[tokio::test]
async fn a_deleted_instance_leaves_only_what_it_cost(#[case] shape: usize) {
    let world = World::new(rich()).await;
    let reconciler = world.start();
    let id = world.create(SHAPES[shape]).await;
    settled(&reconciler).await;
    world.clock.advance(SignedDuration::from_mins(90));
    world.intend(&id, Intent::Delete).await;
    settled(&reconciler).await;
    assert_eq!(world.instance(&id).await, None);
    assert_eq!(world.taken().await, (0, 0));
    assert!(world.fake.inventory().await.unwrap().is_empty());
    let gone = id.clone();
    let (meter, ledger) =
        world.write(move |tx| Ok((tx.lock_meter(&gone)?.unwrap(), tx.ledger(&gone)?))).await;
    assert!(meter.closed.is_some());
    assert_eq!(ledger.len(), 2, "the hour that has begun counts");
    reconciler.shutdown().await;
}

#[tokio::test]
async fn an_instance_deleted_before_it_was_made_is_gone() {
    let world = World::new(rich()).await;
    let id = world.create(SHAPES[PAIR]).await;
    world.intend(&id, Intent::Delete).await;
    let reconciler = world.start();
    settled(&reconciler).await;
    assert_eq!(world.instance(&id).await, None);
    assert_eq!(world.fake.count(Call::Start), 0);
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_stopped_instance_keeps_its_place_and_runs_again() {
    let world = World::new(rich()).await;
    let reconciler = world.start();
    let id = world.create(SHAPES[PAIR]).await;
    settled(&reconciler).await;
    world.intend(&id, Intent::Stop).await;
    settled(&reconciler).await;
    assert_eq!(world.phase(&id).await, Some(Phase::Inactive));
    assert_eq!(world.fake.seen(&id), Seen { prepared: true, ..Seen::default() });
    world.intend(&id, Intent::Run).await;
    settled(&reconciler).await;
    assert_eq!(world.phase(&id).await, Some(Phase::Normal));
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_dead_engine_is_unavailable_until_it_answers_again() {
    let world = World::new(rich()).await;
    let reconciler = world.start();
    let id = world.create(SHAPES[SINGLE]).await;
    settled(&reconciler).await;
    world.fake.inject(Call::Start, Some(&id), Fault::Fail, FOREVER);
    assert!(world.fake.kill(&id, Member::First));
    world.until(&id, unavailable).await;
    world.fake.heal();
    settled(&reconciler).await;
    assert_eq!(world.phase(&id).await, Some(Phase::Normal));
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_pair_without_its_second_engine_is_normal_and_mended() {
    let world = World::new(rich()).await;
    let reconciler = world.start();
    let id = world.create(SHAPES[PAIR]).await;
    settled(&reconciler).await;
    let since = world.instance(&id).await.unwrap().observed.since;
    world.clock.advance(SignedDuration::from_secs(5));
    world.fake.inject(Call::Start, Some(&id), Fault::Fail, 5);
    world.fake.kill(&id, Member::Second);
    settled(&reconciler).await;
    assert_eq!(world.fake.seen(&id).running[&Member::Second], Health::Linked);
    let observed = world.instance(&id).await.unwrap().observed;
    assert_eq!((observed.phase, observed.since), (Phase::Normal, since), "it always answered");
    reconciler.shutdown().await;
}

#[tokio::test]
async fn what_one_suffers_delays_no_other() {
    let world = World::new(rich()).await;
    let settings = Settings { starts: 2, ..quick() };
    let reconciler = world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, settings);
    let failing = world.create(SHAPES[SINGLE]).await;
    world.fake.inject(Call::Start, Some(&failing), Fault::Fail, FOREVER);
    let panicking = world.create(SHAPES[PAIR]).await;
    world.fake.inject(Call::Link, Some(&panicking), Fault::Panic, FOREVER);
    let mut hanging = Vec::new();
    for _ in 0..4 {
        let id = world.create(SHAPES[SINGLE]).await;
        world.fake.inject(Call::Start, Some(&id), Fault::Hang, FOREVER);
        hanging.push(id);
    }
    reconciler.nudge();
    world.until(&failing, creating_in_trouble).await;
    world.until(&panicking, creating_in_trouble).await;
    let mut siblings = Vec::new();
    for _ in 0..20 {
        siblings.push(world.create(SHAPES[PAIR]).await);
        reconciler.nudge();
    }
    for sibling in &siblings {
        world.until(sibling, normal).await;
    }
    for id in &hanging {
        assert_eq!(world.phase(id).await, Some(Phase::Creating { trouble: None }));
    }
    let told = world.phase(&panicking).await.unwrap();
    assert_eq!(told.trouble(), Some("an internal fault of ourkv"));
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_hang_is_reported_and_mended() {
    let world = World::new(rich()).await;
    let settings = Settings { step_limit: Duration::from_millis(50), ..quick() };
    let reconciler = world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, settings);
    let id = world.create(SHAPES[SINGLE]).await;
    world.fake.inject(Call::Login, Some(&id), Fault::Hang, 1);
    settled(&reconciler).await;
    assert_eq!(world.phase(&id).await, Some(Phase::Normal));
    assert_eq!(world.fake.count(Call::Login), 2);
    reconciler.shutdown().await;
}

#[rstest]
#[case(Call::Observe)]
#[case(Call::Prepare)]
#[case(Call::Start)]
#[case(Call::Link)]
#[case(Call::Login)]
#[tokio::test]
async fn a_panic_delays_its_instance_only_and_passes(#[case] call: Call) {
    let world = World::new(rich()).await;
    let reconciler = world.start();
    let id = world.create(SHAPES[PAIR]).await;
    world.fake.inject(call, Some(&id), Fault::Panic, 3);
    settled(&reconciler).await;
    assert_eq!(world.phase(&id).await, Some(Phase::Normal));
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_change_of_intent_does_not_wait_for_the_backoff() {
    let world = World::new(rich()).await;
    let delays = Delays { first: Duration::from_hours(1), ..Delays::default() };
    let settings = Settings { delays: Delays { cap: delays.first, ..delays }, ..quick() };
    let reconciler = world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, settings);
    let id = world.create(SHAPES[SINGLE]).await;
    world.fake.inject(Call::Start, Some(&id), Fault::Fail, FOREVER);
    reconciler.nudge();
    world.until(&id, creating_in_trouble).await;
    for _ in 0..10 {
        reconciler.nudge();
    }
    world.intend(&id, Intent::Delete).await;
    settled(&reconciler).await;
    assert_eq!(world.instance(&id).await, None);
    assert_eq!(world.fake.count(Call::Start), 1, "a nudge alone is no reason to try again");
    reconciler.shutdown().await;
}

#[tokio::test]
async fn an_undo_that_keeps_failing_is_tried_until_it_works() {
    let world = World::new(rich()).await;
    let reconciler = world.start();
    let id = world.create(SHAPES[PAIR]).await;
    settled(&reconciler).await;
    world.fake.inject(Call::Remove, Some(&id), Fault::Fail, FOREVER);
    world.intend(&id, Intent::Delete).await;
    reconciler.nudge();
    world.until(&id, unavailable).await;
    assert_eq!(world.taken().await.0, 1, "nothing is given back before all of it is gone");
    let other = world.create(SHAPES[SINGLE]).await;
    reconciler.nudge();
    world.until(&other, normal).await;
    world.fake.heal();
    settled(&reconciler).await;
    assert_eq!(world.instance(&id).await, None);
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_new_process_adopts_what_runs() {
    let world = World::new(rich()).await;
    let first = world.start();
    let mut ids = Vec::new();
    for turn in 0..60 {
        ids.push(world.create(SHAPES[turn % 3]).await);
    }
    settled(&first).await;
    first.shutdown().await;
    let starts = world.fake.count(Call::Start);
    let died = &ids[0];
    world.fake.kill(died, Member::First);
    let second = world.start();
    settled(&second).await;
    world.until(died, normal).await;
    assert!(world.fake.seen(died).running.contains_key(&Member::First));
    assert_eq!(world.fake.count(Call::Start), starts + 1, "only the dead is started");
    for id in &ids {
        assert_eq!(world.phase(id).await, Some(Phase::Normal));
    }
    second.shutdown().await;
}

#[tokio::test]
async fn the_sweep_notices_what_nobody_reported() {
    let world = World::new(rich()).await;
    let settings = Settings { sweep: Duration::from_millis(20), ..quick() };
    let reconciler = world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, settings);
    let id = world.create(SHAPES[SINGLE]).await;
    world.until(&id, normal).await;
    world.fake.inject(Call::Login, Some(&id), Fault::Fail, FOREVER);
    world.until(&id, unavailable).await;
    world.fake.heal();
    world.until(&id, normal).await;
    reconciler.shutdown().await;
}

#[tokio::test]
async fn the_end_touches_no_engine_and_waits_for_no_hang() {
    let world = World::new(rich()).await;
    let settings = Settings { grace: Duration::from_millis(50), ..quick() };
    let reconciler = world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, settings);
    let id = world.create(SHAPES[PAIR]).await;
    settled(&reconciler).await;
    let stuck = world.create(SHAPES[SINGLE]).await;
    world.fake.inject(Call::Start, Some(&stuck), Fault::Hang, FOREVER);
    reconciler.nudge();
    let started = async {
        while world.fake.count(Call::Start) < 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, started).await.unwrap();
    tokio::time::timeout(PATIENCE, reconciler.shutdown()).await.unwrap();
    assert_eq!(world.fake.count(Call::Stop), 0);
    assert_eq!(world.fake.seen(&id).running.len(), 2);
    reconciler.settle().await;
}

#[tokio::test]
async fn instances_of_other_nodes_and_unknown_engines_are_left_alone() {
    let mut world = World::new(rich()).await;
    let own = std::mem::replace(&mut world.node, NodeId::parse("node-elsewhere").unwrap());
    let elsewhere = world.create(SHAPES[SINGLE]).await;
    world.node = own;
    let stray = crate::common::unit(SHAPES[SINGLE].0, SHAPES[SINGLE].1);
    world.fake.prepare(&stray).await.unwrap();
    world.fake.start(&stray, Member::First).await.unwrap();
    let reconciler = world.start();
    let id = world.create(SHAPES[SINGLE]).await;
    settled(&reconciler).await;
    assert_eq!(world.phase(&id).await, Some(Phase::Normal));
    assert_eq!(world.phase(&elsewhere).await, Some(Phase::Creating { trouble: None }));
    assert_eq!(world.fake.seen(&stray.id).running.len(), 1);
    reconciler.shutdown().await;
}

#[tokio::test]
async fn each_effect_done_twice_ends_the_same() {
    let world = World::new(rich()).await;
    let twice = Arc::new(Twice(Arc::clone(&world.fake)));
    let reconciler = world.reconciler(twice, quick());
    for shape in SHAPES {
        let id = world.create(shape).await;
        settled(&reconciler).await;
        assert_eq!(world.phase(&id).await, Some(Phase::Normal));
        for intent in [Intent::Stop, Intent::Run] {
            world.intend(&id, intent).await;
            settled(&reconciler).await;
        }
        assert_eq!(world.phase(&id).await, Some(Phase::Normal));
        world.intend(&id, Intent::Delete).await;
        settled(&reconciler).await;
        assert_eq!(world.instance(&id).await, None);
    }
    assert_eq!(world.taken().await, (0, 0));
    assert!(world.fake.inventory().await.unwrap().is_empty());
    reconciler.shutdown().await;
}

/// Does everything twice.
struct Twice(Arc<Fake>);

#[async_trait]
impl Substrate for Twice {
    async fn observe(&self, unit: &Unit) -> Result<Seen, Trouble> {
        self.0.observe(unit).await
    }

    async fn prepare(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.prepare(unit).await?;
        self.0.prepare(unit).await
    }

    async fn start(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        self.0.start(unit, member).await?;
        self.0.start(unit, member).await
    }

    async fn link(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.link(unit).await?;
        self.0.link(unit).await
    }

    async fn login(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.login(unit).await?;
        self.0.login(unit).await
    }

    async fn stop(&self, unit: &Unit, member: Member, stop: Stop) -> Result<(), Trouble> {
        self.0.stop(unit, member, stop).await?;
        self.0.stop(unit, member, stop).await
    }

    async fn save(&self, unit: &Unit) -> Result<Saving, Trouble> {
        self.0.save(unit).await
    }

    async fn forget_save(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.forget_save(unit).await?;
        self.0.forget_save(unit).await
    }

    async fn stage(&self, unit: &Unit, staging: Staging) -> Result<(), Trouble> {
        self.0.stage(unit, staging).await
    }

    async fn prove_staged(&self, unit: &Unit, serial: i64) -> Result<Loaded, Trouble> {
        self.0.prove_staged(unit, serial).await?;
        self.0.prove_staged(unit, serial).await
    }

    async fn prove(&self, specimen: Specimen) -> Result<Loaded, Trouble> {
        self.0.prove(specimen).await
    }

    async fn swap(&self, unit: &Unit, serial: i64) -> Result<(), Trouble> {
        self.0.swap(unit, serial).await?;
        self.0.swap(unit, serial).await
    }

    async fn tidy(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.tidy(unit).await?;
        self.0.tidy(unit).await
    }

    async fn remove(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.remove(unit).await?;
        self.0.remove(unit).await
    }

    async fn standing(&self, unit: &Unit) -> Result<BTreeMap<Member, Standing>, Trouble> {
        self.0.standing(unit).await
    }

    async fn pulse(&self, unit: &Unit, member: Member) -> Result<Pulse, Trouble> {
        self.0.pulse(unit, member).await
    }

    async fn fence(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        self.0.fence(unit, member).await?;
        self.0.fence(unit, member).await
    }

    async fn declare(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.declare(unit).await?;
        self.0.declare(unit).await
    }

    async fn promote(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.promote(unit).await?;
        self.0.promote(unit).await
    }

    async fn demote(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        self.0.demote(unit, member).await?;
        self.0.demote(unit, member).await
    }

    async fn pause_writes(
        &self,
        unit: &Unit,
        member: Member,
        limit: Duration,
    ) -> Result<(), Trouble> {
        self.0.pause_writes(unit, member, limit).await?;
        self.0.pause_writes(unit, member, limit).await
    }

    async fn resume_writes(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        self.0.resume_writes(unit, member).await?;
        self.0.resume_writes(unit, member).await
    }

    async fn manifest(&self, unit: &Unit) -> Result<Option<Vec<u8>>, Trouble> {
        self.0.manifest(unit).await
    }

    async fn keep_manifest(&self, unit: &Unit, text: &[u8]) -> Result<bool, Trouble> {
        self.0.keep_manifest(unit, text).await?;
        self.0.keep_manifest(unit, text).await
    }

    async fn admit_password(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.admit_password(unit).await?;
        self.0.admit_password(unit).await
    }

    async fn dismiss_passwords(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.dismiss_passwords(unit).await?;
        self.0.dismiss_passwords(unit).await
    }

    async fn inventory(&self) -> Result<Vec<InstanceId>, Trouble> {
        self.0.inventory().await
    }

    fn deaths(&self) -> broadcast::Receiver<InstanceId> {
        self.0.deaths()
    }
}
