use jiff::SignedDuration;
use ourkv_domain::clock::{Clock, ManualClock, Steady};
use ourkv_domain::event::{Event, EventKind};
use ourkv_store::StoreError;

use crate::database::Database;
use crate::on_both;
use crate::sample::{at, id, node};

on_both!(
    events_have_an_order_also_at_one_instant,
    everybody_who_reports_at_once_is_heard,
    events_of_a_kind_are_counted,
    old_events_are_forgotten,
    steady_time_is_kept_for_each_machine,
    a_steady_time_that_is_none_is_refused,
);

fn event(name: &str, kind: EventKind, seconds: i64, detail: impl Into<String>) -> Event {
    Event { instance: id(name), at: at(seconds), kind, detail: detail.into() }
}

fn append(database: &Database, events: Vec<Event>) {
    database.write(move |tx| events.iter().try_for_each(|event| tx.append_event(event)));
}

fn events_have_an_order_also_at_one_instant(database: &Database) {
    let begun = event("r-a", EventKind::RestoreBegun, 5, "from 123456789");
    let done = event("r-a", EventKind::RestoreDone, 5, "");
    // The clock was set back.
    let failed = event("r-a", EventKind::BackupFailed, 1, "磁盘已满");
    let other = event("r-b", EventKind::BackupTaken, 9, "");
    append(database, vec![begun.clone(), other, done.clone(), failed.clone()]);
    let events = |limit| database.read(move |tx| tx.events(&id("r-a"), limit));
    assert_eq!(events(9), [failed.clone(), done.clone(), begun]);
    assert_eq!(events(2), [failed, done]);
    assert_eq!(database.read(|tx| tx.events(&id("r-c"), 9)), []);
}

fn everybody_who_reports_at_once_is_heard(database: &Database) {
    let reported = database.race(16, |number, tx| {
        tx.append_event(&event("r-a", EventKind::BackupTaken, 5, number.to_string()))
    });
    assert!(reported.iter().all(Result::is_ok), "{reported:?}");
    assert_eq!(database.read(|tx| tx.events(&id("r-a"), 99)).len(), 16);
}

fn events_of_a_kind_are_counted(database: &Database) {
    let asked = |name, seconds| event(name, EventKind::BackupAsked, seconds, "");
    let taken = event("r-a", EventKind::BackupTaken, 9, "");
    append(database, vec![asked("r-a", 1), asked("r-a", 3), asked("r-b", 3), taken]);
    let since = |seconds| {
        let (instance, kind) = (id("r-a"), EventKind::BackupAsked);
        database.read(move |tx| tx.events_since(&instance, kind, at(seconds)))
    };
    assert_eq!([since(0), since(1), since(2), since(4)], [2, 2, 1, 0]);
}

fn old_events_are_forgotten(database: &Database) {
    let of = |seconds| event("r-a", EventKind::BackupTaken, seconds, "");
    append(database, vec![of(1), of(2), of(3)]);
    assert_eq!(database.write(|tx| tx.forget_events(at(3))), 2);
    append(database, vec![of(4)]);
    assert_eq!(database.read(|tx| tx.events(&id("r-a"), 9)), [of(4), of(3)]);
}

fn steady_time_is_kept_for_each_machine(database: &Database) {
    let clock = ManualClock::new(at(0));
    let steady = Steady::begin(at(0), &clock.uptime());
    clock.jump(SignedDuration::from_hours(1000));
    let later = steady.clone().after(clock.now(), &clock.uptime());
    assert_eq!(database.read(|tx| tx.steady(&node())), None);
    for steady in [steady, later] {
        let saved = steady.clone();
        database.write(move |tx| tx.save_steady(&node(), &saved));
        assert_eq!(database.read(|tx| tx.steady(&node())), Some(steady));
    }
    assert_eq!(database.read(|tx| tx.steady(&"node-b".parse().unwrap())), None);
}

fn a_steady_time_that_is_none_is_refused(database: &Database) {
    database.write(|tx| tx.set_setting(&format!("steady-time-of-{}", node()), "noon"));
    let read = database.store.read_blocking(|tx| tx.steady(&node()));
    assert_eq!(read, Err(StoreError::Inconsistent { table: "settings", column: "value" }));
}
