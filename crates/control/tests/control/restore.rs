//! What the reconciler makes of restores, clones and last backups.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use ourkv_control::reconciler::{Handle, Settings};
use ourkv_control::substrate::fake::{Call, Fault};
use ourkv_control::substrate::{Health, Member, Substrate};
use ourkv_domain::backup::{Backup, BackupId, BackupMode, BackupStage, BackupState, Taken};
use ourkv_domain::billing::Money;
use ourkv_domain::clock::Clock as _;
use ourkv_domain::event::EventKind;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Intent, Phase, Status};
use rstest::rstest;

use crate::common::{Mood, PATIENCE, SHAPES, World, quick, settled};

const FOREVER: u32 = u32::MAX;
const SINGLE: usize = 0;
const PAIR: usize = 1;

const OLD: &str = "old\n";
const NEW: &str = "new\nnewer\n";
/// Refused by whatever loads it.
const CORRUPT: &str = "corrupt\n";

async fn world() -> World {
    World::new(Money::from_yuan(1_000).unwrap()).await
}

/// An instance that runs and holds data.
async fn holding_old(world: &World, reconciler: &Handle, shape: usize) -> InstanceId {
    let id = world.create(SHAPES[shape]).await;
    settled(reconciler).await;
    world.fake.put(&id, OLD);
    id
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

async fn events(world: &World, id: &InstanceId) -> Vec<(EventKind, String)> {
    let id = id.clone();
    let events = world.write(move |tx| tx.events(&id, 100)).await;
    events.into_iter().map(|event| (event.kind, event.detail)).collect()
}

async fn has_new(world: &World, id: &InstanceId, serial: i64) {
    let instance = world.instance(id).await.unwrap();
    assert_eq!(world.fake.data(id), NEW);
    assert_eq!((instance.dataset, &instance.restore), (serial, &None));
    assert_eq!(instance.status(), Some(Status::Normal));
    let seen = world.fake.seen(id);
    assert_eq!((seen.dataset, seen.staged, seen.untidy), (serial, None, false));
    let kinds = events(world, id).await.into_iter().map(|event| event.0);
    let of_restores: Vec<_> = kinds.filter(|kind| *kind != EventKind::FailedOver).collect();
    assert_eq!(of_restores, [EventKind::RestoreDone]);
}

/// The old data are served, and nothing is left of the attempt.
async fn kept_old(world: &World, id: &InstanceId, reason: &str) {
    let instance = world.instance(id).await.unwrap();
    assert_eq!(world.fake.data(id), OLD);
    assert_eq!((instance.dataset, &instance.restore), (0, &None));
    assert_eq!(instance.status(), Some(Status::Normal));
    let seen = world.fake.seen(id);
    assert_eq!((seen.dataset, seen.staged, seen.untidy), (0, None, false));
    let events = events(world, id).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].0, EventKind::RestoreGivenUp);
    assert!(events[0].1.contains(reason), "{events:?}");
}

#[rstest]
#[case::standalone(SINGLE, 1)]
#[case::pair(PAIR, 2)]
#[tokio::test]
async fn a_restore_replaces_the_data(#[case] shape: usize, #[case] engines: u64) {
    let world = world().await;
    let reconciler = world.start();
    let id = holding_old(&world, &reconciler, shape).await;
    let backup = world.library.put(&world.mint, NEW);
    let serial = world.restore(&id, backup).await;
    let restoring = world.instance(&id).await.unwrap();
    assert_eq!(restoring.status(), Some(Status::BackupRecovering));
    settled(&reconciler).await;
    has_new(&world, &id, serial).await;
    assert_eq!(world.fake.count(Call::ProveStaged), 1);
    assert_eq!(world.fake.count(Call::Stop), engines);
    assert_eq!(world.fake.seen(&id).running.len() as u64, engines);
    let again = world.library.put(&world.mint, NEW);
    assert_eq!(world.restore(&id, again).await, serial + 1);
    settled(&reconciler).await;
    assert_eq!(world.instance(&id).await.unwrap().dataset, serial + 1);
    reconciler.shutdown().await;
}

#[rstest]
#[case::standalone(SINGLE)]
#[case::pair(PAIR)]
#[tokio::test]
async fn a_clone_begins_with_the_data(#[case] shape: usize) {
    let world = world().await;
    let reconciler = world.start();
    let backup = world.library.put(&world.mint, NEW);
    let id = world.clone_of(backup, SHAPES[shape]).await;
    settled(&reconciler).await;
    has_new(&world, &id, 1).await;
    assert_eq!(world.fake.count(Call::ProveStaged), 0, "its own engine is the trial");
    assert_eq!(world.fake.count(Call::Stop), 0);
    reconciler.shutdown().await;
}

#[rstest]
#[case::corrupt(Some(CORRUPT), "corrupt")]
#[case::missing(None, "no such backup")]
#[tokio::test]
async fn what_can_not_be_loaded_is_given_up_at_once(
    #[case] data: Option<&'static str>,
    #[case] reason: &str,
    #[values(SINGLE, PAIR)] shape: usize,
) {
    let world = world().await;
    let reconciler = world.start();
    let id = holding_old(&world, &reconciler, shape).await;
    let logins = world.fake.count(Call::Login);
    let backup =
        data.map_or_else(|| world.mint.backup_id(), |data| world.library.put(&world.mint, data));
    world.restore(&id, backup).await;
    settled(&reconciler).await;
    kept_old(&world, &id, reason).await;
    assert_eq!(world.fake.count(Call::Stop), 0, "the live engines are left alone");
    assert!(world.fake.count(Call::Login) > logins, "they are looked after meanwhile");
    reconciler.shutdown().await;
}

#[tokio::test]
async fn a_restore_that_fails_is_tried_again_while_the_old_data_are_served() {
    let world = world().await;
    let reconciler = world.start();
    let id = holding_old(&world, &reconciler, PAIR).await;
    let backup = world.library.put(&world.mint, NEW);
    world.library.be(Mood::Away);
    world.fake.inject(Call::ProveStaged, Some(&id), Fault::Panic, 2);
    let serial = world.restore(&id, backup).await;
    reconciler.nudge();
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.fake.kill(&id, Member::First);
    until("the old data are served", async || {
        world.fake.seen(&id).running.values().any(|health| *health == Health::Linked)
            && world.fake.writer(&id).is_some()
            && world.phase(&id).await == Some(Phase::Normal)
    })
    .await;
    assert_eq!(world.fake.data(&id), OLD);
    world.library.be(Mood::Willing);
    settled(&reconciler).await;
    has_new(&world, &id, serial).await;
    reconciler.shutdown().await;
}

#[rstest]
#[case::fetch(None)]
#[case::stage(Some(Call::Stage))]
#[case::prove(Some(Call::ProveStaged))]
#[case::stop(Some(Call::Stop))]
#[case::swap(Some(Call::Swap))]
#[tokio::test]
async fn a_restore_that_fails_for_ten_minutes_is_given_up(#[case] broken: Option<Call>) {
    let world = world().await;
    let reconciler = world.start();
    let id = holding_old(&world, &reconciler, PAIR).await;
    let backup = world.library.put(&world.mint, NEW);
    match broken {
        Some(call) => world.fake.inject(call, Some(&id), Fault::Fail, FOREVER),
        None => world.library.be(Mood::Away),
    }
    world.restore(&id, backup).await;
    reconciler.nudge();
    world.clock.advance(SignedDuration::from_secs(599));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(world.instance(&id).await.unwrap().restore.is_some());
    world.clock.advance(SignedDuration::from_secs(1));
    settled(&reconciler).await;
    kept_old(&world, &id, if broken.is_some() { "as injected" } else { "it is away" }).await;
    reconciler.shutdown().await;
}

#[rstest]
#[case::standalone_not_swapped(SINGLE, Call::Swap)]
#[case::standalone(SINGLE, Call::Start)]
#[case::pair(PAIR, Call::Start)]
#[case::login(PAIR, Call::Login)]
#[tokio::test]
async fn where_the_old_data_are_gone_there_is_only_the_way_forward(
    #[case] shape: usize,
    #[case] broken: Call,
) {
    let world = world().await;
    let reconciler = world.start();
    let id = holding_old(&world, &reconciler, shape).await;
    let backup = world.library.put(&world.mint, NEW);
    let swaps = |world: &World| world.fake.count(Call::Swap);
    let serial = world.restore(&id, backup).await;
    if broken == Call::Login {
        // The old data are served until the swap; from then on nobody gets in.
        world.fake.delay(Call::Swap, Duration::from_millis(50));
        reconciler.nudge();
        until("the swap", async || swaps(&world) > 0).await;
    }
    world.fake.inject(broken, Some(&id), Fault::Fail, FOREVER);
    reconciler.nudge();
    until("the swap", async || swaps(&world) > 0).await;
    world.clock.advance(SignedDuration::from_hours(1));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let restoring = world.instance(&id).await.unwrap();
    assert_eq!(restoring.status(), Some(Status::BackupRecovering));
    assert_eq!(events(&world, &id).await, []);
    world.fake.heal();
    settled(&reconciler).await;
    has_new(&world, &id, serial).await;
    reconciler.shutdown().await;
}

#[rstest]
#[case::away(true)]
#[case::missing(false)]
#[tokio::test]
async fn a_clone_says_what_is_wrong_and_is_never_given_up(#[case] exists: bool) {
    let world = world().await;
    let reconciler = world.start();
    let backup = if exists { world.library.put(&world.mint, NEW) } else { world.mint.backup_id() };
    world.library.be(Mood::Away);
    let id = world.clone_of(backup, SHAPES[PAIR]).await;
    reconciler.nudge();
    world.until(&id, |phase| phase.is_some_and(|phase| phase.trouble().is_some())).await;
    world.clock.advance(SignedDuration::from_hours(1));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let told = world.phase(&id).await.unwrap();
    let reason = if exists { "it is away" } else { "no such backup" };
    assert!(told.trouble().unwrap().contains(reason), "{told:?}");
    assert_eq!(world.fake.count(Call::Start), 0, "it never runs without its data");
    if exists {
        world.library.be(Mood::Willing);
        settled(&reconciler).await;
        has_new(&world, &id, 1).await;
    }
    world.intend(&id, Intent::Delete).await;
    settled(&reconciler).await;
    assert_eq!(world.instance(&id).await, None);
    assert_eq!(world.taken().await, (0, 0));
    reconciler.shutdown().await;
}

#[rstest]
#[case::fetch(Mood::Mute, None)]
#[case::stream(Mood::Stuck, None)]
#[case::stage(Mood::Willing, Some(Call::Stage))]
#[case::prove(Mood::Willing, Some(Call::ProveStaged))]
#[tokio::test]
async fn a_restore_that_hangs_holds_neither_its_instance_nor_others(
    #[case] mood: Mood,
    #[case] hangs: Option<Call>,
    #[values(Intent::Stop, Intent::Delete)] overtaken: Intent,
) {
    let world = world().await;
    let settings =
        Settings { grace: Duration::from_millis(20), sweep: Duration::from_millis(20), ..quick() };
    let reconciler = world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, settings);
    let id = holding_old(&world, &reconciler, PAIR).await;
    let backup = world.library.put(&world.mint, NEW);
    world.library.be(mood);
    if let Some(call) = hangs {
        world.fake.inject(call, Some(&id), Fault::Hang, FOREVER);
    }
    world.restore(&id, backup).await;
    reconciler.nudge();
    let logins = world.fake.count(Call::Login);
    until("it is looked after", async || world.fake.count(Call::Login) > logins + 3).await;
    let other = world.create(SHAPES[PAIR]).await;
    reconciler.nudge();
    world.until(&other, |phase| phase == Some(&Phase::Normal)).await;
    world.intend(&id, overtaken).await;
    settled(&reconciler).await;
    world.fake.heal();
    if overtaken == Intent::Stop {
        assert_eq!(world.phase(&id).await, Some(Phase::Inactive));
        world.intend(&id, Intent::Run).await;
        settled(&reconciler).await;
        kept_old(&world, &id, "stopped").await;
    } else {
        assert_eq!(world.instance(&id).await, None);
        assert_eq!(world.fake.inventory().await.unwrap(), [other]);
    }
    reconciler.shutdown().await;
}

#[rstest]
#[case::standalone(SINGLE)]
#[case::pair(PAIR)]
#[tokio::test]
async fn a_stop_after_the_swap_is_followed_by_the_new_data(#[case] shape: usize) {
    let world = world().await;
    let reconciler = world.start();
    let id = holding_old(&world, &reconciler, shape).await;
    let backup = world.library.put(&world.mint, NEW);
    world.fake.inject(Call::Start, Some(&id), Fault::Fail, FOREVER);
    let serial = world.restore(&id, backup).await;
    reconciler.nudge();
    until("the swap", async || world.fake.seen(&id).dataset == serial).await;
    world.intend(&id, Intent::Stop).await;
    settled(&reconciler).await;
    assert_eq!(world.phase(&id).await, Some(Phase::Inactive));
    world.clock.advance(SignedDuration::from_hours(24));
    world.fake.heal();
    world.intend(&id, Intent::Run).await;
    settled(&reconciler).await;
    has_new(&world, &id, serial).await;
    reconciler.shutdown().await;
}

#[tokio::test]
async fn large_data_take_as_long_as_they_come() {
    let world = world().await;
    let settings = Settings { step_limit: Duration::from_millis(400), ..quick() };
    let reconciler = world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, settings);
    let id = holding_old(&world, &reconciler, SINGLE).await;
    let backup = world.library.put(&world.mint, NEW);
    world.library.be(Mood::Slow(Duration::from_millis(100)));
    let serial = world.restore(&id, backup).await;
    settled(&reconciler).await;
    has_new(&world, &id, serial).await;
    assert_eq!(world.fake.count(Call::Stage), 1, "a slow one is not a hanging one");
    reconciler.shutdown().await;
}

#[tokio::test]
async fn data_that_stop_coming_are_asked_for_again() {
    let world = world().await;
    let settings = Settings { step_limit: Duration::from_millis(50), ..quick() };
    let reconciler = world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, settings);
    let id = holding_old(&world, &reconciler, SINGLE).await;
    let backup = world.library.put(&world.mint, NEW);
    world.library.be(Mood::Stuck);
    let serial = world.restore(&id, backup).await;
    reconciler.nudge();
    until("another try", async || world.fake.count(Call::Stage) > 1).await;
    world.library.be(Mood::Willing);
    settled(&reconciler).await;
    has_new(&world, &id, serial).await;
    reconciler.shutdown().await;
}

#[rstest]
#[case::standalone(SINGLE)]
#[case::pair(PAIR)]
#[tokio::test]
async fn a_new_process_goes_on_with_a_restore(#[case] shape: usize) {
    let world = world().await;
    let first = world.start();
    let id = holding_old(&world, &first, shape).await;
    let backup = world.library.put(&world.mint, NEW);
    world.library.be(Mood::Stuck);
    let serial = world.restore(&id, backup).await;
    first.nudge();
    until("staging", async || world.fake.count(Call::Stage) > 0).await;
    tokio::time::timeout(PATIENCE, first.shutdown()).await.unwrap();
    assert_eq!(world.fake.seen(&id).staged, None, "what was cut off is not complete");
    world.library.be(Mood::Willing);
    let second = world.start();
    settled(&second).await;
    has_new(&world, &id, serial).await;
    second.shutdown().await;
}

#[tokio::test]
async fn what_can_not_be_tidied_harms_nobody() {
    let world = world().await;
    let settings = Settings { sweep: Duration::from_millis(20), ..quick() };
    let reconciler = world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, settings);
    let id = holding_old(&world, &reconciler, SINGLE).await;
    let backup = world.library.put(&world.mint, NEW);
    world.fake.inject(Call::Tidy, Some(&id), Fault::Fail, FOREVER);
    let serial = world.restore(&id, backup).await;
    reconciler.nudge();
    let tidied = || world.fake.count(Call::Tidy);
    until("the restore", async || world.instance(&id).await.unwrap().restore.is_none()).await;
    until("another try", async || tidied() > 2).await;
    let instance = world.instance(&id).await.unwrap();
    assert_eq!(instance.status(), Some(Status::Normal));
    assert!(world.fake.seen(&id).untidy);
    world.fake.heal();
    until("tidy", async || !world.fake.seen(&id).untidy).await;
    has_new(&world, &id, serial).await;
    // What a single engine was loaded from does not come back with it.
    world.fake.kill(&id, Member::First);
    until("a start", async || world.fake.seen(&id).running.contains_key(&Member::First)).await;
    assert!(world.fake.data(&id).is_empty());
    reconciler.shutdown().await;
}

#[rstest]
#[case::in_vain(false)]
#[case::taken(true)]
#[tokio::test]
async fn a_deleted_instance_waits_for_its_last_backup(#[case] taken: bool) {
    let world = world().await;
    let reconciler = world.start();
    let id = holding_old(&world, &reconciler, PAIR).await;
    let backup = delete_with_last_backup(&world, &id).await;
    world.fake.kill(&id, Member::First);
    reconciler.nudge();
    until("the engine is there", async || world.fake.writer(&id).is_some()).await;
    assert_eq!(world.instance(&id).await.unwrap().intent, Intent::Delete);
    assert_eq!(world.fake.data(&id), OLD);
    let now = world.clock.now();
    let running = BackupState::Running { started: now, stage: BackupStage::Saving, percent: 0 };
    assert!(world.write(move |tx| tx.set_backup_state(backup, &running)).await);
    reconciler.nudge();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(world.instance(&id).await.is_some());
    let ended = if taken {
        BackupState::Success(Taken {
            started: now,
            ended: now,
            bytes: 4,
            keys: 1,
            expiring: 0,
            digest: "d".into(),
            expires: now,
            engine: "redis 7.0.15".parse().unwrap(),
        })
    } else {
        BackupState::Failed { started: Some(now), ended: now, reason: "too long".into() }
    };
    assert!(world.write(move |tx| tx.set_backup_state(backup, &ended)).await);
    reconciler.nudge();
    settled(&reconciler).await;
    assert_eq!(world.instance(&id).await, None);
    assert_eq!(world.taken().await, (0, 0));
    assert!(world.fake.inventory().await.unwrap().is_empty());
    reconciler.shutdown().await;
}

#[tokio::test]
async fn nothing_is_waited_for_where_nothing_is_left_to_back_up() {
    let world = world().await;
    let reconciler = world.start();
    let id = holding_old(&world, &reconciler, SINGLE).await;
    world.fake.inject(Call::Start, Some(&id), Fault::Fail, FOREVER);
    world.fake.kill(&id, Member::First);
    world.until(&id, |phase| matches!(phase, Some(Phase::Unavailable { .. }))).await;
    delete_with_last_backup(&world, &id).await;
    settled(&reconciler).await;
    assert_eq!(world.instance(&id).await, None);
    reconciler.shutdown().await;
}

/// Deletes an instance as DeleteInstance does where a last backup is wanted.
async fn delete_with_last_backup(world: &World, id: &InstanceId) -> BackupId {
    let instance = world.instance(id).await.unwrap();
    let (backup, job, now) =
        (world.mint.backup_id(), world.mint.backup_job_id(), world.clock.now());
    let mut last = Backup::queued(backup, job, &instance, BackupMode::Automated, 7, now);
    last.last = true;
    let id = id.clone();
    world
        .write(move |tx| {
            tx.insert_backup(&last)?;
            tx.set_intent(&id, Intent::Delete)
        })
        .await;
    backup
}
