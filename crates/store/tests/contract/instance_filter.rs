use ourkv_domain::instance::{
    ChargeType, EngineVersion, InstanceType, NetworkType, NodeType, Status,
};
use ourkv_store::{Filter, Page};

use crate::database::Database;
use crate::on_both;
use crate::sample::{
    account_id, at, id, instance, lay_ground, prepaid, region, secrets, vpc, vswitch, zone,
};

on_both!(
    each_filter_lets_the_right_ones_through,
    filters_combine,
    searches_part_of_id_or_name_literally,
    what_is_paid_afterwards_never_expires,
    pages_do_not_overlap,
);

/// `r-a` is hourly paid on the classic network, `m-b` prepaid on a VPC.
fn insert_two(database: &Database) {
    database.write(|tx| {
        lay_ground(tx)?;
        let mut first = instance("r-a");
        first.created_at = at(11);
        tx.insert_instance(&first, &secrets())?;
        tx.insert_instance(&prepaid("m-b"), &secrets())
    });
}

fn find(database: &Database, filter: Filter) -> Vec<String> {
    let counted = filter.clone();
    let found = database.read(move |tx| tx.instances(&filter, None));
    let count = database.read(move |tx| tx.count_instances(&counted));
    assert_eq!(i64::try_from(found.len()).unwrap(), count);
    found.into_iter().map(|instance| instance.id.to_string()).collect()
}

/// Checks which instances a filter with one field set lets through.
macro_rules! finds {
    ($database:expr, $($field:ident: $value:expr => $expected:expr;)+) => {$({
        let filter = Filter { $field: $value, ..Filter::default() };
        let expected: &[&str] = &$expected;
        assert_eq!(find($database, filter.clone()), expected, "{filter:?}");
    })+};
}

fn each_filter_lets_the_right_ones_through(database: &Database) {
    insert_two(database);
    finds! { database,
        account: Some(account_id()) => ["r-a", "m-b"];
        account: Some("2".parse().unwrap()) => [];
        region: Some(region()) => ["r-a", "m-b"];
        region: Some("cn-beijing".parse().unwrap()) => [];
        ids: vec![] => ["r-a", "m-b"];
        ids: vec![id("m-b"), id("x")] => ["m-b"];
        ids: vec![id("x")] => [];
        status: Some(Status::Creating) => ["r-a", "m-b"];
        status: Some(Status::Normal) => [];
        charge: Some(ChargeType::PrePaid) => ["m-b"];
        network: Some(NetworkType::Classic) => ["r-a"];
        version: Some(EngineVersion::V2_8) => ["m-b"];
        class: Some("redis.master.small.default".into()) => ["r-a"];
        instance_type: Some(InstanceType::Memcache) => ["m-b"];
        node_type: Some(NodeType::MasterSlave) => ["r-a"];
        vpc: Some(vpc().id) => ["m-b"];
        vswitch: Some(vswitch().id) => ["m-b"];
        zone: Some(zone()) => ["r-a", "m-b"];
        zone: Some("cn-hongkong-c".parse().unwrap()) => [];
        private_ip: Some([10, 0, 0, 1].into()) => ["r-a"];
    }
}

fn filters_combine(database: &Database) {
    insert_two(database);
    let filter = Filter {
        account: Some(account_id()),
        region: Some(region()),
        ids: vec![id("r-a"), id("m-b")],
        charge: Some(ChargeType::PrePaid),
        search: Some("M-".into()),
        expired: Some((false, at(0))),
        ..Filter::default()
    };
    assert_eq!(find(database, filter.clone()), ["m-b"]);
    let page = Some(Page { number: 1, size: 1 });
    assert_eq!(database.read(move |tx| tx.instances(&filter, page)).len(), 1);
}

fn searches_part_of_id_or_name_literally(database: &Database) {
    insert_two(database);
    let search =
        |text: &str| find(database, Filter { search: Some(text.into()), ..Filter::default() });
    assert_eq!(search("R-A"), ["r-a"]);
    assert_eq!(search("aB_100%测"), ["m-b"]);
    assert_eq!(search("_100"), ["m-b"]);
    for nowhere in ["%-", "a_1__", "!", "b\nAb", "' OR 1=1 --", "\0"] {
        assert_eq!(search(nowhere), Vec::<String>::new(), "{nowhere:?}");
    }
}

fn what_is_paid_afterwards_never_expires(database: &Database) {
    insert_two(database);
    let expired = |expired, now| {
        find(database, Filter { expired: Some((expired, at(now))), ..Filter::default() })
    };
    assert_eq!(expired(true, 999), Vec::<String>::new());
    assert_eq!(expired(true, 1000), ["m-b"]);
    assert_eq!(expired(false, 999), ["r-a", "m-b"]);
    assert_eq!(expired(false, 1000), ["r-a"]);
}

fn pages_do_not_overlap(database: &Database) {
    database.write(|tx| {
        lay_ground(tx)?;
        (10..17).try_for_each(|number| {
            tx.insert_instance(&instance(&format!("r-{number}")), &secrets())
        })
    });
    let page = |number, size| {
        let page = Some(Page { number, size });
        let found = database.read(move |tx| tx.instances(&Filter::default(), page));
        found.into_iter().map(|instance| instance.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(page(1, 3), ["r-10", "r-11", "r-12"]);
    assert_eq!(page(2, 3), ["r-13", "r-14", "r-15"]);
    assert_eq!(page(3, 3), ["r-16"]);
    assert_eq!(page(4, 3), Vec::<String>::new());
    assert_eq!(page(i64::MAX, i64::MAX), Vec::<String>::new());
}
