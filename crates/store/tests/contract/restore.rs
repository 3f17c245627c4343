use ourkv_domain::instance::{Instance, Intent, Observed, Phase, Restore};

use crate::backup::backup_id;
use crate::database::Database;
use crate::instance::{assert_status, load, observe, phases};
use crate::on_both;
use crate::sample::{at, id, instance, lay_ground, node, secrets};

on_both!(
    a_restore_is_begun_once,
    a_restore_that_is_done_is_in_force,
    a_restore_that_is_given_up_changes_nothing,
    no_two_sets_of_data_have_one_serial,
    only_what_should_run_is_restored,
    a_clone_begins_with_a_restore,
    the_status_follows_a_restore,
    a_pending_restore_is_unsettled,
    a_backup_that_a_restore_needs_is_in_use,
    of_many_who_restore_at_once_one_does,
);

fn insert(database: &Database, instances: Vec<Instance>) {
    database.write(move |tx| {
        lay_ground(tx)?;
        instances.iter().try_for_each(|instance| tx.insert_instance(instance, &secrets()))
    });
}

fn begin(database: &Database, name: &'static str, backup: i64) -> Option<i64> {
    database.write(move |tx| tx.begin_restore(&id(name), backup_id(backup), at(40)))
}

fn end(database: &Database, serial: i64, done: bool) -> bool {
    database.write(move |tx| tx.end_restore(&id("r-a"), serial, done))
}

fn intend(database: &Database, intent: Intent) {
    assert!(database.write(move |tx| tx.set_intent(&id("r-a"), intent)));
}

fn pending(serial: i64, backup: i64) -> Restore {
    Restore { serial, backup: backup_id(backup), requested_at: at(40) }
}

fn a_restore_is_begun_once(database: &Database) {
    insert(database, vec![instance("r-a")]);
    assert_eq!(begin(database, "r-a", 7), Some(1));
    assert_eq!(begin(database, "r-a", 8), None);
    assert_eq!(begin(database, "r-b", 7), None);
    let expected = Instance { restore: Some(pending(1, 7)), generation: 2, ..instance("r-a") };
    assert_eq!(load(database, "r-a"), expected);
}

fn a_restore_that_is_done_is_in_force(database: &Database) {
    insert(database, vec![instance("r-a")]);
    begin(database, "r-a", 7);
    assert!(!end(database, 2, true));
    assert!(end(database, 1, true));
    assert!(!end(database, 1, true));
    let loaded = load(database, "r-a");
    assert_eq!(loaded, Instance { dataset: 1, generation: 2, ..instance("r-a") });
}

fn a_restore_that_is_given_up_changes_nothing(database: &Database) {
    insert(database, vec![instance("r-a")]);
    begin(database, "r-a", 7);
    assert!(end(database, 1, false));
    assert!(!end(database, 1, true));
    assert_eq!(load(database, "r-a"), Instance { generation: 2, ..instance("r-a") });
}

fn no_two_sets_of_data_have_one_serial(database: &Database) {
    insert(database, vec![instance("r-a")]);
    for (serial, done, in_force) in [(1, false, 0), (2, true, 2), (3, false, 2), (4, true, 4)] {
        assert_eq!(begin(database, "r-a", 7), Some(serial));
        assert!(end(database, serial, done));
        assert_eq!(load(database, "r-a").dataset, in_force);
    }
}

fn only_what_should_run_is_restored(database: &Database) {
    insert(database, vec![instance("r-a")]);
    for intent in [Intent::Stop, Intent::Delete] {
        intend(database, intent);
        assert_eq!(begin(database, "r-a", 7), None);
    }
    assert_eq!(load(database, "r-a").restore, None);
}

fn a_clone_begins_with_a_restore(database: &Database) {
    let clone = Instance { restore: Some(pending(1, 7)), ..instance("r-a") };
    let restored = Instance { dataset: 5, ..instance("r-b") };
    insert(database, vec![clone.clone(), restored.clone()]);
    assert_eq!(load(database, "r-a"), clone);
    assert_eq!(load(database, "r-b"), restored);
    assert_status(database, "r-a");
    assert_eq!(begin(database, "r-a", 8), None);
    assert!(end(database, 1, true));
    assert_eq!(begin(database, "r-a", 8), Some(2));
    assert_eq!(begin(database, "r-b", 8), Some(6));
}

fn the_status_follows_a_restore(database: &Database) {
    insert(database, vec![instance("r-a")]);
    let mut serial = 0;
    for phase in phases() {
        // Whatever is written last: a restore, the phase, the intent.
        assert!(observe(database, "r-a", phase.clone(), 99));
        for done in [true, false] {
            serial += 1;
            assert_eq!(begin(database, "r-a", 7), Some(serial));
            assert_status(database, "r-a");
            for other in phases() {
                assert!(observe(database, "r-a", other, 99));
                assert_status(database, "r-a");
            }
            assert!(observe(database, "r-a", phase.clone(), 99));
            for intent in [Intent::Stop, Intent::Run] {
                intend(database, intent);
                assert_status(database, "r-a");
            }
            database.write(|tx| tx.lose_sight(&node(), "dark", at(70)));
            assert_status(database, "r-a");
            assert!(observe(database, "r-a", phase.clone(), 99));
            assert!(end(database, serial, done));
            assert_status(database, "r-a");
        }
    }
    begin(database, "r-a", 7);
    intend(database, Intent::Stop);
    assert!(end(database, serial + 1, true));
    assert_status(database, "r-a");
    intend(database, Intent::Run);
    begin(database, "r-a", 7);
    intend(database, Intent::Delete);
    assert_status(database, "r-a");
    assert!(end(database, serial + 2, true));
    assert_status(database, "r-a");
}

fn a_pending_restore_is_unsettled(database: &Database) {
    insert(database, vec![instance("r-a")]);
    let unsettled = || database.read(|tx| tx.unsettled(&node()));
    let seen = |phase, generation| assert!(observe(database, "r-a", phase, generation));
    seen(Phase::Normal, 1);
    assert_eq!(unsettled(), []);
    begin(database, "r-a", 7);
    seen(Phase::Normal, 2);
    assert_eq!(unsettled(), [(id("r-a"), 2)]);
    // What is stopped waits with it.
    intend(database, Intent::Stop);
    seen(Phase::Inactive, 3);
    assert_eq!(unsettled(), []);
    intend(database, Intent::Run);
    seen(Phase::Normal, 4);
    assert_eq!(unsettled(), [(id("r-a"), 4)]);
    assert!(end(database, 1, true));
    assert_eq!(unsettled(), []);
    let expected = Observed { phase: Phase::Normal, generation: 4, since: at(50) };
    assert_eq!(load(database, "r-a").observed, expected);
}

fn a_backup_that_a_restore_needs_is_in_use(database: &Database) {
    insert(database, vec![instance("r-a")]);
    let used = |number| database.read(move |tx| tx.backup_in_use(backup_id(number)));
    assert!(!used(7));
    begin(database, "r-a", 7);
    assert_eq!((used(7), used(8)), (true, false));
    intend(database, Intent::Stop);
    assert!(used(7));
    assert!(end(database, 1, false));
    assert!(!used(7));
    intend(database, Intent::Run);
    begin(database, "r-a", 8);
    assert!(used(8));
    intend(database, Intent::Delete);
    assert!(!used(8));
}

fn of_many_who_restore_at_once_one_does(database: &Database) {
    insert(database, vec![instance("r-a")]);
    let begun = database.race(8, |number, tx| {
        let number = i64::try_from(number).unwrap();
        tx.begin_restore(&id("r-a"), backup_id(number), at(40))
    });
    let mut begun: Vec<_> = begun.into_iter().map(Result::unwrap).collect();
    begun.sort();
    assert_eq!(begun, [None, None, None, None, None, None, None, Some(1)]);
    assert_eq!(load(database, "r-a").generation, 2);
}
