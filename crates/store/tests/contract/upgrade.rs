//! Databases that an earlier version filled.

use jiff::{SignedDuration, Timestamp};
use ourkv_domain::backup::BackupPolicy;
use ourkv_domain::instance::{Instance, Intent, Observed, Phase};
use ourkv_domain::security::Whitelist;
use ourkv_store::{Location, Store};
use refinery::{Migration, Runner};

use crate::backup::{backup_id, queued};
use crate::database::{Database, sealer};
use crate::on_both;
use crate::sample::{account_id, at, id, instance, node};

on_both!(what_version_1_remembered_is_still_there);

const V1: &str = include_str!("../../migrations/V1__init.sql");

/// A place with a database of version 1 and some instances in it.
fn filled(database: &Database) -> Location {
    let runner = Runner::new(&[Migration::unapplied("V1__init", V1).unwrap()]);
    match &database.location {
        Location::Sqlite(path) => {
            let path = path.with_file_name("version-1.db");
            let mut connection = rusqlite::Connection::open(&path).unwrap();
            runner.run(&mut connection).unwrap();
            connection.execute_batch(&rows()).unwrap();
            Location::Sqlite(path)
        }
        Location::Postgres(_) => {
            let Location::Postgres(url) = Database::fresh_postgres() else { unreachable!() };
            let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
            runner.run(&mut client).unwrap();
            client.batch_execute(&rows()).unwrap();
            Location::Postgres(url)
        }
    }
}

fn remembered() -> [Instance; 4] {
    let normal = Observed { phase: Phase::Normal, generation: 1, since: at(50) };
    let stopped = Observed { phase: Phase::Inactive, generation: 1, since: at(50) };
    let mut memcache = instance("m-memcache");
    memcache.spec.instance_type = ourkv_domain::instance::InstanceType::Memcache;
    [
        Instance { observed: normal.clone(), ..instance("r-normal") },
        Instance { observed: stopped, intent: Intent::Stop, ..instance("r-stopped") },
        Instance { intent: Intent::Delete, ..instance("r-deleted") },
        Instance { observed: normal, ..memcache },
    ]
}

fn rows() -> String {
    let account = format!(
        "INSERT INTO accounts VALUES ('{}', 'root', 0, 1, 0, 1, 30, 10, NULL, 0);",
        account_id()
    );
    remembered().iter().fold(account, |sql, instance| sql + &row(instance))
}

fn row(instance: &Instance) -> String {
    let Instance { id, account, node, nonce, region, zone, spec, endpoint, .. } = instance;
    let phase = match instance.observed.phase {
        Phase::Normal => "Normal",
        Phase::Inactive => "Inactive",
        _ => "Creating",
    };
    let status = match instance.status() {
        Some(status) => format!("'{status}'"),
        None => "NULL".into(),
    };
    format!(
        "INSERT INTO instances VALUES ('{id}', '{account}', '{node}', '{nonce}', {}, NULL, NULL, \
         '{region}', '{zone}', '{}', '{}', '{}', '{}', {}, {}, {}, {}, 'CLASSIC', NULL, NULL, \
         {}, {}, {}, '{}', '{}', 'PostPaid', NULL, NULL, '{}', {}, '{phase}', NULL, {}, {}, \
         {status});",
        instance.created_at.as_millisecond(),
        spec.class,
        spec.instance_type,
        spec.node_type,
        spec.version,
        spec.capacity_mb,
        spec.bandwidth_mbps,
        spec.connections,
        spec.qps,
        u32::from(endpoint.private_ip),
        u32::from(endpoint.serving_ip),
        endpoint.port,
        endpoint.domain,
        instance.parameters.to_stored(),
        instance.intent,
        instance.generation,
        instance.observed.generation,
        instance.observed.since.as_millisecond(),
    )
}

fn what_version_1_remembered_is_still_there(database: &Database) {
    let location = filled(database);
    let store = Store::open(&location, sealer(7)).unwrap();
    for instance in remembered() {
        let key = instance.id.clone();
        let of = key.clone();
        let whitelist = store.read_blocking(move |tx| tx.whitelist(&of));
        assert_eq!(whitelist, Ok(Whitelist::default()));
        assert_eq!(store.read_blocking(move |tx| tx.instance(&key)), Ok(Some(instance)));
    }
    schedules_are_reckoned_first(&store);
    let unsettled = || store.read_blocking(|tx| tx.unsettled(&node())).unwrap();
    assert_eq!(unsettled(), [(id("r-deleted"), 1)]);
    let begun = store.write_blocking(|tx| {
        tx.insert_backup(&queued(1))?;
        tx.begin_restore(&id("r-normal"), backup_id(1), at(60))
    });
    assert_eq!(begun, Ok(Some(1)));
    assert_eq!(unsettled(), [(id("r-deleted"), 1), (id("r-normal"), 2)]);
    // A second start finds nothing to do.
    drop(store);
    let again = Store::open(&location, sealer(7)).unwrap();
    let restored = again.read_blocking(|tx| tx.instance(&id("r-normal"))).unwrap().unwrap();
    assert_eq!((restored.dataset, restored.restore.unwrap().serial), (0, 1));
}

/// Nobody's first backup is due at once, which would be everybody's.
fn schedules_are_reckoned_first(store: &Store) {
    let policy =
        |name: &'static str| store.read_blocking(move |tx| tx.backup_policy(&id(name))).unwrap();
    let scheduled = policy("r-normal").unwrap();
    assert_eq!(scheduled.policy, BackupPolicy::default());
    let in_a_century = at(0) + SignedDuration::from_hours(24 * 36_525);
    assert!(scheduled.next_at > in_a_century);
    assert_eq!(policy("m-memcache"), None);
    let due = |now: Timestamp| store.read_blocking(move |tx| tx.policies_due(&node(), now, 9));
    assert_eq!(due(at(60)), Ok(vec![id("r-normal"), id("r-stopped")]));
}
