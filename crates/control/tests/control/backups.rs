//! Backups taken, kept, proven and removed, over the fake substrate and a real folder.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use ourkv_control::backup::{Datasets, Fetcher, Place, Settings};
use ourkv_control::substrate::Trouble;
use ourkv_control::substrate::fake::{Call, Fault};
use ourkv_domain::backup::{Backup, BackupStage, BackupState};
use ourkv_domain::clock::{Clock, Steady};
use ourkv_domain::event::EventKind;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::Intent;

use crate::common::SHAPES;
use crate::keeping::{DATA, Keeping, calm, reason, settings};
use crate::object_server::{Mood, ObjectServer};

fn unproven() -> Settings {
    Settings { prove: false, ..settings() }
}

async fn events(keeping: &Keeping, id: &InstanceId) -> Vec<EventKind> {
    let id = id.clone();
    let events = keeping.world.write(move |tx| tx.events(&id, 100)).await;
    events.into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_backup_is_taken_sealed_and_proven() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    let id = keeping.ask(&instance).await;
    let keeper = keeping.start();
    calm(&keeper).await;
    let backup = keeping.backup(id).await.unwrap();
    let taken = backup.state.taken().unwrap();
    assert_eq!((taken.bytes, taken.keys, taken.expiring), (14, 3, 0));
    assert_eq!(taken.digest, "b6285c57e8797db5d4c51c80d6f11938afda9b11c6a003549709189e9b4b92a2");
    assert_eq!(taken.expires, taken.ended + SignedDuration::from_hours(7 * 24));
    assert_eq!(backup.verified_at, Some(keeping.world.clock.now()));
    assert_eq!(keeping.data(id).await, DATA);
    let stored = std::fs::read(keeping.file(id).await).unwrap();
    assert!(!stored.windows(3).any(|window| window == b"two"));
    assert_eq!(events(&keeping, &instance).await, [EventKind::BackupTaken]);
    keeper.shutdown().await;
}

#[tokio::test]
async fn a_backup_taken_while_the_clock_is_back_is_kept_as_long_as_any() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    let (clock, node) = (&keeping.world.clock, keeping.world.node.clone());
    let steady = Steady::begin(clock.now(), &clock.uptime());
    let right = steady.trusted();
    keeping.world.write(move |tx| tx.save_steady(&node, &steady)).await;
    clock.jump(SignedDuration::from_hours(-24 * 3650));
    let id = keeping.ask(&instance).await;
    let keeper = keeping.start();
    calm(&keeper).await;
    let state = keeping.state(id).await;
    let taken = state.taken().unwrap();
    assert!(taken.ended < right, "it is shown as the clock had it");
    assert_eq!(taken.expires, right + SignedDuration::from_hours(7 * 24));
    keeper.shutdown().await;
}

#[tokio::test]
async fn a_backup_larger_than_any_buffer_comes_back_as_it_was() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    let line = "a line among many others\n";
    let data = line.repeat(1_000_000);
    keeping.world.fake.put(&instance, data.clone());
    let id = keeping.ask(&instance).await;
    let keeper = keeping.start();
    calm(&keeper).await;
    let backup = keeping.backup(id).await.unwrap();
    assert_eq!(backup.state.taken().map(|taken| taken.keys), Some(1_000_000));
    assert!(backup.verified_at.is_some());
    assert!(keeping.data(id).await == data);
    keeper.shutdown().await;
}

#[tokio::test]
async fn a_dataset_is_had_by_its_id() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    let id = keeping.ask(&instance).await;
    let archive = keeping.archive.clone();
    let fetcher = Fetcher { store: keeping.world.store.clone(), archive };
    let queued = fetcher.dataset(id).await.err();
    assert!(matches!(queued, Some(Trouble::Dataset { .. })), "{queued:?}");
    let keeper = keeping.start();
    calm(&keeper).await;
    assert_eq!(fetcher.dataset(id).await.unwrap().bytes, 14);
    let unknown = fetcher.dataset(keeping.world.mint.backup_id()).await.err();
    assert!(matches!(unknown, Some(Trouble::Dataset { .. })), "{unknown:?}");
    std::fs::remove_file(keeping.file(id).await).unwrap();
    let missing = fetcher.dataset(id).await.err();
    assert!(matches!(missing, Some(Trouble::Dataset { .. })), "{missing:?}");
    keeper.shutdown().await;
}

#[tokio::test]
async fn few_save_at_once_and_each_instance_once() {
    let keeping = Keeping::new().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let instance = keeping.instance().await;
        ids.push(keeping.ask(&instance).await);
        ids.push(keeping.ask(&instance).await);
    }
    keeping.world.fake.delay(Call::Save, Duration::from_millis(20));
    let keeper = keeping.start_with(unproven());
    let node = keeping.world.node.clone();
    let settled = calm(&keeper);
    tokio::pin!(settled);
    let mut most = 0;
    while tokio::time::timeout(Duration::from_millis(1), &mut settled).await.is_err() {
        let node = node.clone();
        let running = keeping.world.write(move |tx| tx.running_backups(&node)).await;
        let mut instances: Vec<_> = running.iter().map(|backup| &backup.instance).collect();
        instances.dedup();
        assert_eq!(instances.len(), running.len(), "one instance saves twice");
        most = most.max(running.len());
    }
    assert_eq!(most, 2);
    for id in ids {
        assert!(keeping.state(id).await.taken().is_some());
    }
    keeper.shutdown().await;
}

#[tokio::test]
async fn trouble_of_an_engine_fails_the_backup_and_leaves_nothing() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    keeping.world.fake.inject(Call::Save, None, Fault::Fail, 1);
    let id = keeping.ask(&instance).await;
    let keeper = keeping.start();
    calm(&keeper).await;
    let state = keeping.state(id).await;
    assert!(reason(&state).contains("as injected"), "{state:?}");
    assert_eq!(keeping.files(), Vec::<PathBuf>::new());
    assert_eq!(keeping.world.fake.count(Call::ForgetSave), 1);
    assert_eq!(events(&keeping, &instance).await, [EventKind::BackupFailed]);
    let next = keeping.ask(&instance).await;
    keeper.nudge();
    calm(&keeper).await;
    assert!(keeping.state(next).await.taken().is_some());
    keeper.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_hangs_or_panics_delays_no_other_backup() {
    let keeping = Keeping::new().await;
    let (hangs, panics) = (keeping.instance().await, keeping.instance().await);
    keeping.world.fake.inject(Call::Save, Some(&hangs), Fault::Hang, 1);
    keeping.world.fake.inject(Call::Save, Some(&panics), Fault::Panic, 1);
    let (hung, panicked) = (keeping.ask(&hangs).await, keeping.ask(&panics).await);
    let well = keeping.ask(&keeping.instance().await).await;
    let keeper = keeping.start_with(Settings { stall: Duration::from_millis(300), ..settings() });
    keeping.until(well, |backup| backup.state.taken().is_some()).await;
    calm(&keeper).await;
    let state = keeping.state(hung).await;
    assert!(reason(&state).contains("no answer"), "{state:?}");
    assert_eq!(reason(&keeping.state(panicked).await), "interrupted");
    keeper.shutdown().await;
}

#[tokio::test]
async fn what_an_earlier_process_left_is_failed_and_removed() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    let id = keeping.ask(&instance).await;
    let started = keeping.world.clock.now();
    let (stage, percent) = (BackupStage::Storing, 70);
    keeping.set_state(id, BackupState::Running { started, stage, percent }).await;
    let file = keeping.file(id).await;
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "stored, and not written down").unwrap();
    std::fs::write(file.with_extension("sealed#1"), "half").unwrap();
    let keeper = keeping.start();
    calm(&keeper).await;
    assert_eq!(reason(&keeping.state(id).await), "interrupted");
    assert_eq!(keeping.files(), Vec::<PathBuf>::new());
    assert_eq!(keeping.world.fake.count(Call::ForgetSave), 1);
    keeper.shutdown().await;
}

#[tokio::test]
async fn the_end_of_the_process_fails_what_is_under_way() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    keeping.world.fake.delay(Call::Save, Duration::from_hours(1));
    let id = keeping.ask(&instance).await;
    let keeper = keeping.start();
    keeping.until(id, |backup| matches!(backup.state, BackupState::Running { .. })).await;
    keeper.shutdown().await;
    assert_eq!(reason(&keeping.state(id).await), "interrupted");
}

#[tokio::test]
async fn a_damaged_backup_is_found_and_not_offered() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    let id = keeping.ask(&instance).await;
    let keeper = keeping.start_with(unproven());
    calm(&keeper).await;
    keeper.shutdown().await;
    assert_eq!(keeping.backup(id).await.unwrap().verified_at, None);
    let file = std::fs::File::options().write(true).open(keeping.file(id).await).unwrap();
    let last = file.metadata().unwrap().len() - 20;
    file.write_all_at(b"?", last).unwrap();
    let keeper = keeping.start();
    calm(&keeper).await;
    let state = keeping.state(id).await;
    assert!(reason(&state).contains("damaged"), "{state:?}");
    assert_eq!(events(&keeping, &instance).await[0], EventKind::BackupRefused);
    keeper.shutdown().await;
}

#[tokio::test]
async fn what_an_engine_refuses_is_found_and_not_offered() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    keeping.world.fake.put(&instance, "corrupt\n");
    let id = keeping.ask(&instance).await;
    let keeper = keeping.start();
    calm(&keeper).await;
    let state = keeping.state(id).await;
    assert!(reason(&state).contains("corrupt"), "{state:?}");
    keeper.shutdown().await;
}

#[tokio::test]
async fn a_trial_that_cannot_be_made_says_nothing_of_the_backup() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    keeping.world.fake.inject(Call::Prove, None, Fault::Fail, 1);
    keeping.world.fake.inject(Call::Prove, None, Fault::Hang, 1);
    let id = keeping.ask(&instance).await;
    let patient = Settings {
        retry: Duration::from_millis(300),
        retry_cap: Duration::from_millis(300),
        trial_limit: Duration::from_millis(300),
        ..settings()
    };
    let keeper = keeping.start_with(patient);
    let postponed = keeping.until(id, |backup| backup.trial_note.is_some()).await;
    assert!(postponed.trial_note.unwrap().contains("as injected"));
    assert!(postponed.state.taken().is_some());
    let nudging = async {
        loop {
            keeper.nudge();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let proven = tokio::select! {
        backup = keeping.until(id, |backup| backup.verified_at.is_some()) => backup,
        () = nudging => unreachable!("it goes on for ever"),
    };
    assert_eq!(proven.trial_note, None);
    keeper.shutdown().await;
}

#[tokio::test]
async fn removing_takes_the_object_and_then_the_row() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    let id = keeping.ask(&instance).await;
    let keeper = keeping.start();
    calm(&keeper).await;
    keeping.set_state(id, BackupState::Removing).await;
    calm(&keeper).await;
    assert_eq!(keeping.backup(id).await, None);
    assert_eq!(keeping.files(), Vec::<PathBuf>::new());
    assert_eq!(events(&keeping, &instance).await[0], EventKind::BackupRemoved);
    keeper.shutdown().await;
}

#[tokio::test]
async fn what_a_restore_uses_stays_until_that_is_over() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    let id = keeping.ask(&instance).await;
    let keeper = keeping.start();
    calm(&keeper).await;
    let serial = keeping.world.restore(&instance, id).await;
    keeping.set_state(id, BackupState::Removing).await;
    calm(&keeper).await;
    assert!(keeping.file(id).await.exists());
    let key = instance.clone();
    assert!(keeping.world.write(move |tx| tx.end_restore(&key, serial, true)).await);
    let gone = async {
        while keeping.backup(id).await.is_some() {
            keeper.nudge();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::common::PATIENCE, gone).await.expect("it stays");
    assert_eq!(keeping.files(), Vec::<PathBuf>::new());
    keeper.shutdown().await;
}

#[tokio::test]
async fn instances_that_go_take_their_queued_backups_along() {
    let keeping = Keeping::new().await;
    let (going, gone) = (keeping.instance().await, keeping.instance().await);
    let (one, other) = (keeping.ask(&going).await, keeping.ask(&gone).await);
    keeping.world.intend(&going, Intent::Delete).await;
    keeping.world.intend(&gone, Intent::Delete).await;
    assert!(keeping.world.write(move |tx| tx.delete_instance(&gone)).await);
    let keeper = keeping.start();
    calm(&keeper).await;
    assert_eq!(reason(&keeping.state(one).await), "the instance is being deleted");
    assert_eq!(reason(&keeping.state(other).await), "the instance is gone");
    assert_eq!(keeping.world.fake.count(Call::Save), 0);
    keeper.shutdown().await;
}

#[tokio::test]
async fn a_last_backup_is_tried_again_and_who_waits_for_it_is_woken() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance_of(SHAPES[1]).await;
    let id = keeping.ask_with(&instance, |backup| backup.last = true).await;
    keeping.world.intend(&instance, Intent::Delete).await;
    keeping.world.fake.inject(Call::Save, None, Fault::Fail, 3);
    let keeper = keeping.start();
    calm(&keeper).await;
    assert!(keeping.state(id).await.taken().is_some());
    assert_eq!(keeping.world.fake.count(Call::Save), 4);
    assert_eq!(keeping.woken.load(Ordering::SeqCst), 1);
    keeper.shutdown().await;
}

#[tokio::test]
async fn a_last_backup_that_can_not_be_had_is_given_up_in_the_end() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    let id = keeping.ask_with(&instance, |backup| backup.last = true).await;
    keeping.world.intend(&instance, Intent::Delete).await;
    keeping.world.fake.inject(Call::Save, None, Fault::Fail, u32::MAX);
    let patience = Duration::from_millis(200);
    let keeper = keeping.start_with(Settings { last_patience: patience, ..settings() });
    // A clock that jumps is no reason to give up.
    keeping.world.clock.jump(SignedDuration::from_hours(24 * 365));
    calm(&keeper).await;
    assert!(reason(&keeping.state(id).await).contains("as injected"));
    assert!(keeping.world.fake.count(Call::Save) > 2);
    assert_eq!(keeping.woken.load(Ordering::SeqCst), 1);
    assert_eq!(events(&keeping, &instance).await[0], EventKind::FinalBackupGivenUp);
    keeper.shutdown().await;
}

#[tokio::test]
async fn backups_of_another_node_are_left_alone() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    let elsewhere = keeping.world.mint.node();
    let other = keeping.ask_with(&instance, |backup| backup.node = elsewhere).await;
    let own = keeping.ask(&instance).await;
    let keeper = keeping.start();
    calm(&keeper).await;
    assert!(keeping.state(own).await.taken().is_some());
    assert_eq!(keeping.state(other).await, BackupState::Queued);
    keeper.shutdown().await;
}

#[tokio::test]
async fn a_shelf_that_cannot_be_written_fails_the_backup() {
    let keeping = Keeping::new().await;
    let instance = keeping.instance().await;
    let id = keeping.ask(&instance).await;
    let folder = keeping.file(id).await.parent().unwrap().to_owned();
    std::fs::write(&folder, "a file where a folder should be").unwrap();
    let keeper = keeping.start();
    keeping.until(id, |Backup { state, .. }| matches!(state, BackupState::Failed { .. })).await;
    let state = keeping.state(id).await;
    assert!(reason(&state).contains("keeping backups"), "{state:?}");
    assert!(!reason(&state).contains('/'), "{state:?}");
    std::fs::remove_file(&folder).unwrap();
    let next = keeping.ask(&instance).await;
    keeper.nudge();
    calm(&keeper).await;
    assert!(keeping.state(next).await.taken().is_some());
    keeper.shutdown().await;
}

#[tokio::test]
async fn backups_in_a_bucket_fail_while_it_fails_and_are_taken_again_afterwards() {
    let server = ObjectServer::start().await;
    let place = Place::Bucket(server.bucket(Duration::from_secs(5)));
    let keeping = Keeping::at(&place, tempfile::tempdir().unwrap()).await;
    let instance = keeping.instance().await;
    let keeper = keeping.start();
    for mood in [Mood::Fails, Mood::FailsParts] {
        server.be(mood);
        let failed = keeping.ask(&instance).await;
        keeper.nudge();
        calm(&keeper).await;
        let state = keeping.state(failed).await;
        assert!(reason(&state).contains("the backup store does not answer"), "{state:?}");
        server.be(Mood::Well);
        let taken = keeping.ask(&instance).await;
        keeper.nudge();
        calm(&keeper).await;
        let backup = keeping.backup(taken).await.unwrap();
        assert!(backup.verified_at.is_some(), "{backup:?}");
        assert_eq!(keeping.data(taken).await, DATA);
        for id in [failed, taken] {
            keeping.set_state(id, BackupState::Removing).await;
        }
        calm(&keeper).await;
        assert_eq!(server.files(), Vec::<PathBuf>::new());
    }
    assert!(server.requests() > 0);
    keeper.shutdown().await;
}
