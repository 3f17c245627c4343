use jiff::{SignedDuration, Timestamp};
use ourkv_domain::backup::{BackupPolicy, Scheduled};
use ourkv_domain::instance::{Instance, Intent};
use ourkv_store::StoreError;

use crate::database::Database;
use crate::on_both;
use crate::sample::{at, id, instance, lay_ground, node, prepaid, secrets};

on_both!(
    keeps_a_policy,
    a_policy_goes_with_its_instance,
    a_policy_without_an_instance_is_refused,
    knows_who_is_due,
    a_schedule_that_cannot_be_true_is_due,
);

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn insert(database: &Database, instances: Vec<Instance>) {
    database.write(move |tx| {
        lay_ground(tx)?;
        instances.iter().try_for_each(|instance| tx.insert_instance(instance, &secrets()))
    });
}

fn save(database: &Database, name: &'static str, policy: BackupPolicy, next_at: Timestamp) {
    database.write(move |tx| tx.save_backup_policy(&id(name), &policy, next_at));
}

fn due(database: &Database, now: Timestamp, limit: i64) -> Vec<String> {
    let due = database.read(move |tx| tx.policies_due(&node(), now, limit));
    due.into_iter().map(|id| id.to_string()).collect()
}

fn keeps_a_policy(database: &Database) {
    insert(database, vec![instance("r-a")]);
    let load = || database.read(|tx| tx.backup_policy(&id("r-a")));
    assert_eq!(load(), None);
    let other = BackupPolicy {
        window: "23:30Z-00:30Z".parse().unwrap(),
        days: "Monday,Sunday".parse().unwrap(),
        retention_days: 730,
    };
    for (policy, next_at) in [(BackupPolicy::default(), at(5)), (other, at(9))] {
        save(database, "r-a", policy, next_at);
        assert_eq!(load(), Some(Scheduled { policy, next_at }));
    }
}

fn a_policy_goes_with_its_instance(database: &Database) {
    insert(database, vec![instance("r-a")]);
    save(database, "r-a", BackupPolicy::default(), at(5));
    assert!(database.write(|tx| tx.delete_instance(&id("r-a"))));
    assert_eq!(database.read(|tx| tx.backup_policy(&id("r-a"))), None);
}

fn a_policy_without_an_instance_is_refused(database: &Database) {
    let refused = database
        .store
        .write_blocking(|tx| tx.save_backup_policy(&id("r-a"), &BackupPolicy::default(), at(5)));
    assert!(matches!(refused, Err(StoreError::Constraint { .. })), "{refused:?}");
}

fn knows_who_is_due(database: &Database) {
    let mut elsewhere = instance("r-elsewhere");
    elsewhere.node = "node-b".parse().unwrap();
    let names = ["r-early", "r-late", "r-later", "r-deleted", "r-stopped", "r-without"];
    let others = [elsewhere, prepaid("m-memcache")];
    insert(database, names.map(instance).into_iter().chain(others).collect());
    for (name, next_at) in
        [("r-later", 30), ("r-late", 20), ("r-early", 10), ("r-deleted", 10), ("r-stopped", 15)]
    {
        save(database, name, BackupPolicy::default(), at(next_at));
    }
    database.write(|tx| tx.set_intent(&id("r-deleted"), Intent::Delete));
    database.write(|tx| tx.set_intent(&id("r-stopped"), Intent::Stop));
    assert_eq!(due(database, at(9), 9), ["r-without"]);
    assert_eq!(due(database, at(20), 9), ["r-without", "r-early", "r-stopped", "r-late"]);
    assert_eq!(due(database, at(20), 2), ["r-without", "r-early"]);
}

fn a_schedule_that_cannot_be_true_is_due(database: &Database) {
    insert(database, vec![instance("r-a")]);
    let furthest = at(0) + DAY * 9;
    save(database, "r-a", BackupPolicy::default(), furthest);
    assert_eq!(due(database, at(0), 9), Vec::<String>::new());
    save(database, "r-a", BackupPolicy::default(), furthest + SignedDuration::from_millis(1));
    assert_eq!(due(database, at(0), 9), ["r-a"]);
    assert_eq!(due(database, Timestamp::MAX, 9), ["r-a"]);
}
