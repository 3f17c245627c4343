//! Backups: what is in them, what is said of them, and to whom.

use jiff::{SignedDuration, Timestamp};
use redis::Commands;
use rstest::rstest;
use serde_json::Value;

use crate::common::{Client, Ourkv};
use crate::saver::Saver;
use crate::shelf::{backup_id, download, one, text};
use crate::tenant::{bulk, content, fill, id, login};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");

/// So many keys that saving them can be caught.
const MANY: usize = 200_000;

fn time(backup: &Value, field: &str) -> Timestamp {
    backup[field].as_str().unwrap().parse().unwrap()
}

#[rstest]
fn a_backup_holds_what_the_instance_held(
    #[values(STANDALONE, PAIR)] class: (&str, &str),
    #[values("2.8", "4.0", "5.0")] version: &str,
) {
    let server = Ourkv::start();
    let created = server.normal(&[class, ("EngineVersion", version)]);
    let mut tenant = login(&created);
    fill(&mut tenant, "kept");
    let before = content(&mut tenant);
    let job = server.ask_for_backup(id(&created));
    let backup = server.finished(id(&created), &job);
    for (field, value) in [
        ("BackupStatus", "Success"),
        ("BackupMode", "Manual"),
        ("BackupType", "FullBackup"),
        ("BackupMethod", "Physical"),
        ("EngineVersion", version),
    ] {
        assert_eq!(backup[field], value, "{backup}");
    }
    assert!(backup["BackupId"].is_i64(), "{backup}");
    assert_eq!(backup["BackupJobID"].to_string(), job);
    let (began, ended) = (time(&backup, "BackupStartTime"), time(&backup, "BackupEndTime"));
    assert!(began <= ended, "{backup}");
    let kept = time(&backup, "ExpectExpireTime").duration_since(ended);
    assert_eq!(kept, SignedDuration::from_hours(7 * 24), "{backup}");

    for field in ["BackupDownloadURL", "BackupIntranetDownloadURL"] {
        let file = download(backup[field].as_str().unwrap());
        assert_eq!(file.status, 200);
        assert!(file.bytes.starts_with(b"REDIS"), "{field}");
        assert_eq!(backup["BackupSize"], file.bytes.len());
        assert_eq!(file.length, Some(file.bytes.len() as u64));
    }
    let proven = server.proven(&backup_id(&backup));
    assert_eq!(proven["instance"], id(&created));
    server.until_tidy("after a backup");
    assert_eq!(content(&mut tenant), before);
    server.wait_for(id(&created), "Normal");
}

#[test]
fn what_lies_on_the_disk_tells_nothing() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    let () = login(&created).set("name", "word-to-look-for").unwrap();
    let backup = server.back_up(id(&created));
    let sealed = std::fs::read(server.object(id(&created), &backup_id(&backup))).unwrap();
    for word in ["REDIS", "word-to-look-for"] {
        assert!(!sealed.windows(word.len()).any(|part| part == word.as_bytes()), "{word}");
    }
    let plain = download(backup["BackupDownloadURL"].as_str().unwrap()).bytes;
    assert!(plain.windows(16).any(|part| part == b"word-to-look-for"));
}

#[test]
fn an_empty_instance_is_backed_up_as_well() {
    let server = Ourkv::start();
    let created = server.normal(&[PAIR]);
    let backup = server.back_up(id(&created));
    let file = download(backup["BackupDownloadURL"].as_str().unwrap());
    assert!(file.bytes.starts_with(b"REDIS"));
    let clone = [
        ("SrcDBInstanceId", id(&created)),
        ("BackupId", &*backup_id(&backup)),
        ("InstanceClass", PAIR.1),
    ];
    let clone = server.normal(&clone);
    assert!(content(&mut login(&clone)).is_empty());
}

#[rstest]
#[case::one_engine(STANDALONE, "/0")]
#[case::the_replica_of_a_pair(PAIR, "/1")]
fn the_engine_that_saves_is_the_one_least_asked(#[case] class: (&str, &str), #[case] home: &str) {
    let server = Ourkv::start();
    let created = server.normal(&[class]);
    let mut tenant = login(&created);
    bulk(&mut tenant, MANY);
    let (job, saver) = Saver::hold(&server, id(&created));
    assert!(saver.home.to_str().unwrap().ends_with(home), "{:?}", saver.home);

    let tasks = server.backup_tasks(id(&created));
    let task = tasks.iter().find(|task| text(&task["BackupJobID"]) == job).unwrap();
    assert_eq!(task["JobMode"], "Manual");
    let again = server.client().call("CreateBackup", &[("InstanceId", id(&created))]);
    assert_eq!((again.refusal().0, &*again.refusal().1), (403, "BackupJobExists"));
    assert!(server.backup_of(id(&created), &job).is_none(), "it is not one yet");
    let () = tenant.set("written", "while it is saved").unwrap();
    assert_eq!(server.attributes(id(&created))["InstanceStatus"], "Normal");

    drop(saver);
    let backup = server.finished(id(&created), &job);
    assert_eq!(backup["BackupStatus"], "Success", "{backup}");
    assert!(server.is_idle(id(&created)));
    let plain = download(backup["BackupDownloadURL"].as_str().unwrap()).bytes;
    assert!(!plain.windows(17).any(|part| part == b"while it is saved"));
    let proven = server.proven(&backup_id(&backup));
    assert_eq!(proven["keys"], MANY, "all that was written before it was asked for");
    server.until_tidy("after a held backup");
}

#[test]
fn an_operator_waits_for_a_backup_and_has_it_verified_again() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    fill(&mut login(&created), "kept");
    server.cli(&["backup", "create", id(&created), "--wait"]);
    let backup = one(server.backups(id(&created)));
    assert_eq!(backup["BackupStatus"], "Success");
    server.cli(&["backup", "verify", &backup_id(&backup)]);
    server.proven(&backup_id(&backup));
    server.cli(&["backup", "rm", &backup_id(&backup)]);
    server.until("nothing is kept of it", |server| {
        server.backups(id(&created)).is_empty() && server.objects().is_empty()
    });
}

#[test]
fn a_backup_that_is_deleted_is_gone() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    let backup = server.back_up(id(&created));
    let kept = server.back_up(id(&created));
    let number = backup_id(&backup);
    let params = [("InstanceId", id(&created)), ("BackupId", &*number)];
    server.client().call("DeleteBackup", &params).expect_ok();
    let left = one(server.backups(id(&created)));
    assert_eq!(left["BackupId"], kept["BackupId"]);
    for action in ["DeleteBackup", "RestoreInstance"] {
        let refused = server.client().call(action, &params).refusal();
        assert_eq!((refused.0, &*refused.1), (400, "InvalidBackupSetID.NotFound"), "{action}");
    }
    assert_ne!(download(backup["BackupDownloadURL"].as_str().unwrap()).status, 200);
    server.until_tidy("after a deletion");
    assert_eq!(server.objects().len(), 1);
}

#[test]
fn a_link_opens_one_backup_and_nothing_else() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    let [first, second] = [(); 2].map(|()| server.back_up(id(&created)));
    let url = first["BackupDownloadURL"].as_str().unwrap();
    let (path, query) = url.split_once('?').unwrap();
    let other = url.replace(&backup_id(&first), &backup_id(&second));
    let later = query.replacen("Expires=1", "Expires=2", 1);
    assert_ne!(later, query);
    let flipped = if url.ends_with('0') { "1" } else { "0" };
    for forged in [
        other,
        path.to_owned(),
        format!("{path}?{later}"),
        format!("{}{flipped}", &url[..url.len() - 1]),
        url[..url.len() - 1].to_owned(),
        format!("{path}?Expires=&Signature="),
        format!("{path}?Expires=99999999999999999999&Signature=00"),
    ] {
        let answer = download(&forged);
        assert_eq!(answer.status, 403, "{forged}");
        assert!(!answer.bytes.starts_with(b"REDIS"));
    }
    assert_eq!(download(url).status, 200);
}

#[test]
fn a_cache_has_no_backups() {
    let server = Ourkv::start();
    let cache = [("InstanceClass", "memcache.master.small.default"), ("InstanceType", "Memcache")];
    let created = server.normal(&cache);
    let refused = server.client().call("CreateBackup", &[("InstanceId", id(&created))]).refusal();
    assert_eq!((refused.0, &*refused.1), (403, "IncorrectDBInstanceType"));
    server.client().call("DeleteInstance", &[("InstanceId", id(&created))]).expect_ok();
    server.until("it is gone", |server| server.engine_dirs().is_empty());
    assert!(server.operators_backups().is_empty());
}

#[test]
fn nobody_sees_the_backups_of_another_account() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    let backup = backup_id(&server.back_up(id(&created)));
    let other = other_account(&server);
    let instance = ("InstanceId", id(&created));
    let policy =
        [instance, ("PreferredBackupTime", "01:00Z-02:00Z"), ("PreferredBackupPeriod", "Monday")];
    assert_eq!(Ourkv::describe_backups(&other, instance.1).refusal().1, MISSING_INSTANCE);
    for (action, params) in [
        ("CreateBackup", &[instance][..]),
        ("DescribeBackupTasks", &[instance]),
        ("DescribeBackupPolicy", &[instance]),
        ("ModifyBackupPolicy", &policy),
        ("DeleteBackup", &[instance, ("BackupId", &backup)]),
        ("RestoreInstance", &[instance, ("BackupId", &backup)]),
    ] {
        let refused = other.call(action, params).refusal();
        assert_eq!((refused.0, &*refused.1), (404, MISSING_INSTANCE), "{action}");
    }
    let own = other.call("CreateInstance", &[("RegionId", "cn-hongkong"), STANDALONE]).expect_ok();
    let foreign = [("InstanceId", id(&own)), ("BackupId", &*backup)];
    server.until("the other's is Normal", |_| {
        let described = other.call("DescribeInstanceAttribute", &[("InstanceId", id(&own))]);
        described.text.contains(r#""InstanceStatus":"Normal""#)
    });
    for action in ["DeleteBackup", "RestoreInstance"] {
        assert_eq!(other.call(action, &foreign).refusal().1, "InvalidBackupSetID.NotFound");
    }
    assert_eq!(server.backups(id(&created)).len(), 1);
}

const MISSING_INSTANCE: &str = "InvalidInstanceId.NotFound";

/// A client of an account that is not the root account.
pub(crate) fn other_account(server: &Ourkv) -> Client {
    let made = [
        &["account", "create", "--name", "other", "--real-name", "true"][..],
        &["--payment-method", "true", "--balance", "1000", "--postpaid-quota", "9"],
        &["--postpaid-quota-per-region", "9"],
    ];
    let account = server.made(&made.concat());
    let key = server.cli(&["key", "create", "--account", &account, "--output", "json"]);
    let key: Value = serde_json::from_str(&key).unwrap();
    Client::new(&server.address, key["id"].as_str().unwrap(), key["secret"].as_str().unwrap())
}
