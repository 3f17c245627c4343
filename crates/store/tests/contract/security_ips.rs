use std::net::Ipv4Addr;

use ourkv_domain::instance::{Instance, Spec};
use ourkv_domain::security::{Change, Mode, Whitelist};
use ourkv_store::{Guarded, StoreError};

use crate::database::Database;
use crate::on_both;
use crate::sample::{id, instance, lay_ground, node, secrets};

on_both!(
    an_instance_begins_with_the_default_group,
    keeps_groups_with_their_spelling,
    a_whitelist_takes_the_place_of_the_one_before,
    a_whitelist_goes_with_its_instance,
    a_whitelist_without_an_instance_is_refused,
    knows_the_whitelists_of_a_machine,
    knows_what_a_machine_serves_outside_of_a_block,
);

fn at(ip: [u8; 4], name: &str) -> Instance {
    let mut instance = instance(name);
    instance.endpoint.serving_ip = ip.into();
    instance
}

fn insert(database: &Database, instances: Vec<Instance>) {
    database.write(move |tx| {
        lay_ground(tx)?;
        instances.iter().try_for_each(|instance| tx.insert_instance(instance, &secrets()))
    });
}

fn whitelist(groups: &[(&str, &str, &str)]) -> Whitelist {
    let mut whitelist = Whitelist::default();
    for (group, attribute, list) in groups {
        let change = Change {
            group: group.parse().unwrap(),
            attribute: Some(attribute.parse().unwrap()),
            mode: Mode::Cover,
            list: list.parse().unwrap(),
        };
        whitelist.change(change).unwrap();
    }
    whitelist
}

fn save(database: &Database, name: &'static str, whitelist: &Whitelist) {
    let whitelist = whitelist.clone();
    database.write(move |tx| tx.save_whitelist(&id(name), &whitelist));
}

fn load(database: &Database, name: &'static str) -> Whitelist {
    database.read(move |tx| tx.whitelist(&id(name)))
}

/// What is compared: equal entries may be written in different ways.
fn shown(whitelist: &Whitelist) -> Vec<(String, String, String)> {
    let groups = whitelist.groups();
    groups.map(|(n, g)| (n.to_string(), g.attribute.to_string(), g.list.to_string())).collect()
}

fn an_instance_begins_with_the_default_group(database: &Database) {
    insert(database, vec![instance("r-a")]);
    assert_eq!(load(database, "r-a"), Whitelist::default());
    assert!(database.read(|tx| tx.whitelists_of_node(&node())).is_empty());
}

fn keeps_groups_with_their_spelling(database: &Database) {
    insert(database, vec![instance("r-a")]);
    let kept = whitelist(&[
        ("default", "", "10.1.2.3/8,10.0.0.9"),
        ("own", "hidden", "0.0.0.0/0,1.1.1.1/32"),
    ]);
    save(database, "r-a", &kept);
    assert_eq!(shown(&load(database, "r-a")), shown(&kept));
}

fn a_whitelist_takes_the_place_of_the_one_before(database: &Database) {
    insert(database, vec![instance("r-a"), at([127, 20, 0, 2], "r-b")]);
    save(database, "r-b", &whitelist(&[("own", "", "9.9.9.9")]));
    for groups in [&[("own", "", "1.1.1.1")][..], &[("default", "", "2.2.2.2")], &[]] {
        save(database, "r-a", &whitelist(groups));
        assert_eq!(load(database, "r-a"), whitelist(groups));
    }
    assert_eq!(load(database, "r-b"), whitelist(&[("own", "", "9.9.9.9")]));
}

fn a_whitelist_goes_with_its_instance(database: &Database) {
    insert(database, vec![instance("r-a")]);
    save(database, "r-a", &whitelist(&[("own", "", "1.1.1.1")]));
    assert!(database.write(|tx| tx.delete_instance(&id("r-a"))));
    assert_eq!(load(database, "r-a"), Whitelist::default());
    assert!(database.read(|tx| tx.whitelists_of_node(&node())).is_empty());
}

fn a_whitelist_without_an_instance_is_refused(database: &Database) {
    let refused =
        database.store.write_blocking(|tx| tx.save_whitelist(&id("r-a"), &Whitelist::default()));
    assert!(matches!(refused, Err(StoreError::Constraint { .. })), "{refused:?}");
}

fn knows_the_whitelists_of_a_machine(database: &Database) {
    let mut elsewhere = at([127, 20, 0, 9], "r-elsewhere");
    elsewhere.node = "node-b".parse().unwrap();
    let here = [at([127, 20, 0, 1], "r-a"), at([127, 20, 0, 2], "r-b"), elsewhere];
    insert(database, here.into());
    let groups = [("default", "", "10.0.0.1"), ("own", "", "10.0.0.2")];
    save(database, "r-b", &whitelist(&groups));
    save(database, "r-elsewhere", &whitelist(&[("own", "", "9.9.9.9")]));
    let found = database.read(|tx| tx.whitelists_of_node(&node()));
    let Spec { node_type, version, .. } = instance("r-b").spec;
    let guarded = Guarded { node_type, version, whitelist: whitelist(&groups) };
    let expected = [(Ipv4Addr::new(127, 20, 0, 2), guarded)];
    assert_eq!(found, expected.into());
}

fn knows_what_a_machine_serves_outside_of_a_block(database: &Database) {
    let mut elsewhere = at([10, 0, 0, 9], "r-elsewhere");
    elsewhere.node = "node-b".parse().unwrap();
    let mut here = vec![elsewhere];
    for (number, ip) in [
        [127, 20, 0, 0],
        [127, 20, 255, 255],
        [127, 19, 255, 255],
        [127, 21, 0, 0],
        [172, 16, 0, 1],
    ]
    .into_iter()
    .enumerate()
    {
        here.push(at(ip, &format!("r-{number}")));
    }
    insert(database, here);
    let found = database
        .read(|tx| tx.served_outside(&node(), [127, 20, 0, 0].into(), [127, 20, 255, 255].into()));
    let expected = [[127, 19, 255, 255], [127, 21, 0, 0], [172, 16, 0, 1]].map(Ipv4Addr::from);
    assert_eq!(found, expected);
}
