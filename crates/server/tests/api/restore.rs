//! Data of a backup in the place of what an instance has; all of it, or nothing changes.

use std::collections::BTreeMap;

use redis::Commands;
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::Ourkv;
use crate::shelf::backup_id;
use crate::tenant::{bulk, content, engines, fill, id, login};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");

/// Kills every engine, as a fault of the machine's memory would.
fn kill_engines(server: &Ourkv) {
    for pid in engines(&server.dir).into_values() {
        let pid = Pid::from_raw(pid.cast_signed()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }
}

#[rstest]
fn a_restore_replaces_all_data_and_nothing_else(
    #[values(STANDALONE, PAIR)] class: (&str, &str),
    #[values("2.8", "4.0", "5.0")] version: &str,
) {
    let server = Ourkv::start();
    let created = server.normal(&[class, ("EngineVersion", version)]);
    let mut tenant = login(&created);
    fill(&mut tenant, "old");
    let old = content(&mut tenant);
    let backup = server.back_up(id(&created));
    server.proven(&backup_id(&backup));
    let before = server.attributes(id(&created));
    fill(&mut tenant, "new");
    let () = tenant.set("added", "since").unwrap();
    let new = content(&mut tenant);
    let next = server.back_up(id(&created));
    drop(tenant);

    for (backup, expected) in [(&backup, &old), (&next, &new), (&backup, &old)] {
        server.restore(id(&created), &backup_id(backup));
        assert_eq!(&content(&mut login(&created)), expected);
    }
    assert_eq!(server.attributes(id(&created)), before, "address, class, end, name");
    server.until_tidy("after a restore");

    let () = login(&created).set("written", "after the restore").unwrap();
    if class == PAIR {
        survives_a_crash(&server, &created, &old);
    } else {
        never_has_again(&server, &created, "added");
    }
}

/// A pair has its data again, with what was written since.
fn survives_a_crash(server: &Ourkv, created: &Value, old: &BTreeMap<String, String>) {
    // AOF is synced every second; what was written before the last sync must come back.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    crash(server, created);
    let mut tenant = login(created);
    assert_eq!(tenant.get::<_, String>("written").unwrap(), "after the restore");
    let () = tenant.del("written").unwrap();
    assert_eq!(&content(&mut tenant), old);
}

/// One engine alone promises no persistence, but what was replaced must not come back either.
fn never_has_again(server: &Ourkv, created: &Value, key: &str) {
    crash(server, created);
    assert!(!login(created).exists::<_, bool>(key).unwrap());
}

fn crash(server: &Ourkv, created: &Value) {
    let before = engines(&server.dir);
    kill_engines(server);
    server.until("all engines are new ones", |server| {
        let now = engines(&server.dir);
        now.len() == before.len() && now.values().all(|pid| before.values().all(|old| old != pid))
    });
    server.wait_for(id(created), "Normal");
}

#[test]
fn the_replica_has_what_was_restored() {
    let server = Ourkv::start();
    let created = server.normal(&[PAIR]);
    let mut tenant = login(&created);
    bulk(&mut tenant, 10_000);
    let backup = backup_id(&server.back_up(id(&created)));
    let () = redis::cmd("FLUSHDB").query(&mut tenant).unwrap();
    server.restore(id(&created), &backup);
    // Backups of a pair are taken on its replica.
    let again = server.back_up(id(&created));
    let clone = [("SrcDBInstanceId", id(&created)), ("BackupId", &*backup_id(&again))];
    let clone = server.normal(&clone);
    let keys: i64 = redis::cmd("DBSIZE").query(&mut login(&clone)).unwrap();
    assert_eq!(keys, 10_000);
}

#[test]
fn a_restore_of_nothing_empties() {
    let server = Ourkv::start();
    let created = server.normal(&[PAIR]);
    let backup = backup_id(&server.back_up(id(&created)));
    fill(&mut login(&created), "new");
    server.restore(id(&created), &backup);
    assert!(content(&mut login(&created)).is_empty());
}

#[test]
fn what_is_not_a_backup_of_the_instance_is_refused() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    let other = server.normal(&[STANDALONE]);
    let backup = backup_id(&server.back_up(id(&other)));
    fill(&mut login(&created), "kept");
    for (backup, code) in
        [(&*backup, "InvalidBackupSetID.NotFound"), ("100000000", "InvalidBackupSetID.NotFound")]
    {
        let (status, found, _) = server.ask_to_restore(id(&created), backup).refusal();
        assert_eq!((status, &*found), (400, code));
    }
    assert_eq!(login(&created).get::<_, String>("string").unwrap(), "kept");
}

#[cfg(feature = "failpoints")]
#[test]
fn while_a_restore_is_under_way_the_old_data_are_served_and_nothing_else_is_begun() {
    let mut server = Ourkv::start_with(&[], &[]);
    let created = server.normal(&[PAIR]);
    let mut tenant = login(&created);
    fill(&mut tenant, "old");
    let backup = backup_id(&server.back_up(id(&created)));
    fill(&mut tenant, "new");
    server.restart(&[("FAILPOINTS", "stage.after=pause")]);
    server.ask_to_restore(id(&created), &backup).expect_ok();
    let params = [("InstanceId", id(&created)), ("BackupId", &*backup)];
    for (action, params) in [
        ("RestoreInstance", &params[..]),
        ("CreateBackup", &params[..1]),
        ("DeleteBackup", &params),
        ("DeleteInstance", &params[..1]),
    ] {
        let (status, code, _) = server.client().call(action, params).refusal();
        assert_eq!(status, 403, "{action}: {code}");
        assert!(code.starts_with("Incorrect"), "{action}: {code}");
    }
    assert_eq!(server.attributes(id(&created))["InstanceStatus"], "BackupRecovering");
    let () = tenant.set("string", "newer").unwrap();
    assert_eq!(tenant.get::<_, String>("string").unwrap(), "newer");
    server.restart(&[]);
    server.wait_for(id(&created), "Normal");
    assert_eq!(login(&created).get::<_, String>("string").unwrap(), "old");
    let told: Vec<_> = server.events(id(&created)).iter().map(|e| e["event"].clone()).collect();
    assert!(told.ends_with(&["RestoreBegun".into(), "RestoreDone".into()]), "{told:?}");
}
