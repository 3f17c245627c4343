//! Backups that come due and run out, on a clock that is moved by hand.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use ourkv_control::jobs::Job;
use ourkv_domain::backup::{
    Backup, BackupId, BackupMode, BackupPolicy, BackupStage, BackupState, Taken,
};
use ourkv_domain::billing::Money;
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{InstanceType, Intent, NodeType, Observed, Phase};

use crate::common::SHAPES;
use crate::jobs::{DAY, HOUR, Story, one};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

impl Story {
    async fn rich() -> Self {
        Self::new(Money::from_yuan(1_000_000).unwrap()).await
    }

    async fn be(&self, id: &InstanceId, phase: Phase) {
        let (id, since) = (id.clone(), self.world.clock.now());
        let generation = self.world.instance(&id).await.unwrap().generation;
        let observed = Observed { phase, generation, since };
        assert!(self.world.write(move |tx| tx.record_observed(&id, &observed)).await);
    }

    async fn normal(&self, shape: (InstanceType, NodeType)) -> InstanceId {
        let id = self.world.create(shape).await;
        self.be(&id, Phase::Normal).await;
        id
    }

    async fn backups(&self, id: &InstanceId) -> Vec<Backup> {
        let id = id.clone();
        self.world.write(move |tx| tx.all_backups(Some(&id))).await
    }

    async fn next_at(&self, id: &InstanceId) -> Option<Timestamp> {
        let id = id.clone();
        let policy = self.world.write(move |tx| tx.backup_policy(&id)).await;
        policy.map(|scheduled| scheduled.next_at)
    }

    /// Goes on to an instance's slot.
    async fn reach_slot(&self, id: &InstanceId) -> u64 {
        self.world.clock.set(self.next_at(id).await.unwrap());
        self.jobs.run_once(Job::BackupSchedule).await.unwrap().changed
    }

    /// A good backup that ended just now and is kept for some days.
    async fn keep(&self, id: &InstanceId, days: u16) -> BackupId {
        let (instance, now) = (self.world.instance(id).await.unwrap(), self.world.clock.now());
        let (backup, job) = (self.world.mint.backup_id(), self.world.mint.backup_job_id());
        let mut row = Backup::queued(backup, job, &instance, BackupMode::Manual, days, now);
        row.state = BackupState::Success(Taken {
            started: now,
            ended: now,
            bytes: 1,
            keys: 1,
            expiring: 0,
            digest: "0".into(),
            expires: Backup::expiry(now, days),
            engine: "redis 7.0.15".parse().unwrap(),
        });
        self.world.write(move |tx| tx.insert_backup(&row)).await;
        backup
    }

    async fn run_out(&self) -> u64 {
        self.jobs.run_once(Job::BackupRetention).await.unwrap().changed
    }

    async fn is_kept(&self, id: BackupId) -> bool {
        let backup = self.world.write(move |tx| tx.backup(id)).await;
        backup.is_some_and(|backup| backup.state != BackupState::Removing)
    }
}

#[tokio::test]
async fn a_backup_is_queued_once_in_every_slot() {
    let story = Story::rich().await;
    let id = story.normal(SHAPES[1]).await;
    story.run().await;
    assert_eq!(story.backups(&id).await, []);
    let first = story.next_at(&id).await.unwrap();
    let window: [Timestamp; 2] =
        ["2019-01-15T18:00:00Z".parse().unwrap(), "2019-01-15T19:00:00Z".parse().unwrap()];
    assert!((window[0]..window[1]).contains(&first), "{first}");
    story.world.clock.set(first - SignedDuration::from_millis(1));
    assert_eq!(story.jobs.run_once(Job::BackupSchedule).await.unwrap().changed, 0);
    let nudges = story.nudges.load(Ordering::Relaxed);
    assert_eq!(story.reach_slot(&id).await, 1);
    assert_eq!(story.nudges.load(Ordering::Relaxed), nudges + 1);
    assert_eq!(story.jobs.run_once(Job::BackupSchedule).await.unwrap().changed, 0);
    let backups = story.backups(&id).await;
    assert_eq!(backups.len(), 1);
    let Backup { mode, retention_days, last, state, .. } = &backups[0];
    assert_eq!((*mode, *retention_days, *last), (BackupMode::Automated, 7, false));
    assert_eq!(*state, BackupState::Queued);
    assert_eq!(story.next_at(&id).await, Some(first + DAY));
}

#[tokio::test]
async fn instances_with_one_policy_have_slots_of_their_own() {
    let story = Story::rich().await;
    let mut slots = BTreeSet::new();
    for _ in 0..50 {
        story.normal(SHAPES[0]).await;
    }
    story.run().await;
    let node = story.world.node.clone();
    for id in story.world.write(move |tx| tx.instance_ids_of_node(&node)).await {
        slots.insert(story.next_at(&id).await.unwrap());
    }
    assert!(slots.len() > 40, "{slots:?}");
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_once() {
    let story = Story::rich().await;
    let id = story.normal(SHAPES[0]).await;
    story.run().await;
    story.world.clock.advance(DAY * 5);
    assert_eq!(story.jobs.run_once(Job::BackupSchedule).await.unwrap().changed, 1);
    assert_eq!(story.jobs.run_once(Job::BackupSchedule).await.unwrap().changed, 0);
    assert_eq!(story.backups(&id).await.len(), 1);
    assert!(story.next_at(&id).await.unwrap() > story.world.clock.now());
}

#[tokio::test]
async fn caches_and_what_is_stopped_have_no_backups() {
    let story = Story::rich().await;
    let cache = story.normal(SHAPES[2]).await;
    let stopped = story.normal(SHAPES[1]).await;
    story.run().await;
    story.world.intend(&stopped, Intent::Stop).await;
    for _ in 0..3 {
        story.world.clock.advance(DAY);
        assert_eq!(story.jobs.run_once(Job::BackupSchedule).await.unwrap().changed, 0);
    }
    assert_eq!(story.next_at(&cache).await, None);
    assert!(story.next_at(&stopped).await.unwrap() > story.world.clock.now());
}

#[tokio::test]
async fn one_that_is_ill_in_its_slot_is_waited_for_some_hours() {
    let story = Story::rich().await;
    let (heals, stays) = (story.normal(SHAPES[0]).await, story.normal(SHAPES[0]).await);
    story.run().await;
    for id in [&heals, &stays] {
        story.be(id, Phase::Unavailable { reason: "as the test wants it".into() }).await;
    }
    story.world.clock.set("2019-01-15T19:00:00Z".parse().unwrap());
    assert_eq!(story.jobs.run_once(Job::BackupSchedule).await.unwrap().changed, 0);
    story.be(&heals, Phase::Normal).await;
    story.world.clock.advance(MINUTE);
    assert_eq!(story.jobs.run_once(Job::BackupSchedule).await.unwrap().changed, 1);
    assert_eq!(story.backups(&heals).await.len(), 1);
    story.world.clock.advance(HOUR * 7);
    assert_eq!(story.jobs.run_once(Job::BackupSchedule).await.unwrap().changed, 0);
    story.be(&stays, Phase::Normal).await;
    assert_eq!(story.jobs.run_once(Job::BackupSchedule).await.unwrap().changed, 0);
    assert!(story.next_at(&stays).await.unwrap() > story.world.clock.now());
}

#[tokio::test]
async fn there_is_no_second_backup_beside_one_under_way() {
    let story = Story::rich().await;
    let id = story.normal(SHAPES[0]).await;
    story.run().await;
    story.reach_slot(&id).await;
    let (backup, started) = (story.backups(&id).await[0].id, story.world.clock.now());
    let state = BackupState::Running { started, stage: BackupStage::Saving, percent: 1 };
    assert!(story.world.write(move |tx| tx.set_backup_state(backup, &state)).await);
    assert_eq!(story.reach_slot(&id).await, 0);
    assert_eq!(story.backups(&id).await.len(), 1);
}

#[tokio::test]
async fn the_owners_policy_counts() {
    let story = Story::rich().await;
    let id = story.normal(SHAPES[0]).await;
    let policy = BackupPolicy {
        window: "03:00Z-04:00Z".parse().unwrap(),
        days: "Friday".parse().unwrap(),
        retention_days: 30,
    };
    let (key, now) = (id.clone(), story.world.clock.now());
    story
        .world
        .write(move |tx| tx.save_backup_policy(&key, &policy, policy.slot_after(now, &key)))
        .await;
    story.world.clock.set("2019-01-18T02:59:59Z".parse().unwrap());
    assert_eq!(story.jobs.run_once(Job::BackupSchedule).await.unwrap().changed, 0);
    story.world.clock.set("2019-01-18T04:00:00Z".parse().unwrap());
    assert_eq!(story.jobs.run_once(Job::BackupSchedule).await.unwrap().changed, 1);
    assert_eq!(story.backups(&id).await[0].retention_days, 30);
}

#[tokio::test]
async fn a_clock_that_was_wrong_costs_one_slot_at_most() {
    let story = Story::rich().await;
    let id = story.normal(SHAPES[0]).await;
    story.run().await;
    story.world.clock.jump(DAY * 3650);
    story.jobs.run_once(Job::BackupSchedule).await.unwrap();
    story.world.clock.jump(-DAY * 3650);
    story.jobs.run_once(Job::BackupSchedule).await.unwrap();
    let ahead = story.next_at(&id).await.unwrap() - story.world.clock.now();
    assert!(ahead.as_hours() <= 24, "{ahead}");
}

#[tokio::test]
async fn backups_run_out_but_the_last_good_one_of_a_live_instance() {
    let story = Story::rich().await;
    let id = story.normal(SHAPES[1]).await;
    story.run_out().await;
    let first = story.keep(&id, 7).await;
    story.world.clock.advance(DAY);
    let second = story.keep(&id, 7).await;
    story.world.clock.advance(DAY * 6 - SignedDuration::from_millis(1));
    assert_eq!(story.run_out().await, 0);
    story.world.clock.advance(SignedDuration::from_millis(1));
    assert_eq!(story.run_out().await, 1);
    assert!(!story.is_kept(first).await && story.is_kept(second).await);
    story.world.clock.advance(DAY * 100);
    assert_eq!(story.run_out().await, 0);
    assert!(story.is_kept(second).await);
    story.world.intend(&id, Intent::Delete).await;
    assert_eq!(story.run_out().await, 1);
    assert!(!story.is_kept(second).await);
}

#[tokio::test]
async fn backups_outlive_their_instance_until_their_time_is_over() {
    let story = Story::rich().await;
    let id = story.normal(SHAPES[1]).await;
    story.run_out().await;
    let last = story.keep(&id, 7).await;
    let gone = id.clone();
    assert!(story.world.write(move |tx| tx.delete_instance(&gone)).await);
    story.world.clock.advance(DAY * 6);
    assert_eq!(story.run_out().await, 0);
    story.world.clock.advance(DAY);
    assert_eq!(story.run_out().await, 1);
    assert!(!story.is_kept(last).await);
}

#[tokio::test]
async fn a_clock_that_jumps_removes_nothing() {
    let story = Story::rich().await;
    let id = story.normal(SHAPES[1]).await;
    story.run_out().await;
    let (first, second) = (story.keep(&id, 7).await, story.keep(&id, 7).await);
    for jump in [DAY * 3650, -DAY * 3650, DAY * 8, -DAY * 8] {
        story.world.clock.jump(jump);
        assert_eq!(story.run_out().await, 0, "{jump}");
    }
    // Nor does one that jumped while the machine was off.
    story.world.clock.reboot();
    story.world.clock.jump(DAY * 3650);
    assert_eq!(story.run_out().await, 0);
    assert!(story.is_kept(first).await && story.is_kept(second).await);
    for _ in 0..7 {
        story.world.clock.advance(DAY);
        story.run_out().await;
    }
    assert!(!story.is_kept(first).await || !story.is_kept(second).await);
}

#[tokio::test]
async fn what_a_restore_uses_does_not_run_out() {
    let story = Story::rich().await;
    let id = story.normal(SHAPES[1]).await;
    story.run_out().await;
    let used = story.keep(&id, 7).await;
    story.world.clock.advance(DAY);
    story.keep(&id, 7).await;
    let serial = story.world.restore(&id, used).await;
    story.world.clock.advance(DAY * 7);
    assert_eq!(story.run_out().await, 0);
    let key = id.clone();
    assert!(story.world.write(move |tx| tx.end_restore(&key, serial, true)).await);
    assert_eq!(story.run_out().await, 1);
    assert!(!story.is_kept(used).await);
}

#[tokio::test]
async fn what_is_released_leaves_a_last_backup_where_there_is_data_to_be_had() {
    let story = Story::new(Money::ZERO).await;
    let ill = || Phase::Unavailable { reason: "as the test wants it".into() };
    let cases = [
        (SHAPES[0], Phase::Normal, true),
        (SHAPES[0], ill(), false),
        (SHAPES[1], Phase::Normal, true),
        (SHAPES[1], ill(), true),
        (SHAPES[1], Phase::Inactive, true),
        (SHAPES[2], Phase::Normal, false),
    ];
    let mut ids = Vec::new();
    for (shape, ..) in &cases {
        ids.push(story.world.create(*shape).await);
    }
    let prepaid = story.buy(one(), None).await;
    story.be(&prepaid, Phase::Normal).await;
    story.world.clock.advance(HOUR);
    story.jobs.run_once(Job::Metering).await.unwrap();
    story.world.clock.advance(DAY * 100);
    for (id, (_, phase, _)) in ids.iter().zip(&cases) {
        story.be(id, phase.clone()).await;
    }
    assert_eq!(story.jobs.run_once(Job::Expiry).await.unwrap().changed, 7);
    assert_eq!(story.jobs.run_once(Job::Expiry).await.unwrap().changed, 0);
    for (id, (shape, phase, leaves)) in ids.iter().zip(&cases) {
        assert_eq!(story.intent(id).await, Intent::Delete);
        let backups = story.backups(id).await;
        let last: Vec<_> = backups.iter().map(|backup| backup.last).collect();
        assert_eq!(last, vec![true; usize::from(*leaves)], "{shape:?} {phase:?}");
    }
    assert_eq!(story.backups(&prepaid).await, []);
}

#[tokio::test]
async fn a_flag_lets_what_is_released_go_without_a_backup() {
    let mut story = Story::new(Money::ZERO).await;
    story.jobs.settings.final_backup = false;
    let id = story.normal(SHAPES[1]).await;
    story.world.clock.advance(HOUR);
    story.jobs.run_once(Job::Metering).await.unwrap();
    story.world.clock.advance(DAY * 100);
    assert_eq!(story.jobs.run_once(Job::Expiry).await.unwrap().changed, 1);
    assert_eq!(story.intent(&id).await, Intent::Delete);
    assert_eq!(story.backups(&id).await, []);
}
