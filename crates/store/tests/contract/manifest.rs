use ourkv_domain::backup::BackupPolicy;
use ourkv_domain::billing::Money;
use ourkv_domain::event::{Event, EventKind};
use ourkv_domain::instance::{Intent, Lead, Member, Observed, Phase, Status};
use ourkv_domain::secret::Secret;
use ourkv_store::{Agreement, Manifest, ManifestError, Meter, Store, StoreError, Tx};

use crate::database::{Database, sealer};
use crate::on_both;
use crate::sample::{
    access_key, account, account_id, at, id, instance, lay_ground, node, prepaid, secrets, vpc,
    vswitch, zone,
};

on_both!(
    an_instance_is_put_back_with_all_that_belongs_to_it,
    what_is_known_stays_as_it_is,
    what_something_else_has_is_not_put_back,
    a_manifest_is_new_when_what_it_tells_is,
    an_earlier_store_and_an_altered_one_are_told,
    a_meter_begins_anew_and_charges_nothing_twice,
    every_table_is_in_a_manifest_or_lost_on_purpose,
);

/// What a store does not get back from manifests.
const LOST: [&str; 10] = [
    "audit",
    "coupons",
    "events",
    "ledger",
    "living_postpaid",
    "nodes",
    "nonces",
    "orders",
    "settings",
    "tokens",
];

type Change = fn(&mut Tx<'_>) -> Result<(), StoreError>;

fn furnish(database: &Database) {
    database.write(|tx| {
        lay_ground(tx)?;
        tx.insert_access_key(&access_key())?;
        tx.ensure_pool("classic", [10, 0, 0, 1].into(), [10, 0, 0, 9].into())?;
        assert!(tx.reserve_capacity(&zone(), 1024)?);
        tx.insert_instance(&instance("r-a"), &secrets())?;
        tx.take_exact("classic", [10, 0, 0, 1].into(), &id("r-a"))?.unwrap();
        tx.save_backup_policy(&id("r-a"), &BackupPolicy::default(), at(99))?;
        tx.open_meter(&Meter {
            instance: id("r-a"),
            account: account_id(),
            opened: at(10),
            metered_until: at(10),
            hourly_price: Money::from_micros(7),
            closed: None,
        })?;
        tx.insert_instance(&prepaid("m-a"), &secrets())
    });
    normal(database);
}

fn normal(database: &Database) {
    let observed = Observed { phase: Phase::Normal, generation: 1, since: at(20) };
    assert!(database.write(move |tx| tx.record_observed(&id("r-a"), &observed)));
}

fn manifest(database: &Database, name: &'static str) -> Manifest {
    database.read(move |tx| tx.manifest(&id(name), at(50))).unwrap()
}

/// The same kind of database, and nothing in it.
fn empty_like(database: &Database) -> Database {
    if database.path().is_some() { Database::sqlite() } else { Database::postgres() }
}

fn remember(database: &Database, manifest: Manifest) -> bool {
    database.write(move |tx| tx.remember(&manifest, at(60)))
}

fn an_instance_is_put_back_with_all_that_belongs_to_it(database: &Database) {
    furnish(database);
    let other = empty_like(database);
    for name in ["r-a", "m-a"] {
        let text = manifest(database, name).text().to_vec();
        let read = other.store.open_manifest(&text).unwrap();
        assert!(remember(&other, read));
    }
    let lost = other.write(|tx| tx.unsee(&node(), at(61)));
    assert_eq!(lost, 1);
    other.read(|tx| {
        let back = tx.instance(&id("r-a"))?.unwrap();
        assert_eq!(back.status(), Some(Status::Unavailable));
        assert_eq!(back.spec, instance("r-a").spec);
        assert_eq!(back.endpoint, instance("r-a").endpoint);
        assert_eq!(tx.instance(&id("m-a"))?.unwrap(), prepaid("m-a"));
        assert_eq!(tx.secrets(&id("r-a"))?, Some(secrets()));
        assert_eq!(tx.accounts()?, [account()]);
        assert_eq!(tx.access_keys()?, [access_key()]);
        assert_eq!(tx.vpcs(None)?, [vpc()]);
        assert_eq!(tx.vswitches(None)?, [vswitch()]);
        assert_eq!(tx.zone_state(&zone())?.used_mb, 2048);
        assert_eq!(tx.count_postpaid(&account_id(), None)?, 1);
        assert_eq!(tx.addresses_used("classic")?, 1);
        assert_eq!(tx.backup_policy(&id("r-a"))?.unwrap().policy, BackupPolicy::default());
        Ok(())
    });
    let next = other.write(|tx| tx.take_next("classic", &id("r-b")));
    assert_eq!(next, Some([10, 0, 0, 2].into()));
}

fn what_is_known_stays_as_it_is(database: &Database) {
    furnish(database);
    let before = manifest(database, "r-a");
    assert!(!remember(database, before));
    assert_eq!(database.read(|tx| tx.zone_state(&zone())).used_mb, 1024);
    let status = database.read(|tx| tx.instance(&id("r-a"))).unwrap().status();
    assert_eq!(status, Some(Status::Normal));
}

fn what_something_else_has_is_not_put_back(database: &Database) {
    furnish(database);
    let wanted = manifest(database, "r-a");
    let other = empty_like(database);
    other.write(|tx| {
        lay_ground(tx)?;
        tx.take_exact("classic", [10, 0, 0, 1].into(), &id("r-z")).map(Result::unwrap)
    });
    other.store.write_blocking(move |tx| tx.remember(&wanted, at(60))).unwrap_err();
    assert_eq!(other.read(|tx| tx.instance(&id("r-a"))), None);
    assert_eq!(other.read(|tx| tx.zone_state(&zone())).used_mb, 0);
}

fn a_manifest_is_new_when_what_it_tells_is(database: &Database) {
    furnish(database);
    let mut gists = vec![manifest(database, "r-a").gist()];
    let changes: [Change; 3] = [
        |tx| tx.set_intent(&id("r-a"), Intent::Stop).map(|_| ()),
        |tx| tx.change_password(&id("r-a"), &Secret::from("An0ther-one")).map(|_| ()),
        |tx| tx.delete_access_key(&access_key().id).map(|_| ()),
    ];
    for change in changes {
        database.write(change);
        let gist = manifest(database, "r-a").gist();
        assert!(!gists.contains(&gist));
        gists.push(gist);
    }
    // What changes by itself is no reason to write.
    database.write(|tx| {
        tx.change_balance(&account_id(), Money::from_micros(-1), at(70))?;
        tx.charge_hours(&id("r-a"), at(9_000))
    });
    let observed = Observed {
        phase: Phase::Unavailable { reason: "it ended".into() },
        generation: 2,
        since: at(80),
    };
    database.write(move |tx| tx.record_observed(&id("r-a"), &observed));
    assert_eq!(Some(&manifest(database, "r-a").gist()), gists.last());
}

fn an_earlier_store_and_an_altered_one_are_told(database: &Database) {
    furnish(database);
    let early = manifest(database, "r-a");
    let compare = |manifest: &Manifest| {
        let manifest = manifest.clone();
        database.read(move |tx| tx.compare(&manifest))
    };
    assert_eq!(compare(&early), Agreement::Agrees);
    let lead = Lead { master: Member::Second, epoch: 1 };
    let event = Event {
        instance: id("r-a"),
        at: at(30),
        kind: EventKind::FailedOver,
        detail: String::new(),
    };
    assert!(database.write(move |tx| tx.take_over(&id("r-a"), 0, lead, &event)));
    let late = manifest(database, "r-a");
    assert!(late.is_later_than(&early) && !early.is_later_than(&late));
    assert_eq!(compare(&early), Agreement::Agrees);
    database.tamper("UPDATE instances SET epoch = 0, master = 'first' WHERE id = 'r-a'");
    assert_eq!(compare(&late), Agreement::Older);
    database.tamper("UPDATE instances SET serving_ip = serving_ip + 1 WHERE id = 'r-a'");
    assert_eq!(compare(&early), Agreement::Altered(vec!["serving_ip"]));
    database.tamper("DELETE FROM instance_secrets WHERE instance = 'r-a'");
    database.tamper("DELETE FROM backup_policies WHERE instance = 'r-a'");
    database.tamper("DELETE FROM instances WHERE id = 'r-a'");
    assert_eq!(compare(&early), Agreement::Unknown);
}

fn a_meter_begins_anew_and_charges_nothing_twice(database: &Database) {
    furnish(database);
    database.write(|tx| tx.charge_hours(&id("r-a"), at(4_000)));
    let other = empty_like(database);
    let manifest = manifest(database, "r-a");
    other.write(move |tx| tx.remember(&manifest, at(5_000)));
    assert_eq!(other.write(|tx| tx.charge_hours(&id("r-a"), at(5_001))), 0);
    assert_eq!(other.write(|tx| tx.charge_hours(&id("r-a"), at(5_000 + 3_600))), 1);
    assert_eq!(other.read(|tx| tx.ledger(&id("r-a")))[0].from, at(5_000));
}

fn every_table_is_in_a_manifest_or_lost_on_purpose(database: &Database) {
    furnish(database);
    let text = manifest(database, "r-a").text().to_vec();
    let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let kept = text["manifest"]["rows"].as_object().unwrap();
    for table in database.tables() {
        let is_ours = !matches!(table.as_str(), "refinery_schema_history" | "seals");
        let known = kept.contains_key(&table) || LOST.contains(&table.as_str());
        assert!(known || !is_ours, "say in src/part.rs or here what becomes of {table}");
    }
}

#[test]
fn only_a_whole_manifest_with_the_right_signature_is_believed() {
    let database = Database::sqlite();
    furnish(&database);
    let text = manifest(&database, "r-a").text().to_vec();
    assert!(database.store.open_manifest(&text).is_ok());
    // But for the line's end, nothing may be missing.
    for length in 0..text.len() - 1 {
        let cut = database.store.open_manifest(&text[..length]);
        assert_eq!(cut.err(), Some(ManifestError::Torn), "cut at {length}");
    }
    for at in 0..text.len() - 1 {
        let mut changed = text.clone();
        changed[at] ^= 1;
        assert!(database.store.open_manifest(&changed).is_err(), "byte {at}");
    }
    let directory = tempfile::tempdir().unwrap();
    let location = ourkv_store::Location::Sqlite(directory.path().join("other.db"));
    let other = Store::open(&location, sealer(8)).unwrap();
    assert_eq!(other.open_manifest(&text).err(), Some(ManifestError::Forged));
}

#[test]
fn a_manifest_shows_no_secret() {
    let database = Database::sqlite();
    furnish(&database);
    let text = String::from_utf8(manifest(&database, "r-a").text().to_vec()).unwrap();
    for secret in ["tenant-Passw0rd", "admin-secret-text", "replication-secret", "a-very-secret"] {
        assert!(!text.contains(secret), "{secret}");
    }
}
