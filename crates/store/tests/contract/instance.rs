use ourkv_domain::billing::Period;
use ourkv_domain::instance::{Charge, Instance, Intent, Observed, Phase, Status};
use ourkv_store::{Filter, StoreError};

use crate::database::Database;
use crate::on_both;
use crate::sample::{account_id, at, id, instance, lay_ground, node, prepaid, region, secrets};

on_both!(
    keeps_every_field,
    keeps_every_phase,
    removes_an_instance_with_its_secrets,
    a_name_is_changed_and_found,
    an_intent_raises_the_generation_once,
    nothing_undoes_a_deletion,
    the_status_follows_intent_and_phase,
    an_older_observation_is_refused,
    knows_who_is_unsettled,
    what_was_seen_of_a_node_can_be_taken_back,
    answers_names_in_any_case,
    counts_what_is_paid_by_the_hour,
    knows_whose_paid_time_ends,
    changes_the_charge,
);

fn insert(database: &Database, instances: Vec<Instance>) {
    database.write(move |tx| {
        lay_ground(tx)?;
        instances.iter().try_for_each(|instance| tx.insert_instance(instance, &secrets()))
    });
}

pub(crate) fn load(database: &Database, name: &'static str) -> Instance {
    database.read(move |tx| tx.instance(&id(name))).unwrap()
}

pub(crate) fn observe(
    database: &Database,
    name: &'static str,
    phase: Phase,
    generation: i64,
) -> bool {
    let observed = Observed { phase, generation, since: at(50) };
    database.write(move |tx| tx.record_observed(&id(name), &observed))
}

pub(crate) fn phases() -> [Phase; 5] {
    [
        Phase::Creating { trouble: None },
        Phase::Creating { trouble: Some("no memory".into()) },
        Phase::Normal,
        Phase::Unavailable { reason: "died".into() },
        Phase::Inactive,
    ]
}

fn keeps_every_field(database: &Database) {
    insert(database, vec![instance("r-a"), prepaid("m-b")]);
    assert_eq!(load(database, "r-a"), instance("r-a"));
    assert_eq!(database.write(|tx| tx.lock_instance(&id("m-b"))), Some(prepaid("m-b")));
    assert_eq!(database.read(|tx| tx.secrets(&id("r-a"))), Some(secrets()));
    let ids = database.read(|tx| tx.instance_ids_of_node(&node()));
    assert_eq!(ids, [id("m-b"), id("r-a")]);
    let twice =
        database.store.write_blocking(|tx| tx.insert_instance(&instance("r-a"), &secrets()));
    assert!(matches!(twice, Err(StoreError::Constraint { .. })), "{twice:?}");
}

fn keeps_every_phase(database: &Database) {
    insert(database, vec![instance("r-a")]);
    for phase in phases() {
        assert!(observe(database, "r-a", phase.clone(), 1));
        let expected = Observed { phase, generation: 1, since: at(50) };
        assert_eq!(load(database, "r-a").observed, expected);
    }
}

fn removes_an_instance_with_its_secrets(database: &Database) {
    insert(database, vec![instance("r-a")]);
    assert!(database.write(|tx| tx.delete_instance(&id("r-a"))));
    assert!(!database.write(|tx| tx.delete_instance(&id("r-a"))));
    assert_eq!(database.read(|tx| tx.instance(&id("r-a"))), None);
    assert_eq!(database.read(|tx| tx.secrets(&id("r-a"))), None);
}

fn a_name_is_changed_and_found(database: &Database) {
    insert(database, vec![instance("r-a")]);
    let name = ourkv_domain::instance::name::InstanceName::parse("Other-Name").unwrap();
    let given = name.clone();
    assert!(database.write(move |tx| tx.set_name(&id("r-a"), &given)));
    assert_eq!(load(database, "r-a").name, Some(name.clone()));
    let filter = ourkv_store::Filter { search: Some("other-n".into()), ..Default::default() };
    assert_eq!(database.read(move |tx| tx.instances(&filter, None)).len(), 1);
    assert!(!database.write(move |tx| tx.set_name(&id("r-b"), &name)));
}

fn an_intent_raises_the_generation_once(database: &Database) {
    insert(database, vec![instance("r-a")]);
    assert!(!database.write(|tx| tx.set_intent(&id("r-a"), Intent::Run)));
    assert!(database.write(|tx| tx.set_intent(&id("r-a"), Intent::Stop)));
    assert!(!database.write(|tx| tx.set_intent(&id("r-a"), Intent::Stop)));
    let loaded = load(database, "r-a");
    assert_eq!((loaded.intent, loaded.generation), (Intent::Stop, 2));
    assert!(!database.write(|tx| tx.set_intent(&id("r-b"), Intent::Stop)));
}

fn nothing_undoes_a_deletion(database: &Database) {
    insert(database, vec![instance("r-a")]);
    assert!(database.write(|tx| tx.set_intent(&id("r-a"), Intent::Delete)));
    assert!(!database.write(|tx| tx.set_intent(&id("r-a"), Intent::Run)));
    assert!(!database.write(|tx| tx.set_intent(&id("r-a"), Intent::Stop)));
    assert!(observe(database, "r-a", Phase::Normal, 2));
    assert_eq!(load(database, "r-a").intent, Intent::Delete);
    assert_eq!(database.read(|tx| tx.instances(&Filter::default(), None)), []);
    assert_eq!(database.read(|tx| tx.count_instances(&Filter::default())), 0);
}

/// The denormalised column is read through the filter, the truth is what the domain says.
pub(crate) fn assert_status(database: &Database, name: &'static str) {
    let truth = load(database, name).status();
    let found = |status: Status| {
        let filter = Filter { ids: vec![id(name)], status: Some(status), ..Filter::default() };
        database.read(move |tx| tx.count_instances(&filter)) == 1
    };
    for status in [
        Status::Creating,
        Status::Normal,
        Status::Unavailable,
        Status::Inactive,
        Status::Changing,
        Status::BackupRecovering,
        Status::HASwitching,
    ] {
        assert_eq!(found(status), truth == Some(status), "{status} of {truth:?}");
    }
}

fn the_status_follows_intent_and_phase(database: &Database) {
    insert(database, vec![instance("r-a")]);
    assert_status(database, "r-a");
    for intent in [Intent::Stop, Intent::Run] {
        for phase in phases() {
            // Once the phase is written last, once the intent.
            observe(database, "r-a", phase, 1);
            assert_status(database, "r-a");
            database.write(move |tx| tx.set_intent(&id("r-a"), intent));
            assert_status(database, "r-a");
            database.write(move |tx| tx.set_intent(&id("r-a"), Intent::Run));
            assert_status(database, "r-a");
        }
    }
    database.write(|tx| tx.set_intent(&id("r-a"), Intent::Delete));
    assert_status(database, "r-a");
}

fn an_older_observation_is_refused(database: &Database) {
    insert(database, vec![instance("r-a")]);
    assert!(observe(database, "r-a", Phase::Inactive, 3));
    assert!(!observe(database, "r-a", Phase::Normal, 2));
    assert!(observe(database, "r-a", Phase::Normal, 3));
    assert_eq!(load(database, "r-a").observed.phase, Phase::Normal);
    assert!(!observe(database, "r-b", Phase::Normal, 3));
}

fn knows_who_is_unsettled(database: &Database) {
    let names = ["r-creating", "r-normal", "r-stopping", "r-stopped", "r-deleting", "r-behind"];
    insert(database, names.map(instance).to_vec());
    for name in &names[1..] {
        assert!(observe(database, name, Phase::Normal, 1));
    }
    for name in ["r-stopping", "r-stopped"] {
        assert!(database.write(move |tx| tx.set_intent(&id(name), Intent::Stop)));
    }
    assert!(observe(database, "r-stopped", Phase::Inactive, 2));
    assert!(database.write(|tx| tx.set_intent(&id("r-deleting"), Intent::Delete)));
    for intent in [Intent::Stop, Intent::Run] {
        assert!(database.write(move |tx| tx.set_intent(&id("r-behind"), intent)));
    }
    let unsettled = database.read(|tx| tx.unsettled(&node()));
    assert_eq!(
        unsettled,
        [("r-behind", 3), ("r-creating", 1), ("r-deleting", 2), ("r-stopping", 2)]
            .map(|(name, generation)| (id(name), generation))
    );
    assert_eq!(database.read(|tx| tx.unsettled(&"node-b".parse().unwrap())), []);
}

fn what_was_seen_of_a_node_can_be_taken_back(database: &Database) {
    let mut elsewhere = instance("r-elsewhere");
    elsewhere.node = "node-b".parse().unwrap();
    insert(database, vec![instance("r-a"), instance("r-new"), instance("r-off"), elsewhere]);
    for (name, phase) in
        [("r-a", Phase::Normal), ("r-elsewhere", Phase::Normal), ("r-off", Phase::Inactive)]
    {
        assert!(observe(database, name, phase, 1));
    }
    let lost = database.write(|tx| tx.lose_sight(&node(), "dark", at(70)));
    assert_eq!(lost, 1);
    let unavailable = Phase::Unavailable { reason: "dark".into() };
    let seen = Observed { phase: unavailable, generation: 1, since: at(70) };
    assert_eq!(load(database, "r-a").observed, seen);
    assert_eq!(load(database, "r-elsewhere").observed.phase, Phase::Normal);
    assert_eq!(load(database, "r-off").observed.phase, Phase::Inactive);
    assert_eq!(load(database, "r-new").observed.phase, Phase::Creating { trouble: None });
    assert_status(database, "r-a");
    assert!(database.read(|tx| tx.unsettled(&node())).contains(&(id("r-a"), 1)));
}

fn answers_names_in_any_case(database: &Database) {
    let mut mixed = instance("r-a");
    mixed.endpoint.domain = "R-a.Redis.example".into();
    insert(database, vec![mixed]);
    let ask = || database.read(|tx| tx.serving_ip_of_domain("r-A.redis.EXAMPLE"));
    assert_eq!(ask(), Some([127, 20, 0, 1].into()));
    database.write(|tx| tx.set_intent(&id("r-a"), Intent::Delete));
    assert_eq!(ask(), None);
}

fn counts_what_is_paid_by_the_hour(database: &Database) {
    let mut elsewhere = instance("r-c");
    elsewhere.region = "cn-beijing".parse().unwrap();
    insert(database, vec![instance("r-a"), instance("r-b"), elsewhere, prepaid("m-d")]);
    database.write(|tx| tx.set_intent(&id("r-b"), Intent::Delete));
    assert_eq!(database.read(|tx| tx.count_postpaid(&account_id(), None)), 2);
    assert_eq!(database.read(|tx| tx.count_postpaid(&account_id(), Some(&region()))), 1);
    assert_eq!(database.read(|tx| tx.count_postpaid(&"2".parse().unwrap(), None)), 0);
    for gone in ["r-a", "r-b"] {
        assert!(database.write(move |tx| tx.delete_instance(&id(gone))));
    }
    assert_eq!(database.read(|tx| tx.count_postpaid(&account_id(), None)), 1);
}

fn knows_whose_paid_time_ends(database: &Database) {
    let ending = |name, end| Instance {
        charge: Charge::PrePaid { end: at(end), auto_renew: None },
        ..instance(name)
    };
    insert(
        database,
        vec![
            ending("r-late", 300),
            ending("r-soon", 100),
            ending("r-next", 200),
            ending("r-deleted", 50),
            instance("r-hourly"),
        ],
    );
    database.write(|tx| tx.set_intent(&id("r-deleted"), Intent::Delete));
    let found = database.read(|tx| tx.prepaid_ending_before(at(300)));
    let found: Vec<_> = found.into_iter().map(|instance| instance.id).collect();
    assert_eq!(found, [id("r-soon"), id("r-next")]);
}

fn changes_the_charge(database: &Database) {
    insert(database, vec![instance("r-a")]);
    let months = Period::parse("12").unwrap().months();
    let prepaid = Charge::PrePaid { end: at(9), auto_renew: Some(months) };
    for (charge, hourly) in [(prepaid, 0), (Charge::PostPaid, 1)] {
        let given = charge.clone();
        assert!(database.write(move |tx| tx.set_charge(&id("r-a"), &given)));
        assert_eq!(load(database, "r-a"), Instance { charge, ..instance("r-a") });
        assert_eq!(database.read(|tx| tx.count_postpaid(&account_id(), None)), hourly);
    }
}
