//! Instances that begin with the data of a backup.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ourkv_domain::backup::BackupState;
use ourkv_store::StoreError;
use redis::Commands;
use rstest::rstest;
use serde_json::Value;

use crate::backups::other_account;
use crate::common::{Ourkv, PASSWORD, with};
use crate::shelf::backup_id;
use crate::tenant::{content, fill, id, log_in_with, login};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");
const LARGER: (&str, &str) = ("InstanceClass", "redis.master.mid.default");

const OTHER_PASSWORD: &str = "0ther-Passw0rd";

/// Asks for a clone that must be refused; status and code.
fn refused(server: &Ourkv, source: &str, backup: &str, more: &[(&str, &str)]) -> (u16, String) {
    let base = [("RegionId", "cn-hongkong"), PAIR, ("SrcDBInstanceId", source)];
    let params = with(&with(&base, &[("BackupId", backup)]), more);
    let (status, code, _) = server.client().call("CreateInstance", &params).refusal();
    (status, code)
}

/// Creates a clone and waits until it is `Normal`.
fn clone(server: &Ourkv, source: &Value, backup: &Value, more: &[(&str, &str)]) -> Value {
    let number = backup_id(backup);
    let from = [("SrcDBInstanceId", id(source)), ("BackupId", &*number)];
    server.normal(&[&from[..], more].concat())
}

/// Versions of sources and of their clones. 4.0 is served by a newer engine than 5.0 is where none
/// of its own is installed: then the data decides which engine a clone has.
const VERSIONS: [(&str, &str); 6] = [
    ("2.8", "2.8"),
    ("4.0", "4.0"),
    ("5.0", "5.0"),
    ("2.8", "4.0"),
    ("2.8", "5.0"),
    ("4.0", "5.0"),
];

#[rstest]
#[case::one_engine(STANDALONE, STANDALONE)]
#[case::made_a_pair(STANDALONE, PAIR)]
#[case::made_larger(PAIR, LARGER)]
#[case::made_one_engine(PAIR, STANDALONE)]
fn a_clone_has_the_data_of_the_backup(
    #[case] source_class: (&str, &str),
    #[case] clone_class: (&str, &str),
) {
    let server = Ourkv::start_with(&[], &[("OURKV_BACKUP_PROVE", "false")]);
    for (from, to) in VERSIONS {
        let source = server.normal(&[source_class, ("EngineVersion", from)]);
        let mut tenant = login(&source);
        fill(&mut tenant, "kept");
        let before = content(&mut tenant);
        let backup = server.back_up(id(&source));
        let () = tenant.set("later", "written after the backup").unwrap();

        let clone = clone(&server, &source, &backup, &[clone_class, ("EngineVersion", to)]);
        assert_ne!(id(&clone), id(&source));
        assert_eq!(content(&mut login(&clone)), before, "{from} to {to}");
        let () = login(&clone).set("string", "of the clone").unwrap();
        assert_eq!(tenant.get::<_, String>("string").unwrap(), "kept");
    }
    server.until_tidy("after clones");
}

#[test]
fn a_clone_has_nothing_else_of_its_source() {
    let server = Ourkv::start();
    let config = r#"{"maxmemory-policy":"allkeys-lru"}"#;
    let source = server.normal(&[PAIR, ("InstanceName", "the-source"), ("Config", config)]);
    let backup = server.back_up(id(&source));
    let clone = clone(&server, &source, &backup, &[("Password", OTHER_PASSWORD)]);
    log_in_with(&clone, PASSWORD).map(|_| ()).unwrap_err();
    log_in_with(&clone, OTHER_PASSWORD).unwrap();
    let attributes = server.attributes(id(&clone));
    assert_ne!(attributes["InstanceName"], "the-source");
    assert_ne!(attributes["Config"], server.attributes(id(&source))["Config"]);
    assert!(server.backups(id(&clone)).is_empty());
}

#[test]
fn a_clone_without_a_password_lets_nobody_in() {
    let server = Ourkv::start();
    let source = server.normal(&[STANDALONE]);
    let backup = server.back_up(id(&source));
    let clone = clone(&server, &source, &backup, &[("Password", "")]);
    log_in_with(&clone, PASSWORD).map(|_| ()).unwrap_err();
}

#[test]
fn what_does_not_fit_is_refused() {
    let server = Ourkv::start();
    let large = server.normal(&[LARGER, ("EngineVersion", "5.0")]);
    let backup = backup_id(&server.back_up(id(&large)));
    let fits = ("EngineVersion", "5.0");
    for (more, status, code) in [
        (&[PAIR, fits][..], 400, "InstanceClass.NotMatch"),
        (&[LARGER, ("EngineVersion", "4.0")], 400, "InvalidEngineVersion.Malformed"),
        (
            &[("InstanceClass", "memcache.master.mid.default"), ("InstanceType", "Memcache")],
            400,
            "InstanceClass.NotMatch",
        ),
    ] {
        let refused = refused(&server, id(&large), &backup, more);
        assert_eq!(refused, (status, code.to_owned()), "{more:?}");
    }
    let missing = refused(&server, id(&large), "100000000", &[LARGER, fits]);
    assert_eq!(missing, (400, "InvalidBackupSetID.NotFound".to_owned()));
    let other = server.normal(&[LARGER, fits]);
    let of_another = refused(&server, id(&other), &backup, &[LARGER, fits]);
    assert_eq!(of_another, (400, "InvalidBackupSetID.NotFound".to_owned()));
    let listed = server.client().call("DescribeInstances", &[]).expect_ok();
    assert_eq!(listed["TotalCount"], 2, "a refused call creates nothing");
}

#[test]
fn another_account_finds_neither_the_instance_nor_the_backup() {
    let server = Ourkv::start();
    let source = server.normal(&[PAIR]);
    let backup = backup_id(&server.back_up(id(&source)));
    let other = other_account(&server);
    let ask = |source: &str, backup: &str| {
        let params =
            [("RegionId", "cn-hongkong"), PAIR, ("SrcDBInstanceId", source), ("BackupId", backup)];
        let (status, code, message) = other.call("CreateInstance", &params).refusal();
        (status, code, message)
    };
    let foreign = ask(id(&source), &backup);
    assert_eq!(foreign, ask(id(&source), "100000000"));
    assert_eq!(foreign, ask("r-bp1xxxxxxxxxxxxxx", "100000000"), "as if it were not there");
    assert_eq!(other.call("DescribeInstances", &[]).expect_ok()["TotalCount"], 0);
}

#[test]
fn a_failed_backup_is_never_used() {
    let server = Ourkv::start();
    let source = server.normal(&[PAIR]);
    let backup = backup_id(&server.back_up(id(&source)));
    let number = backup.parse().unwrap();
    let fail = move |tx: &mut ourkv_store::Tx<'_>| {
        let BackupState::Success(taken) = tx.backup(number)?.unwrap().state else {
            panic!("it succeeded")
        };
        let (started, reason) = (Some(taken.started), "it broke".to_owned());
        tx.set_backup_state(number, &BackupState::Failed { started, ended: taken.ended, reason })
    };
    server.store().write_blocking::<_, StoreError>(fail).unwrap();
    let listed = &server.backups(id(&source))[0];
    assert_eq!(listed["BackupStatus"], "Failed");
    for field in ["BackupDownloadURL", "BackupIntranetDownloadURL"] {
        assert!(listed[field].as_str().is_none_or(str::is_empty), "{listed}");
    }
    let expected = (403, "IncorrectBackupSetState".to_owned());
    assert_eq!(refused(&server, id(&source), &backup, &[]), expected);
    let (status, code, _) = server.ask_to_restore(id(&source), &backup).refusal();
    assert_eq!((status, code), expected);
}

#[test]
fn a_clone_of_an_instance_that_is_written_is_one_moment_of_it() {
    let server = Ourkv::start();
    let source = server.normal(&[PAIR]);
    let stop = AtomicBool::new(false);
    let backups: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| write_in_step(&source, &stop));
        let backups = (0..3).map(|_| server.back_up(id(&source))).collect();
        stop.store(true, Ordering::Relaxed);
        backups
    });
    let mut before = 0;
    for backup in &backups {
        let clone = clone(&server, &source, backup, &[]);
        let mut tenant = login(&clone);
        let counter: i64 = tenant.get("counter").unwrap();
        let list: Vec<i64> = tenant.lrange("list", 0, -1).unwrap();
        assert_eq!(list, (1..=counter).collect::<Vec<_>>());
        assert!(counter > before, "it was written between the backups");
        before = counter;
    }
}

/// Counts, and lists what was counted, in one transaction each time.
fn write_in_step(source: &Value, stop: &AtomicBool) {
    let mut tenant = login(source);
    for number in 1_i64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let mut both = redis::pipe();
        both.atomic().incr("counter", 1).rpush("list", number);
        let () = both.query(&mut tenant).unwrap();
    }
}

#[test]
fn a_source_that_is_deleted_meanwhile_changes_nothing() {
    let server = Ourkv::start();
    let source = server.normal(&[PAIR]);
    let mut tenant = login(&source);
    fill(&mut tenant, "kept");
    let before = content(&mut tenant);
    let backup = backup_id(&server.back_up(id(&source)));
    let from = [("SrcDBInstanceId", id(&source)), ("BackupId", &*backup)];
    let clone = server.create(&from);
    server.client().call("DeleteInstance", &[("InstanceId", id(&source))]).expect_ok();
    server.wait_for(id(&clone), "Normal");
    assert_eq!(content(&mut login(&clone)), before);
    server.until("the source is gone", |server| server.engine_dirs().len() == 1);
}

#[test]
fn a_clone_that_is_deleted_while_it_comes_up_leaves_nothing() {
    let server = Ourkv::start();
    let source = server.normal(&[STANDALONE]);
    let backup = backup_id(&server.back_up(id(&source)));
    let from = [("SrcDBInstanceId", id(&source)), ("BackupId", &*backup), STANDALONE];
    let clone = server.create(&from);
    // Refused while it is Creating, as for any other instance.
    server.until("it is deleted", |server| {
        let reply = server.client().call("DeleteInstance", &[("InstanceId", id(&clone))]);
        reply.status == 200
    });
    server.until("only the source is left", |server| server.engine_dirs().len() == 1);
    server.until_tidy("after the clone is gone");
}

#[test]
fn a_token_stands_for_one_clone() {
    let server = Ourkv::start();
    let source = server.normal(&[PAIR]);
    let backup = backup_id(&server.back_up(id(&source)));
    let from = [("SrcDBInstanceId", id(&source)), ("BackupId", &*backup), ("Token", "once")];
    let clone = server.normal(&from);
    let number = [("InstanceId", id(&source)), ("BackupId", &*backup)];
    server.client().call("DeleteBackup", &number).expect_ok();
    assert_eq!(server.create(&from)["InstanceId"], clone["InstanceId"]);
}
