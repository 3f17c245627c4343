//! When backups are taken and how long they stay: policies, schedules, retention, last backups.

use jiff::Timestamp;
use ourkv_domain::ids::InstanceId;
use ourkv_store::StoreError;
use rstest::rstest;
use serde_json::Value;

use crate::common::{Ourkv, PASSWORD};
use crate::shelf::{backup_id, one, text};
use crate::tenant::{content, fill, id, login};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");

/// Makes a backup one whose time is over.
fn expire(server: &Ourkv, backup: &str) {
    server.rewrite_taken(backup, |taken| taken.expires = taken.ended);
}

#[test]
fn an_instance_begins_with_a_daily_policy_that_can_be_changed() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    let policy = || {
        server.client().call("DescribeBackupPolicy", &[("InstanceId", id(&created))]).expect_ok()
    };
    assert_eq!(policy()["BackupRetentionPeriod"], "7");
    let days = policy()["PreferredBackupPeriod"].as_str().unwrap().split(',').count();
    assert_eq!(days, 7);
    let modify = |more: &[(&str, &str)]| {
        let base = [
            ("InstanceId", id(&created)),
            ("PreferredBackupTime", "03:00Z-04:00Z"),
            ("PreferredBackupPeriod", "Monday,Sunday"),
        ];
        server.client().call("ModifyBackupPolicy", &crate::common::with(&base, more))
    };
    modify(&[("BackupRetentionPeriod", "30")]).expect_ok();
    let changed = policy();
    for (field, value) in [
        ("PreferredBackupTime", "03:00Z-04:00Z"),
        ("PreferredBackupPeriod", "Monday,Sunday"),
        ("BackupRetentionPeriod", "30"),
    ] {
        assert_eq!(changed[field], value, "{changed}");
    }
    let next = changed["PreferredNextBackupTime"].as_str().unwrap();
    assert!(next.contains("T03:") || next.contains("T04:00Z"), "{next}");
    for (field, value, code) in [
        ("PreferredBackupTime", "3-4", "InvalidPreferredBackupTime.Malformed"),
        ("PreferredBackupTime", "25:00Z-26:00Z", "InvalidPreferredBackupTime.Malformed"),
        ("PreferredBackupPeriod", "Someday", "InvalidPreferredBackupPeriod.Malformed"),
        ("BackupRetentionPeriod", "6", "InvalidBackupRetentionPeriod.Malformed"),
        ("BackupRetentionPeriod", "731", "InvalidBackupRetentionPeriod.Malformed"),
    ] {
        assert_eq!(modify(&[(field, value)]).refusal().1, code, "{field} {value}");
    }
    let mut kept = policy();
    kept["RequestId"] = changed["RequestId"].clone();
    assert_eq!(kept, changed);
}

/// Moves the next backup of a schedule to the past, as a server that was off would find it.
fn make_due(server: &Ourkv, instance: &str) {
    let instance = InstanceId::parse(instance).unwrap();
    let due = Timestamp::from_second(1_600_000_000).unwrap();
    let work = move |tx: &mut ourkv_store::Tx<'_>| {
        let scheduled = tx.backup_policy(&instance)?.unwrap();
        tx.save_backup_policy(&instance, &scheduled.policy, due)
    };
    server.store().write_blocking::<_, StoreError>(work).unwrap();
}

#[test]
fn a_schedule_that_is_due_takes_one_backup_of_its_own() {
    let mut server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    let next = |server: &Ourkv| {
        let params = [("InstanceId", id(&created))];
        let policy = server.client().call("DescribeBackupPolicy", &params).expect_ok();
        policy["PreferredNextBackupTime"].as_str().unwrap().to_owned()
    };
    let before = next(&server);
    for taken in 1..=2 {
        make_due(&server, id(&created));
        // Jobs run first thing.
        server.restart(&[]);
        server.until("the schedule takes one", |server| {
            server.backups(id(&created)).len() == taken && server.is_idle(id(&created))
        });
    }
    for backup in server.backups(id(&created)) {
        assert_eq!(
            (&backup["BackupMode"], &backup["BackupStatus"]),
            (&"Automated".into(), &"Success".into())
        );
    }
    assert_eq!(next(&server), before);
}

#[test]
fn what_expired_goes_but_the_last_good_one_of_a_live_instance() {
    let unfinal = [("OURKV_BACKUP_FINAL", "false")];
    let mut server = Ourkv::start_with(&[], &unfinal);
    let created = server.normal(&[STANDALONE]);
    let [first, second] = [(); 2].map(|()| backup_id(&server.back_up(id(&created))));
    for backup in [&first, &second] {
        // One that is proven stays until a later one is.
        server.proven(backup);
        expire(&server, backup);
    }
    // Jobs run first thing.
    server.restart(&unfinal);
    server.until("the older one goes", |server| server.backups(id(&created)).len() == 1);
    let left = one(server.backups(id(&created)));
    assert_eq!(backup_id(&left), second);
    server.until_tidy("after an expiry");
    server.client().call("DeleteInstance", &[("InstanceId", id(&created))]).expect_ok();
    server.until("it is gone", |server| server.engine_dirs().is_empty());
    server.restart(&unfinal);
    server.until("the other goes with its instance", |server| {
        server.operators_backups().is_empty() && server.objects().is_empty()
    });
}

#[rstest]
fn a_deleted_instance_leaves_a_last_backup_that_brings_it_back(
    #[values(STANDALONE, PAIR)] class: (&str, &str),
) {
    let server = Ourkv::start();
    let created = server.normal(&[class]);
    let mut tenant = login(&created);
    fill(&mut tenant, "kept");
    let before = content(&mut tenant);
    server.client().call("DeleteInstance", &[("InstanceId", id(&created))]).expect_ok();
    let gone = server.client().call("DescribeInstanceAttribute", &[("InstanceId", id(&created))]);
    assert_eq!(gone.refusal().1, "InvalidInstanceId.NotFound");
    server.until("only the backup is left", |server| {
        server.engine_dirs().is_empty() && server.operators_backups().len() == 1
    });
    let last = one(server.operators_backups());
    assert_eq!((&last["status"], &last["instance"]), (&"Success".into(), &id(&created).into()));
    let number = text(&last["id"]);
    server.proven(&number);
    let word = server.dir.join("word");
    std::fs::write(&word, PASSWORD).unwrap();
    let restore = ["backup", "restore", &number, "--wait", "--password-file"];
    let again = server.made(&[&restore[..], &[word.to_str().unwrap()]].concat());
    assert_ne!(again, id(&created));
    let attributes = server.attributes(&again);
    assert_eq!(attributes["InstanceStatus"], "Normal");
    assert_eq!(attributes["InstanceClass"], class.1);
    assert_eq!(content(&mut login(&as_created(&attributes))), before);
    server.until_tidy("after it came back");
}

/// The attributes of an instance under the names that CreateInstance gives them.
fn as_created(attributes: &Value) -> Value {
    let mut created = attributes.clone();
    created["PrivateIpAddr"] = attributes["PrivateIp"].clone();
    created
}
