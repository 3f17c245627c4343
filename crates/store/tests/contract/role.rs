use ourkv_domain::event::{Event, EventKind};
use ourkv_domain::instance::{
    Instance, Intent, Lead, Member, Observed, Phase, Role, Status, SwitchWish,
};
use ourkv_store::StoreError;

use crate::backup::backup_id;
use crate::database::Database;
use crate::instance::{assert_status, load, observe};
use crate::on_both;
use crate::sample::{at, id, instance, lay_ground, node, secrets};

on_both!(
    a_master_is_replaced_once_for_each_epoch,
    a_decision_has_its_line_in_the_journal_or_is_none,
    a_decision_can_be_later_than_the_next_but_never_earlier,
    a_switch_is_asked_for_once_and_of_what_is_normal,
    a_switch_is_pending_until_its_master_is_seen,
    a_switch_ends_with_a_decision_for_another,
    a_switch_that_is_given_up_leaves_the_roles,
    a_pending_switch_is_unsettled,
    only_the_latest_claim_holds_a_machine,
    of_many_who_claim_at_once_one_holds,
);

const FIRST: Lead = Lead { master: Member::First, epoch: 0 };

fn normal() -> Instance {
    let observed = Observed { phase: Phase::Normal, generation: 1, since: at(20) };
    Instance { observed, ..instance("r-a") }
}

fn insert(database: &Database, instance: Instance) {
    database.write(move |tx| {
        lay_ground(tx)?;
        tx.insert_instance(&instance, &secrets())
    });
}

fn event(kind: EventKind) -> Event {
    Event { instance: id("r-a"), at: at(30), kind, detail: "for a reason".into() }
}

fn take_over(database: &Database, known: i64, lead: Lead) -> bool {
    database.write(move |tx| tx.take_over(&id("r-a"), known, lead, &event(EventKind::FailedOver)))
}

fn ask(database: &Database) -> Option<Member> {
    database.write(|tx| tx.request_switch(&id("r-a"), at(40)))
}

fn shows(database: &Database, status: Status) {
    assert_eq!(load(database, "r-a").status(), Some(status));
    assert_status(database, "r-a");
}

fn journal(database: &Database) -> Vec<EventKind> {
    let events = database.read(|tx| tx.events(&id("r-a"), 99));
    events.into_iter().map(|event| event.kind).collect()
}

fn a_master_is_replaced_once_for_each_epoch(database: &Database) {
    insert(database, normal());
    let second = FIRST.passed_to(Member::Second);
    assert!(take_over(database, 0, second));
    assert!(!take_over(database, 0, second), "somebody else was first");
    assert_eq!(load(database, "r-a").role, Role { lead: second, switch: None });
    let back = second.passed_to(Member::First);
    assert!(take_over(database, 1, back));
    assert_eq!(load(database, "r-a").role.lead, back);
    assert_eq!(load(database, "r-a").generation, 1, "it is no change of what is wanted");
}

fn a_decision_has_its_line_in_the_journal_or_is_none(database: &Database) {
    insert(database, normal());
    take_over(database, 0, FIRST.passed_to(Member::Second));
    assert_eq!(journal(database), [EventKind::FailedOver]);
    take_over(database, 0, FIRST.passed_to(Member::Second));
    assert_eq!(journal(database), [EventKind::FailedOver]);
}

fn a_decision_can_be_later_than_the_next_but_never_earlier(database: &Database) {
    insert(database, normal());
    let fifth = Lead { master: Member::Second, epoch: 5 };
    assert!(take_over(database, 0, fifth));
    assert!(!take_over(database, 5, Lead { master: Member::First, epoch: 5 }));
    assert!(!take_over(database, 5, Lead { master: Member::First, epoch: 4 }));
    assert_eq!(load(database, "r-a").role.lead, fifth);
}

fn a_switch_is_asked_for_once_and_of_what_is_normal(database: &Database) {
    insert(database, instance("r-a"));
    assert_eq!(ask(database), None, "it is being created");
    observe(database, "r-a", Phase::Normal, 1);
    assert_eq!(ask(database), Some(Member::Second));
    assert_eq!(ask(database), None, "one is pending");
    let loaded = load(database, "r-a");
    let wish = SwitchWish { to: Member::Second, requested_at: at(40) };
    assert_eq!(loaded.role, Role { lead: FIRST, switch: Some(wish) });
    assert_eq!(loaded.generation, 2);
    shows(database, Status::HASwitching);
}

fn a_switch_is_pending_until_its_master_is_seen(database: &Database) {
    insert(database, normal());
    ask(database);
    let lead = FIRST.passed_to(Member::Second);
    assert!(take_over(database, 0, lead));
    let wish = SwitchWish { to: Member::Second, requested_at: at(40) };
    assert_eq!(load(database, "r-a").role, Role { lead, switch: Some(wish) });
    shows(database, Status::HASwitching);
    assert_eq!(ask(database), None, "one is pending");
    assert_eq!(database.read(|tx| tx.unsettled(&node())), [(id("r-a"), 2)]);
    assert!(database.write(|tx| tx.end_switch(&id("r-a"), Member::Second, None)));
    assert_eq!(load(database, "r-a").role, Role { lead, switch: None });
    assert_eq!(journal(database), [EventKind::FailedOver], "the decision's own line");
    shows(database, Status::Normal);
    assert_eq!(ask(database), Some(Member::First), "the other way round");
}

fn a_switch_ends_with_a_decision_for_another(database: &Database) {
    insert(database, normal());
    ask(database);
    let back = Lead { master: Member::First, epoch: 2 };
    assert!(take_over(database, 0, back));
    assert_eq!(load(database, "r-a").role, Role { lead: back, switch: None });
    shows(database, Status::Normal);
}

fn a_switch_that_is_given_up_leaves_the_roles(database: &Database) {
    insert(database, normal());
    ask(database);
    let end = |to| {
        let given_up = event(EventKind::SwitchGivenUp);
        database.write(move |tx| tx.end_switch(&id("r-a"), to, Some(&given_up)))
    };
    assert!(!end(Member::First), "nobody asked for that");
    assert!(end(Member::Second));
    assert!(!end(Member::Second));
    assert_eq!(load(database, "r-a").role, Role::default());
    assert_eq!(journal(database), [EventKind::SwitchGivenUp]);
    shows(database, Status::Normal);
}

fn a_pending_switch_is_unsettled(database: &Database) {
    insert(database, normal());
    let unsettled = || database.read(|tx| tx.unsettled(&node()));
    assert_eq!(unsettled(), []);
    ask(database);
    observe(database, "r-a", Phase::Normal, 2);
    assert_eq!(unsettled(), [(id("r-a"), 2)]);
    assert!(database.write(|tx| tx.set_intent(&id("r-a"), Intent::Stop)));
    shows(database, Status::Inactive);
    let begun = database.write(|tx| tx.begin_restore(&id("r-a"), backup_id(1), at(50)));
    assert_eq!(begun, None, "what should not run is not restored");
}

fn only_the_latest_claim_holds_a_machine(database: &Database) {
    insert(database, normal());
    let claim =
        |holder: &'static str| database.write(move |tx| tx.claim_node(&node(), holder, at(60)));
    let store = &database.store;
    let first = store.held_by(claim("one"));
    assert_eq!(first.write_blocking(|tx| tx.lose_sight(&node(), "a test", at(61))), Ok(1));
    let second = store.held_by(claim("two"));
    let late = first.write_blocking(|tx| tx.set_intent(&id("r-a"), Intent::Delete));
    assert_eq!(late, Err(StoreError::Superseded));
    let read = first.read_blocking(|tx| tx.instance(&id("r-a")));
    assert_eq!(read, Err(StoreError::Superseded), "it would act on what it reads");
    assert_eq!(load(database, "r-a").intent, Intent::Run);
    assert_eq!(second.write_blocking(|tx| tx.set_intent(&id("r-a"), Intent::Stop)), Ok(true));
}

fn of_many_who_claim_at_once_one_holds(database: &Database) {
    let leases = database.race(8, |number, tx| tx.claim_node(&node(), &number.to_string(), at(60)));
    let mut leases: Vec<_> = leases.into_iter().map(|lease| lease.unwrap()).collect();
    leases.sort_by_key(|lease| lease.epoch);
    let epochs: Vec<_> = leases.iter().map(|lease| lease.epoch).collect();
    assert_eq!(epochs, (1..=8).collect::<Vec<_>>());
    let last = leases.pop().unwrap();
    let holds = |lease| database.store.held_by(lease).read_blocking(|tx| tx.instance(&id("r-a")));
    assert_eq!(holds(last), Ok(None));
    for lease in leases {
        assert_eq!(holds(lease), Err(StoreError::Superseded));
    }
}
