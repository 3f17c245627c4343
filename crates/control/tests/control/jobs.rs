//! What time does to instances and money, on a clock that is moved by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use ourkv_control::jobs::{Job, Jobs, Report, Settings};
use ourkv_domain::audit::AuditLine;
use ourkv_domain::billing::{EntryKind, LedgerEntry, Money, Months, Period, end_time, price};
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::{AccessKeyId, InstanceId};
use ourkv_domain::instance::{Charge, Intent};
use strum::VariantArray;

use crate::common::{CLASS, SHAPES, World, settled};

pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);
pub(crate) const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A world, its jobs, and how often they nudged.
pub(crate) struct Story {
    pub(crate) world: World,
    pub(crate) jobs: Jobs,
    pub(crate) nudges: Arc<AtomicU64>,
}

impl Story {
    pub(crate) async fn new(balance: Money) -> Self {
        let world = World::new(balance).await;
        let nudges = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&nudges);
        let jobs = Jobs {
            store: world.store.clone(),
            clock: Arc::clone(&world.clock) as Arc<dyn Clock>,
            mint: Arc::clone(&world.mint),
            node: world.node.clone(),
            nudge: Arc::new(move || {
                counted.fetch_add(1, Ordering::Relaxed);
            }),
            settings: Settings::default(),
        };
        Self { world, jobs, nudges }
    }

    /// Runs every job, and then again: the second time nothing is due any more.
    pub(crate) async fn run(&self) -> u64 {
        let mut changed = 0;
        for job in Job::VARIANTS {
            changed += self.jobs.run_once(*job).await.unwrap().changed;
        }
        for job in Job::VARIANTS {
            let again = self.jobs.run_once(*job).await.unwrap();
            assert_eq!(again.changed, 0, "{job} did something twice");
        }
        changed
    }

    /// Lets time pass and runs the jobs once at the end.
    pub(crate) async fn pass(&self, by: SignedDuration) -> u64 {
        self.world.clock.advance(by);
        self.run().await
    }

    pub(crate) async fn intent(&self, id: &InstanceId) -> Intent {
        self.world.instance(id).await.unwrap().intent
    }

    async fn balance(&self) -> Money {
        let account = self.world.account.clone();
        self.world.write(move |tx| tx.account(&account)).await.unwrap().balance
    }

    async fn pay_in(&self, amount: Money) {
        let (account, now) = (self.world.account.clone(), self.world.clock.now());
        self.world.write(move |tx| tx.change_balance(&account, amount, now)).await.unwrap();
    }

    async fn ledger(&self, id: &InstanceId) -> Vec<LedgerEntry> {
        let id = id.clone();
        let ledger = self.world.write(move |tx| tx.ledger(&id)).await;
        for pair in ledger.windows(2) {
            assert_eq!(pair[0].to, pair[1].from, "entries overlap or leave a hole");
        }
        ledger
    }

    /// Buys an instance for some months, as CreateInstance does.
    pub(crate) async fn buy(&self, months: Months, auto_renew: Option<Months>) -> InstanceId {
        let now = self.world.clock.now();
        let end = end_time(now, months);
        let id = self.world.create_as(SHAPES[0], Charge::PrePaid { end, auto_renew }).await;
        let entry = LedgerEntry {
            instance: id.clone(),
            account: self.world.account.clone(),
            from: now,
            to: end,
            amount: month(),
            kind: EntryKind::Period,
        };
        self.world.write(move |tx| tx.insert_entry(&entry)).await;
        id
    }

    async fn end(&self, id: &InstanceId) -> Timestamp {
        match self.world.instance(id).await.unwrap().charge {
            Charge::PrePaid { end, .. } => end,
            Charge::PostPaid => panic!("{id} has no end"),
        }
    }
}

pub(crate) fn one() -> Months {
    Period::parse("1").unwrap().months()
}

fn hour() -> Money {
    let region = Catalogue::builtin().region(&"cn-hongkong".parse().unwrap()).unwrap();
    price::hourly(Catalogue::builtin().class(CLASS).unwrap(), region)
}

pub(crate) fn month() -> Money {
    let region = Catalogue::builtin().region(&"cn-hongkong".parse().unwrap()).unwrap();
    price::prepaid(Catalogue::builtin().class(CLASS).unwrap(), region, one())
}

fn times(amount: Money, count: i64) -> Money {
    amount.checked_mul(count).unwrap()
}

#[tokio::test]
async fn hours_are_charged_when_they_are_over() {
    let story = Story::new(times(hour(), 1000)).await;
    let id = story.world.create(SHAPES[1]).await;
    story.run().await;
    story.pass(SignedDuration::from_mins(59)).await;
    assert!(story.ledger(&id).await.is_empty());
    story.pass(SignedDuration::from_mins(1)).await;
    story.pass(SignedDuration::from_mins(150)).await;
    let ledger = story.ledger(&id).await;
    assert_eq!(ledger.len(), 3);
    assert_eq!(ledger[0].from, story.world.instance(&id).await.unwrap().created_at);
    assert!(ledger.iter().all(|entry| entry.to.duration_since(entry.from) == HOUR));
    assert!(ledger.iter().all(|entry| entry.amount == hour()));
    assert_eq!(story.balance().await, times(hour(), 997));
}

#[tokio::test]
async fn a_clock_that_goes_back_charges_nothing_twice() {
    let story = Story::new(times(hour(), 1000)).await;
    let id = story.world.create(SHAPES[0]).await;
    story.pass(HOUR * 5).await;
    assert_eq!(story.pass(-HOUR * 3).await, 0);
    assert_eq!(story.pass(HOUR * 3).await, 0);
    assert_eq!(story.pass(HOUR).await, 1);
    assert_eq!(story.ledger(&id).await.len(), 6);
    assert_eq!(story.balance().await, times(hour(), 994));
}

#[tokio::test]
async fn a_clock_that_jumps_ends_and_charges_nothing() {
    let story = Story::new(times(month(), 2)).await;
    let metered = story.world.create(SHAPES[0]).await;
    let paid = story.buy(one(), None).await;
    let renewed = story.buy(one(), Some(one())).await;
    story.run().await;
    let balance = story.balance().await;
    for jump in [HOUR, -HOUR, -HOUR, HOUR, DAY * 3650, -DAY * 3650, DAY * 31, -DAY * 31] {
        story.world.clock.jump(jump);
        assert_eq!(story.run().await, 0, "{jump}");
    }
    // Nor one that jumped by years while the machine was off, but for the day that may be true.
    story.world.clock.reboot();
    story.world.clock.jump(DAY * 3650);
    assert_eq!(story.run().await, 24);
    for id in [&metered, &paid, &renewed] {
        assert_eq!(story.intent(id).await, Intent::Run);
    }
    assert_eq!(story.ledger(&metered).await.len(), 24);
    assert_eq!(story.ledger(&renewed).await.len(), 1);
    assert_eq!(story.balance().await, balance.checked_sub(times(hour(), 24)).unwrap());
    // What it was set to goes on by the hour.
    assert_eq!(story.pass(HOUR).await, 1);
}

#[tokio::test]
async fn many_meters_are_charged_for_a_long_absence() {
    let story = Story::new(Money::ZERO).await;
    let mut ids = Vec::new();
    for _ in 0..120 {
        ids.push(story.world.create(SHAPES[0]).await);
    }
    story.world.clock.advance(HOUR * 30);
    let report = story.jobs.run_once(Job::Metering).await.unwrap();
    assert_eq!(report, Report { changed: 120 * 30, failed: 0 });
    assert_eq!(story.balance().await, times(hour(), -120 * 30));
}

#[tokio::test]
async fn arrears_stop_after_fifteen_days_and_release_after_thirty() {
    let mut story = Story::new(times(hour(), 24)).await;
    // Nobody here would take it.
    story.jobs.settings.final_backup = false;
    let reconciler = story.world.start();
    let id = story.world.create(SHAPES[0]).await;
    // After 24 hours the balance is nothing, after 25 it is below: the arrears begin.
    story.pass(HOUR * 24).await;
    story.pass(HOUR).await;
    for day in 1..=30 {
        assert_eq!(story.intent(&id).await, if day <= 15 { Intent::Run } else { Intent::Stop });
        story.pass(DAY).await;
    }
    assert_eq!(story.intent(&id).await, Intent::Delete);
    // To stop it, to release it, and for each backup that came due meanwhile.
    let key = id.clone();
    let scheduled = story.world.write(move |tx| tx.all_backups(Some(&key))).await.len() as u64;
    assert_eq!(story.nudges.load(Ordering::Relaxed), 2 + scheduled);
    settled(&reconciler).await;
    assert_eq!(story.world.instance(&id).await, None);
    assert_eq!(story.ledger(&id).await.len(), 25 + 30 * 24);
    assert_eq!(story.world.taken().await, (0, 0));
    reconciler.shutdown().await;
}

#[tokio::test]
async fn what_is_released_costs_nothing_while_it_waits_to_be_removed() {
    let story = Story::new(Money::ZERO).await;
    let id = story.world.create(SHAPES[0]).await;
    story.pass(HOUR).await;
    story.pass(DAY * 30).await;
    assert_eq!(story.intent(&id).await, Intent::Delete);
    let (balance, hours) = (story.balance().await, story.ledger(&id).await.len());
    // No reconciler runs: nothing of it is removed.
    story.pass(DAY * 10).await;
    assert_eq!((story.balance().await, story.ledger(&id).await.len()), (balance, hours));
}

#[tokio::test]
async fn a_meter_that_cannot_be_charged_delays_no_other() {
    let story = Story::new(times(hour(), 1000)).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(story.world.create(SHAPES[0]).await);
    }
    let now = story.world.clock.now();
    let in_the_way = LedgerEntry {
        instance: ids[0].clone(),
        account: story.world.account.clone(),
        from: now,
        to: now + HOUR,
        amount: Money::ZERO,
        kind: EntryKind::Period,
    };
    story.world.write(move |tx| tx.insert_entry(&in_the_way)).await;
    story.world.clock.advance(HOUR);
    let report = story.jobs.run_once(Job::Metering).await.unwrap();
    assert_eq!(report.changed, 2);
    assert!(report.failed > 0);
    assert_eq!(story.balance().await, times(hour(), 998));
}

#[tokio::test]
async fn whoever_pays_arrears_has_the_instance_run_again() {
    let story = Story::new(Money::ZERO).await;
    let metered = story.world.create(SHAPES[0]).await;
    let prepaid = story.buy(Period::parse("12").unwrap().months(), None).await;
    story.pass(HOUR).await;
    story.pass(DAY * 20).await;
    assert_eq!(story.intent(&metered).await, Intent::Stop);
    assert_eq!(story.intent(&prepaid).await, Intent::Run, "its year is paid");
    story.pay_in(times(hour(), 10_000)).await;
    story.run().await;
    assert_eq!(story.intent(&metered).await, Intent::Run);
    story.ledger(&metered).await;
}

#[tokio::test]
async fn what_is_paid_in_advance_stops_and_goes_after_its_end() {
    let story = Story::new(Money::ZERO).await;
    let id = story.buy(one(), None).await;
    let end = story.end(&id).await;
    for (days, intent) in [(-1, Intent::Run), (14, Intent::Run), (15, Intent::Stop)] {
        story.world.clock.set(end + DAY * days);
        story.run().await;
        assert_eq!(story.intent(&id).await, intent, "{days} days after the end");
    }
    story.world.clock.set(end + DAY * 30 - SignedDuration::from_millis(1));
    story.run().await;
    assert_eq!(story.intent(&id).await, Intent::Stop);
    story.pass(SignedDuration::from_millis(1)).await;
    assert_eq!(story.intent(&id).await, Intent::Delete);
    // Nothing undoes a release.
    story.pay_in(times(month(), 10)).await;
    story.run().await;
    assert_eq!(story.intent(&id).await, Intent::Delete);
}

#[tokio::test]
async fn renewal_runs_seven_days_ahead_month_after_month() {
    let story = Story::new(times(month(), 3)).await;
    let id = story.buy(one(), Some(one())).await;
    let first_end = story.end(&id).await;
    assert_eq!(first_end.to_string(), "2019-02-15T16:00:00Z");
    story.world.clock.set(first_end - DAY * 7 - SignedDuration::from_millis(1));
    story.run().await;
    assert_eq!(story.end(&id).await, first_end);
    story.pass(SignedDuration::from_millis(1)).await;
    assert_eq!(story.end(&id).await.to_string(), "2019-03-15T16:00:00Z");
    for _ in 0..70 {
        story.pass(DAY).await;
    }
    assert_eq!(story.end(&id).await.to_string(), "2019-05-15T16:00:00Z");
    assert_eq!(story.balance().await, Money::ZERO);
    let (ledger, account) = (story.ledger(&id).await, story.world.account.clone());
    assert_eq!(ledger.len(), 4);
    assert_eq!(ledger.last().unwrap().to, story.end(&id).await);
    let orders = story.world.write(move |tx| tx.orders(&account)).await;
    assert_eq!(orders.len(), 3);
    assert!(orders.iter().all(|order| order.due() == month() && order.instance == id));
}

#[tokio::test]
async fn without_money_nothing_is_renewed_and_with_it_what_stopped_runs_again() {
    let story = Story::new(Money::ZERO).await;
    let id = story.buy(one(), Some(one())).await;
    let end = story.end(&id).await;
    story.world.clock.set(end - DAY);
    let report = story.jobs.run_once(Job::Renewal).await.unwrap();
    assert_eq!(report, Report { changed: 0, failed: 1 });
    story.world.clock.set(end + DAY * 20);
    story.run().await;
    assert_eq!(story.intent(&id).await, Intent::Stop);
    story.pay_in(month()).await;
    story.run().await;
    assert_eq!(story.intent(&id).await, Intent::Run);
    assert_eq!(story.end(&id).await, end_time(end + DAY * 20, one()));
    assert_eq!(story.balance().await, Money::ZERO);
    assert_eq!(story.ledger(&id).await.len(), 2);
}

#[tokio::test]
async fn forgets_what_has_served_its_time() {
    let story = Story::new(Money::ZERO).await;
    let key = AccessKeyId::parse("LTAI5tTestTestTestTest00").unwrap();
    let now = story.world.clock.now();
    let line = AuditLine {
        request_id: "1".into(),
        at: now,
        action: "DescribeRegions".into(),
        account: None,
        access_key: None,
        source: "127.0.0.1:1".into(),
        parameters: String::new(),
        status: 200,
        code: None,
    };
    story
        .world
        .write(move |tx| {
            assert!(tx.burn_nonce(&key, "n", now + HOUR)?);
            tx.append_audit(&line)
        })
        .await;
    assert_eq!(story.jobs.run_once(Job::Forgetting).await.unwrap().changed, 0);
    assert_eq!(story.pass(HOUR * 2).await, 1, "the nonce");
    assert_eq!(story.pass(DAY * 180).await, 1, "the audit line");
}

#[tokio::test]
async fn the_jobs_run_by_themselves_until_they_are_ended() {
    let story = Story::new(Money::ZERO).await;
    let id = story.world.create(SHAPES[0]).await;
    story.world.clock.advance(HOUR);
    let running = story.jobs.clone().spawn();
    let charged = async {
        while story.ledger(&id).await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(crate::common::PATIENCE, charged).await.unwrap();
    running.shutdown().await;
}
