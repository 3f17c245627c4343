use ourkv_domain::event::{Event, EventKind};
use ourkv_domain::instance::{PasswordChange, Secrets, Stride};
use ourkv_domain::secret::Secret;

use crate::database::Database;
use crate::instance::load;
use crate::on_both;
use crate::sample::{at, id, instance, lay_ground, node, secrets};

on_both!(
    a_password_is_replaced_in_two_strides,
    a_change_that_was_followed_by_another_goes_no_further,
    one_that_is_refused_everywhere_does_not_come_back,
    where_there_was_none_there_is_no_former_one,
    former_passwords_are_bounded_and_go_with_their_instance,
    what_is_to_be_done_about_it_is_found,
);

fn insert(database: &Database, secrets: Secrets) {
    database.write(move |tx| {
        lay_ground(tx)?;
        tx.insert_instance(&instance("r-a"), &secrets)
    });
}

fn change(database: &Database, password: &'static str) -> Option<i64> {
    database.write(move |tx| tx.change_password(&id("r-a"), &password.into()))
}

fn added(database: &Database, serial: i64) -> bool {
    database.write(move |tx| tx.password_added(&id("r-a"), serial))
}

fn ended(database: &Database, serial: i64) -> bool {
    let (kind, detail) = (EventKind::PasswordReset, "of r-a".to_owned());
    let event = Event { instance: id("r-a"), at: at(30), kind, detail };
    database.write(move |tx| tx.end_password_change(&event.instance, serial, &event))
}

fn read(database: &Database) -> Secrets {
    database.read(|tx| tx.secrets(&id("r-a"))).unwrap()
}

/// The wanted password, and the change to it.
fn wanted(password: &str, serial: i64, stride: Stride, former: &[&str]) -> Secrets {
    let former = former.iter().map(|text| Secret::from(*text)).collect();
    let change = Some(PasswordChange { serial, stride, former });
    Secrets { password: Some(password.into()), change, ..secrets() }
}

fn before() -> &'static str {
    "tenant-Passw0rd"
}

fn a_password_is_replaced_in_two_strides(database: &Database) {
    insert(database, secrets());
    assert!(!added(database, 0) && !ended(database, 0), "there is no change");
    let generation = load(database, "r-a").generation;
    assert_eq!(change(database, "Second-1"), Some(1));
    assert_eq!(load(database, "r-a").generation, generation + 1);
    assert_eq!(read(database), wanted("Second-1", 1, Stride::Adding, &[before()]));
    assert!(!ended(database, 1), "the former one may still be good");
    assert!(added(database, 1) && !added(database, 1));
    assert_eq!(read(database), wanted("Second-1", 1, Stride::Dropping, &[]));
    assert!(ended(database, 1) && !ended(database, 1));
    let settled = Secrets { password: Some("Second-1".into()), ..secrets() };
    assert_eq!(read(database), settled);
    let journal = database.read(|tx| tx.events(&id("r-a"), 9));
    let kinds: Vec<_> = journal.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::PasswordReset]);
}

fn a_change_that_was_followed_by_another_goes_no_further(database: &Database) {
    insert(database, secrets());
    assert_eq!((change(database, "Second-1"), change(database, "Third-11")), (Some(1), Some(2)));
    assert_eq!(read(database), wanted("Third-11", 2, Stride::Adding, &["Second-1", before()]));
    assert!(!added(database, 1));
    assert!(added(database, 2));
    assert!(!ended(database, 1));
    assert!(ended(database, 2));
}

fn one_that_is_refused_everywhere_does_not_come_back(database: &Database) {
    insert(database, secrets());
    change(database, "Second-1");
    assert!(added(database, 1));
    assert_eq!(change(database, "Third-11"), Some(2));
    assert_eq!(read(database), wanted("Third-11", 2, Stride::Adding, &["Second-1"]));
}

fn where_there_was_none_there_is_no_former_one(database: &Database) {
    insert(database, Secrets { password: None, ..secrets() });
    assert_eq!(read(database).password, None);
    assert_eq!(change(database, "First-11"), Some(1));
    assert_eq!(read(database), wanted("First-11", 1, Stride::Adding, &[]));
}

fn former_passwords_are_bounded_and_go_with_their_instance(database: &Database) {
    insert(database, secrets());
    let accepted = (0..20).take_while(|_| change(database, "Second-1").is_some()).count();
    assert_eq!(accepted, 16);
    assert_eq!(read(database).known().count(), 17);
    assert!(database.write(|tx| tx.delete_instance(&id("r-a"))));
    assert_eq!(database.read(|tx| tx.secrets(&id("r-a"))), None);
    assert_eq!(change(database, "Second-1"), None);
}

fn what_is_to_be_done_about_it_is_found(database: &Database) {
    insert(database, secrets());
    let observed = ourkv_domain::instance::Observed {
        phase: ourkv_domain::instance::Phase::Normal,
        generation: 1,
        since: at(20),
    };
    assert!(database.write(move |tx| tx.record_observed(&id("r-a"), &observed)));
    assert_eq!(database.read(|tx| tx.unsettled(&node())), []);
    change(database, "Second-1");
    assert_eq!(database.read(|tx| tx.unsettled(&node())), [(id("r-a"), 2)]);
}
