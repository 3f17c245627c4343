//! The actions on a real store, with nothing behind it: what becomes of backups, the test says.

use std::net::Ipv4Addr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use ourkv_domain::account::Account;
use ourkv_domain::audit::AuditLine;
use ourkv_domain::backup::{Backup, BackupStage, BackupState, EngineKind, EngineStamp, Taken};
use ourkv_domain::billing::Money;
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::clock::{Clock, ManualClock};
use ourkv_domain::ids::{AccessKeyId, AccountId, InstanceId, NodeId};
use ourkv_domain::instance::{Instance, Intent, Observed, Phase};
use ourkv_domain::mint::Mint;
use ourkv_domain::network::{HostAddresses, Pool};
use ourkv_store::{Location, Sealer, Store, StoreError, Tx};
use ourkv_wire::Params;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::actions::{Caller, Ctx, Failure, Platform, find};
use crate::links::{LinkKey, Links};

const OWNER: &str = "1000000000000001";
const STRANGER: &str = "1000000000000002";
const NOW: &str = "2019-11-20T08:00:00Z";
const WINDOW: [(&str, &str); 2] =
    [("StartTime", "2019-11-20T00:00Z"), ("EndTime", "2019-11-21T00:00Z")];
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");
const SINGLE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const CACHE: [(&str, &str); 2] =
    [("InstanceClass", "memcache.master.small.default"), ("InstanceType", "Memcache")];

/// The API without anybody who does what it writes.
struct Desk {
    platform: Platform,
    clock: Arc<ManualClock>,
    _home: tempfile::TempDir,
}

impl Desk {
    fn open() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mint = Arc::new(Mint::from_seed([7; 32]));
        let sealer = Sealer::new([7; 32], Arc::clone(&mint));
        let store = Store::open(&Location::Sqlite(home.path().join("db")), sealer).unwrap();
        let clock = Arc::new(ManualClock::new(NOW.parse().unwrap()));
        let node = NodeId::parse("node-a").unwrap();
        let (here, now) = (node.clone(), clock.now());
        store.write_blocking(move |tx| furnish(tx, &here, now)).unwrap();
        let lifetime = SignedDuration::from_hours(1);
        let platform = Platform {
            store,
            clock: clock.clone(),
            mint,
            catalogue: Catalogue::builtin(),
            node,
            serves: HostAddresses::LoopbackOnly,
            domain_suffix: "redis.rds.aliyuncs.com".into(),
            final_backup: true,
            backups_per_day: 3,
            backup_links: Links::new(LinkKey::of(&[7; 32]), "http://127.0.0.1:1".into(), lifetime),
            shelf_shared: false,
            looked: watch::channel(true).1,
            nudge: Arc::new(|| {}),
        };
        Self { platform, clock, _home: home }
    }

    async fn ask(&self, account: &str, action: &str, params: &[(&str, &str)]) -> Answer {
        let now = self.clock.now();
        let audit = AuditLine {
            request_id: "test".into(),
            at: now,
            action: action.into(),
            account: None,
            access_key: None,
            source: String::new(),
            parameters: String::new(),
            status: 200,
            code: None,
        };
        let caller = Caller {
            account: AccountId::parse(account).unwrap(),
            access_key: AccessKeyId::parse("LTAItest").unwrap(),
        };
        let ctx = Ctx::new(self.platform.clone(), caller, now, audit);
        let pairs = params.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let action = find(action).unwrap();
        match action.call(&ctx, &Params::from_pairs(pairs)).await {
            Ok(value) => Ok(value),
            Err(Failure::Fault(fault)) => {
                let known = action.descriptor().faults.iter().copied().flatten();
                let of_form = matches!(&*fault.code, "MissingParameter")
                    || fault.message.starts_with("The Specified parameter");
                let name = action.descriptor().name;
                assert!(of_form || known.clone().any(|known| *known == fault), "{name}: {fault}");
                Err(fault.code.into_owned())
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Asks as the owner.
    async fn own(&self, action: &str, params: &[(&str, &str)]) -> Answer {
        self.ask(OWNER, action, params).await
    }

    /// Asks for something about one instance.
    async fn of(&self, action: &str, id: &str, more: &[(&str, &str)]) -> Answer {
        self.own(action, &[&[("InstanceId", id)], more].concat()).await
    }

    /// Creates an instance and has it seen to answer; its id.
    async fn normal(&self, more: &[(&str, &str)]) -> String {
        let params = [&[("RegionId", "cn-hongkong")], more].concat();
        let created = self.own("CreateInstance", &params).await.unwrap();
        let id = created["InstanceId"].as_str().unwrap().to_owned();
        self.seen(&id, Phase::Normal).await;
        id
    }

    async fn seen(&self, id: &str, phase: Phase) {
        let id = InstanceId::parse(id).unwrap();
        let since = self.clock.now();
        self.write(move |tx| {
            let generation = tx.instance(&id)?.unwrap().generation;
            tx.record_observed(&id, &Observed { phase: phase.clone(), generation, since })
        })
        .await;
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.platform.store.write(work).await.unwrap()
    }

    async fn instance(&self, id: &str) -> Instance {
        let id = InstanceId::parse(id).unwrap();
        self.write(move |tx| Ok(tx.instance(&id)?.unwrap())).await
    }

    /// Has a backup of an instance taken, and says that it ended well; its number.
    async fn backed_up(&self, id: &str) -> String {
        self.of("CreateBackup", id, &[]).await.unwrap();
        self.finish(id).await
    }

    /// Ends the backup that waits; its number.
    async fn finish(&self, id: &str) -> String {
        let instance = InstanceId::parse(id).unwrap();
        let now = self.clock.now();
        let ended = self.write(move |tx| {
            let backup = tx.unfinished_backup(&instance)?.unwrap();
            assert!(tx.set_backup_state(backup.id, &running(now, BackupStage::Saving, 0))?);
            let expires = Backup::expiry(now, backup.retention_days);
            assert!(tx.set_backup_state(backup.id, &success(now, expires))?);
            Ok(backup.id)
        });
        ended.await.to_string()
    }

    async fn backup(&self, id: &str) -> Backup {
        let id = id.parse().unwrap();
        self.write(move |tx| Ok(tx.backup(id)?.unwrap())).await
    }

    /// What DescribeBackups lists of today.
    async fn listed(&self, id: &str) -> Vec<Value> {
        let answer = self.of("DescribeBackups", id, &WINDOW).await.unwrap();
        answer["Backups"]["Backup"].as_array().unwrap().clone()
    }
}

type Answer = Result<Value, String>;

fn furnish(tx: &mut Tx<'_>, node: &NodeId, now: Timestamp) -> Result<(), StoreError> {
    for id in [OWNER, STRANGER] {
        tx.insert_account(&Account {
            id: AccountId::parse(id).unwrap(),
            name: id.into(),
            balance: Money::from_yuan(1_000_000).unwrap(),
            real_name: true,
            payment_method: true,
            finance: false,
            postpaid_quota: 100,
            postpaid_quota_per_region: 100,
            arrears_since: None,
            created_at: now,
        })?;
    }
    furnish_pools(tx, node)
}

fn furnish_pools(tx: &mut Tx<'_>, node: &NodeId) -> Result<(), StoreError> {
    for (pool, second) in [(Pool::Classic, 1), (Pool::Serving, 2)] {
        let address = |last| Ipv4Addr::new(127, second, 0, last);
        tx.ensure_pool(&pool.key(node), address(1), address(200))?;
    }
    Ok(())
}

fn running(started: Timestamp, stage: BackupStage, percent: u8) -> BackupState {
    BackupState::Running { started, stage, percent }
}

fn success(now: Timestamp, expires: Timestamp) -> BackupState {
    BackupState::Success(Taken {
        started: now,
        ended: now,
        bytes: 1000,
        keys: 3,
        expiring: 1,
        digest: "0".repeat(64),
        expires,
        engine: EngineStamp { kind: EngineKind::Redis, version: (7, 0, 15) },
    })
}

fn refused(code: &str) -> Answer {
    Err(code.to_owned())
}

#[tokio::test]
async fn a_backup_is_taken_and_listed() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    let job = desk.of("CreateBackup", &id, &[("BackupRetentionPeriod", "30")]).await.unwrap();
    let job = job["BackupJobID"].as_str().unwrap().to_owned();
    assert!(desk.listed(&id).await.is_empty(), "what is not finished is no backup yet");
    let backup = desk.finish(&id).await;
    let listed = desk.of("DescribeBackups", &id, &WINDOW).await.unwrap();
    for key in ["PageNumber", "TotalCount"] {
        assert_eq!(listed[key], 1, "{key}");
    }
    assert_eq!(listed["PageSize"], 30);
    assert_eq!(listed["FullStorageSize"], 1000);
    let mut entry = listed["Backups"]["Backup"][0].clone();
    let fields = entry.as_object_mut().unwrap();
    for key in ["BackupDownloadURL", "BackupIntranetDownloadURL"] {
        let link = fields.remove(key).unwrap();
        let begins = format!("http://127.0.0.1:1/backups/{backup}?Expires=1574240400&Signature=");
        assert!(link.as_str().unwrap().starts_with(&begins), "{link}");
    }
    assert_eq!(
        entry,
        json!({
            "BackupId": backup.parse::<i64>().unwrap(),
            "BackupJobID": job.parse::<i64>().unwrap(),
            "BackupDBNames": "all",
            "BackupStartTime": NOW,
            "BackupEndTime": NOW,
            "BackupMethod": "Physical",
            "BackupMode": "Manual",
            "BackupType": "FullBackup",
            "BackupStatus": "Success",
            "BackupSize": 1000,
            "EngineVersion": "2.8",
            "NodeInstanceId": id,
            "ExpectExpireTime": "2019-12-20T08:00:00Z",
        })
    );
}

#[tokio::test]
async fn a_failed_backup_is_listed_with_its_reason_and_can_not_be_used() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    desk.of("CreateBackup", &id, &[]).await.unwrap();
    let (instance, ended) = (InstanceId::parse(&id).unwrap(), desk.clock.now());
    let failing = desk.write(move |tx| {
        let backup = tx.unfinished_backup(&instance)?.unwrap();
        let reason = "no space left on device".into();
        let failed = BackupState::Failed { started: None, ended, reason };
        assert!(tx.set_backup_state(backup.id, &failed)?);
        Ok(backup.id.to_string())
    });
    let backup = failing.await;
    let listed = desk.listed(&id).await;
    assert_eq!(listed[0]["BackupStatus"], "Failed");
    assert_eq!(listed[0]["FailureReason"], "no space left on device");
    assert_eq!(listed[0]["BackupSize"], 0);
    assert_eq!(listed[0]["ExpectExpireTime"], "2019-11-27T08:00:00Z");
    assert_eq!(listed[0].get("BackupDownloadURL"), None);
    let wrong = refused("IncorrectBackupSetState");
    let this = [("BackupId", &*backup)];
    assert_eq!(desk.of("RestoreInstance", &id, &this).await, wrong);
    assert_eq!(clone(&desk, &id, &backup, &[PAIR]).await, wrong);
    desk.of("DeleteBackup", &id, &this).await.unwrap();
    assert!(desk.listed(&id).await.is_empty());
}

#[tokio::test]
async fn lists_are_of_the_window_and_of_what_is_asked_for() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    let first = desk.backed_up(&id).await;
    desk.clock.advance(SignedDuration::from_hours(10));
    let second = desk.backed_up(&id).await;
    let ids = |answer: Answer| {
        let listed = answer.unwrap()["Backups"]["Backup"].as_array().unwrap().clone();
        listed.iter().map(|entry| entry["BackupId"].to_string()).collect::<Vec<_>>()
    };
    let ask = |more: &[(&'static str, &'static str)]| {
        let params = [&WINDOW[..], more].concat();
        let (desk, id) = (&desk, &id);
        async move { ids(desk.of("DescribeBackups", id, &params).await) }
    };
    assert_eq!(ask(&[]).await, [second.clone(), first.clone()]);
    assert_eq!(ask(&[("StartTime", "2019-11-20T12:00Z")]).await, [second]);
    assert_eq!(ask(&[("EndTime", "2019-11-20T12:00Z")]).await, std::slice::from_ref(&first));
    assert!(ask(&[("PageNumber", "2")]).await.is_empty());
    assert!(ask(&[("BackupId", "1")]).await.is_empty());
    assert!(ask(&[("BackupJobId", "12345678901234567890")]).await.is_empty());
    let one = [&WINDOW[..], &[("BackupId", &*first)]].concat();
    assert_eq!(ids(desk.of("DescribeBackups", &id, &one).await), [first]);
}

#[tokio::test]
async fn malformed_parameters_are_named() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    for (action, more, code) in [
        (
            "CreateBackup",
            &[("BackupRetentionPeriod", "6")][..],
            "InvalidBackupRetentionPeriod.Malformed",
        ),
        (
            "CreateBackup",
            &[("BackupRetentionPeriod", "731")],
            "InvalidBackupRetentionPeriod.Malformed",
        ),
        ("DescribeBackups", &[], "MissingParameter"),
        ("DescribeBackups", &[("StartTime", "2019-11-20T00:00:00Z")], "InvalidStartTime.Malformed"),
        ("DescribeBackups", &[WINDOW[0], ("EndTime", "soon")], "InvalidEndTime.Malformed"),
        (
            "DescribeBackups",
            &[WINDOW[0], ("EndTime", "2019-11-20T00:00Z")],
            "InvalidEndTime.Malformed",
        ),
        (
            "DescribeBackups",
            &[WINDOW[0], WINDOW[1], ("PageSize", "31")],
            "InvalidPageSize.Malformed",
        ),
        (
            "DescribeBackups",
            &[WINDOW[0], WINDOW[1], ("PageNumber", "0")],
            "InvalidPageNumber.Malformed",
        ),
        (
            "DescribeBackups",
            &[WINDOW[0], WINDOW[1], ("BackupId", "-1")],
            "InvalidBackupId.Malformed",
        ),
        ("DescribeBackupTasks", &[("BackupJobId", "x")], "InvalidBackupJobId.Malformed"),
        ("DescribeBackupTasks", &[("JobMode", "manual")], "InvalidJobMode.Malformed"),
        ("DeleteBackup", &[], "MissingParameter"),
        ("DeleteBackup", &[("BackupId", "1,2")], "InvalidBackupId.Malformed"),
        ("DeleteBackup", &[("BackupId", "1")], "InvalidBackupSetID.NotFound"),
        ("RestoreInstance", &[("RestoreType", "1")], "InvalidRestoreType.ValueNotSupported"),
        ("RestoreInstance", &[("RestoreType", "2")], "InvalidRestoreType.Malformed"),
        ("RestoreInstance", &[("FilterKey", "a*")], "UnsupportedParameter"),
        ("ModifyBackupPolicy", &[], "MissingParameter"),
    ] {
        assert_eq!(desk.of(action, &id, more).await, refused(code), "{action} {more:?}");
    }
}

#[tokio::test]
async fn malformed_plans_are_refused() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    for (more, code) in [
        (("PreferredBackupTime", "18:00-19:00"), "InvalidPreferredBackupTime.Malformed"),
        (("PreferredBackupTime", "18:00Z-18:00Z"), "InvalidPreferredBackupTime.Malformed"),
        (("PreferredBackupPeriod", "Caturday"), "InvalidPreferredBackupPeriod.Malformed"),
        (("BackupRetentionPeriod", "1"), "InvalidBackupRetentionPeriod.Malformed"),
        (("EnableBackupLog", "1"), "InvalidBackupLogStatus"),
        (("EnableBackupLog", "2"), "InvalidEnableBackupLog.Malformed"),
    ] {
        let plan = [("PreferredBackupTime", "01:00Z-02:00Z"), ("PreferredBackupPeriod", "Monday")];
        let params: Vec<_> = plan.into_iter().filter(|(name, _)| *name != more.0).collect();
        let params = [&params[..], &[more]].concat();
        assert_eq!(desk.of("ModifyBackupPolicy", &id, &params).await, refused(code), "{more:?}");
    }
}

#[tokio::test]
async fn one_at_a_time_and_a_few_a_day() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    desk.of("CreateBackup", &id, &[]).await.unwrap();
    assert_eq!(desk.of("CreateBackup", &id, &[]).await, refused("BackupJobExists"));
    desk.finish(&id).await;
    desk.backed_up(&id).await;
    // What is deleted and forgotten was asked for all the same.
    let deleted = desk.backed_up(&id).await;
    desk.of("DeleteBackup", &id, &[("BackupId", &deleted)]).await.unwrap();
    assert!(desk.write(move |tx| tx.forget_backup(deleted.parse().unwrap())).await);
    assert_eq!(desk.of("CreateBackup", &id, &[]).await, refused("BackupTimesExceeded"));
    desk.clock.advance(SignedDuration::from_hours(25));
    desk.backed_up(&id).await;
}

#[tokio::test]
async fn a_task_is_shown_until_it_is_done_and_afterwards_by_its_number() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    let job = desk.of("CreateBackup", &id, &[]).await.unwrap()["BackupJobID"].clone();
    let job = job.as_str().unwrap();
    let shown = |more: &[(&str, &str)]| {
        let params: Vec<_> = more.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (desk, id) = (&desk, &id);
        async move {
            let params: Vec<_> = params.iter().map(|(n, v)| (&**n, &**v)).collect();
            let answer = desk.of("DescribeBackupTasks", id, &params).await.unwrap();
            assert_eq!(answer["InstanceId"], **id);
            answer["BackupJobs"].as_array().unwrap().clone()
        }
    };
    let expected = json!([{
        "BackupJobID": job.parse::<i64>().unwrap(),
        "BackupProgressStatus": "NoStart",
        "JobMode": "Manual",
        "NodeId": id,
        "Process": "0",
        "Progress": "0%",
        "StartTime": NOW,
        "TaskAction": "TempBackupTask",
    }]);
    assert_eq!(json!(shown(&[]).await), expected);
    assert!(shown(&[("JobMode", "Automated")]).await.is_empty());
    let instance = InstanceId::parse(&id).unwrap();
    let started = desk.clock.now();
    for (stage, percent, status) in [
        (BackupStage::Saving, 40, "Preparing"),
        (BackupStage::Storing, 99, "Uploading"),
        (BackupStage::Storing, 100, "Checking"),
    ] {
        let instance = instance.clone();
        let stepping = desk.write(move |tx| {
            let backup = tx.unfinished_backup(&instance)?.unwrap();
            tx.set_backup_state(backup.id, &running(started, stage, percent))
        });
        assert!(stepping.await);
        let job = &shown(&[]).await[0];
        assert_eq!(job["BackupProgressStatus"], status);
        assert_eq!(job["Progress"], format!("{percent}%"));
    }
    desk.finish(&id).await;
    assert!(shown(&[]).await.is_empty());
    assert_eq!(shown(&[("BackupJobId", job)]).await[0]["BackupProgressStatus"], "Finished");
    assert!(shown(&[("BackupJobId", "100000000")]).await.is_empty());
}

#[tokio::test]
async fn a_new_redis_is_backed_up_daily_and_its_plan_can_be_changed() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    let plan = desk.of("DescribeBackupPolicy", &id, &[]).await.unwrap();
    assert_eq!(plan["PreferredBackupTime"], "18:00Z-19:00Z");
    let all = plan["PreferredBackupPeriod"].as_str().unwrap();
    assert_eq!(all.split(',').count(), 7);
    assert_eq!(plan["BackupRetentionPeriod"], "7");
    assert_eq!(plan["EnableBackupLog"], 0);
    let next = plan["PreferredNextBackupTime"].as_str().unwrap();
    assert!(next.starts_with("2019-11-20T18:") && next.len() == 17, "{next}");

    let change = [
        ("PreferredBackupTime", "01:00Z-02:00Z"),
        ("PreferredBackupPeriod", "Monday,Friday"),
        ("BackupRetentionPeriod", "30"),
    ];
    desk.of("ModifyBackupPolicy", &id, &change).await.unwrap();
    desk.of("ModifyBackupPolicy", &id, &change[..2]).await.unwrap();
    let plan = desk.of("DescribeBackupPolicy", &id, &[]).await.unwrap();
    assert_eq!(plan["PreferredBackupTime"], "01:00Z-02:00Z");
    assert_eq!(plan["PreferredBackupPeriod"], "Monday,Friday");
    assert_eq!(plan["BackupRetentionPeriod"], "30", "what is not named stays");
    let next = plan["PreferredNextBackupTime"].as_str().unwrap();
    assert!(next.starts_with("2019-11-22T01:"), "a Friday: {next}");
    let backup = desk.backed_up(&id).await;
    assert_eq!(desk.backup(&backup).await.retention_days, 30);
}

#[tokio::test]
async fn a_memcached_has_no_backups() {
    let desk = Desk::open();
    let id = desk.normal(&CACHE).await;
    let plan = [("PreferredBackupTime", "01:00Z-02:00Z"), ("PreferredBackupPeriod", "Monday")];
    for (action, more) in [
        ("CreateBackup", &[][..]),
        ("RestoreInstance", &[("BackupId", "100000000")]),
        ("ModifyBackupPolicy", &plan),
    ] {
        let wrong = refused("IncorrectDBInstanceType");
        assert_eq!(desk.of(action, &id, more).await, wrong, "{action}");
    }
    assert!(desk.listed(&id).await.is_empty());
    let plan = desk.of("DescribeBackupPolicy", &id, &[]).await.unwrap();
    assert_eq!(plan.get("PreferredNextBackupTime"), None);
    desk.of("DeleteInstance", &id, &[]).await.unwrap();
    let asked = desk.of("DescribeBackups", &id, &WINDOW).await;
    assert_eq!(asked, refused("InvalidInstanceId.NotFound"), "it left no backup");
}

#[tokio::test]
async fn a_restore_is_begun_once_and_from_a_backup_of_the_same_instance() {
    let desk = Desk::open();
    let (id, other) = (desk.normal(&[PAIR]).await, desk.normal(&[PAIR]).await);
    let backup = desk.backed_up(&id).await;
    let this = [("BackupId", &*backup)];
    let not_found = refused("InvalidBackupSetID.NotFound");
    assert_eq!(desk.of("RestoreInstance", &other, &this).await, not_found);
    assert_eq!(desk.of("RestoreInstance", &id, &[("BackupId", "100000000")]).await, not_found);
    desk.of("CreateBackup", &id, &[]).await.unwrap();
    assert_eq!(desk.of("RestoreInstance", &id, &this).await, refused("BackupJobExists"));
    desk.finish(&id).await;

    desk.of("RestoreInstance", &id, &[this[0], ("RestoreType", "0")]).await.unwrap();
    let shown = desk.of("DescribeInstanceAttribute", &id, &[]).await.unwrap();
    let status = &shown["Instances"]["DBInstanceAttribute"][0]["InstanceStatus"];
    assert_eq!(status, "BackupRecovering");
    let restore = desk.instance(&id).await.restore.unwrap();
    assert_eq!((restore.serial, restore.backup.to_string()), (1, backup.clone()));
    let busy = refused("IncorrectDBInstanceState");
    for (action, more) in
        [("RestoreInstance", &this[..]), ("CreateBackup", &[]), ("DeleteInstance", &[])]
    {
        assert_eq!(desk.of(action, &id, more).await, busy, "{action}");
    }
    let kept = desk.of("DeleteBackup", &id, &this).await;
    assert_eq!(kept, refused("IncorrectBackupSetState"), "it is being read");

    let instance = InstanceId::parse(&id).unwrap();
    assert!(desk.write(move |tx| tx.end_restore(&instance, 1, true)).await);
    desk.of("DeleteBackup", &id, &this).await.unwrap();
    assert_eq!(desk.of("DeleteBackup", &id, &this).await, not_found);
    assert_eq!(desk.of("RestoreInstance", &id, &this).await, not_found);
}

async fn clone(desk: &Desk, source: &str, backup: &str, more: &[(&str, &str)]) -> Answer {
    let base = [("RegionId", "cn-hongkong"), ("SrcDBInstanceId", source), ("BackupId", backup)];
    desk.own("CreateInstance", &[&base, more].concat()).await
}

#[tokio::test]
async fn a_clone_begins_with_the_backup_and_takes_nothing_else_along() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR, ("Password", "Passw0rd!@#")]).await;
    let backup = desk.backed_up(&id).await;
    let created = clone(&desk, &id, &backup, &[PAIR]).await.unwrap();
    assert_eq!(created["InstanceStatus"], "Creating");
    let copy = desk.instance(created["InstanceId"].as_str().unwrap()).await;
    assert_eq!(copy.dataset, 0);
    let restore = copy.restore.clone().unwrap();
    assert_eq!((restore.serial, restore.backup.to_string()), (1, backup.clone()));
    let secrets = desk.write(move |tx| Ok(tx.secrets(&copy.id)?.unwrap()));
    assert_eq!(secrets.await.password, None);
    let kept = desk.of("DeleteBackup", &id, &[("BackupId", &backup)]).await;
    assert_eq!(kept, refused("IncorrectBackupSetState"), "the clone has not read it yet");
}

#[tokio::test]
async fn a_clone_is_as_large_and_as_new_and_of_the_same_kind() {
    let desk = Desk::open();
    let mid = ("InstanceClass", "redis.master.mid.default");
    let id = desk.normal(&[mid, ("EngineVersion", "4.0")]).await;
    let backup = desk.backed_up(&id).await;
    let four = ("EngineVersion", "4.0");
    let mismatch = refused("InstanceClass.NotMatch");
    assert_eq!(clone(&desk, &id, &backup, &[PAIR, four]).await, mismatch);
    assert_eq!(clone(&desk, &id, &backup, &CACHE).await, mismatch);
    let older = refused("InvalidEngineVersion.Malformed");
    assert_eq!(clone(&desk, &id, &backup, &[mid]).await, older, "the default is 2.8");
    clone(&desk, &id, &backup, &[mid, four]).await.unwrap();
    clone(&desk, &id, &backup, &[mid, ("EngineVersion", "5.0")]).await.unwrap();
    let larger = ("InstanceClass", "redis.basic.large.default");
    clone(&desk, &id, &backup, &[larger, four]).await.unwrap();
}

#[tokio::test]
async fn what_is_foreign_looks_as_if_it_were_not_there() {
    let mut desk = Desk::open();
    let (id, other) = (desk.normal(&[PAIR]).await, desk.normal(&[PAIR]).await);
    let backup = desk.backed_up(&id).await;
    let not_found = refused("InvalidBackupSetID.NotFound");
    assert_eq!(clone(&desk, &other, &backup, &[PAIR]).await, not_found);
    let of = [("InstanceId", &*id), ("BackupId", &*backup), ("SrcDBInstanceId", &*id)];
    let params = [&[("RegionId", "cn-hongkong"), PAIR], &of[..], &WINDOW].concat();
    assert_eq!(desk.ask(STRANGER, "CreateInstance", &params).await, not_found);
    let plan = [("PreferredBackupTime", "01:00Z-02:00Z"), ("PreferredBackupPeriod", "Monday")];
    let params = [&params[..], &plan].concat();
    for action in [
        "CreateBackup",
        "DeleteBackup",
        "DescribeBackupPolicy",
        "DescribeBackupTasks",
        "DescribeBackups",
        "ModifyBackupPolicy",
        "RestoreInstance",
    ] {
        let missing = refused("InvalidInstanceId.NotFound");
        assert_eq!(desk.ask(STRANGER, action, &params).await, missing, "{action}");
    }

    // A control plane of another machine, which reaches the backups only where they are shared.
    desk.platform.node = NodeId::parse("node-b").unwrap();
    let node = desk.platform.node.clone();
    desk.write(move |tx| furnish_pools(tx, &node)).await;
    assert_eq!(clone(&desk, &id, &backup, &[PAIR]).await, not_found);
    assert_eq!(desk.listed(&id).await[0].get("BackupDownloadURL"), None);
    desk.platform.shelf_shared = true;
    clone(&desk, &id, &backup, &[PAIR]).await.unwrap();
    assert!(desk.listed(&id).await[0].get("BackupDownloadURL").is_some());
}

#[tokio::test]
async fn a_deleted_instance_leaves_a_last_backup_that_its_owner_can_use() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    desk.of("DeleteInstance", &id, &[]).await.unwrap();
    let tasks = desk.of("DescribeBackupTasks", &id, &[]).await.unwrap();
    assert_eq!(tasks["BackupJobs"][0]["JobMode"], "Automated");
    let backup = desk.finish(&id).await;
    assert!(desk.backup(&backup).await.last);
    let gone = InstanceId::parse(&id).unwrap();
    assert!(desk.write(move |tx| tx.delete_instance(&gone)).await);

    let listed = desk.listed(&id).await;
    assert_eq!(listed[0]["BackupId"].to_string(), backup);
    clone(&desk, &id, &backup, &[PAIR]).await.unwrap();
    let restored = desk.of("RestoreInstance", &id, &[("BackupId", &backup)]).await;
    assert_eq!(restored, refused("InvalidInstanceId.NotFound"));
}

#[tokio::test]
async fn a_last_backup_is_taken_only_where_there_are_data() {
    let mut desk = Desk::open();
    let down = || Phase::Unavailable { reason: "it ended".into() };
    let trouble = || Phase::Creating { trouble: Some("no memory".into()) };
    for (class, phase, expected) in [
        (PAIR, Phase::Normal, true),
        (SINGLE, Phase::Normal, true),
        (PAIR, down(), true),
        (SINGLE, down(), false),
        (PAIR, trouble(), false),
    ] {
        let id = desk.normal(&[class]).await;
        desk.seen(&id, phase.clone()).await;
        desk.of("DeleteInstance", &id, &[]).await.unwrap();
        assert_eq!(pending(&desk, &id).await, expected, "{class:?} {phase:?}");
    }
    let stopped = desk.normal(&[PAIR]).await;
    let instance = InstanceId::parse(&stopped).unwrap();
    desk.write(move |tx| tx.set_intent(&instance, Intent::Stop)).await;
    desk.of("DeleteInstance", &stopped, &[]).await.unwrap();
    assert!(pending(&desk, &stopped).await);

    desk.platform.final_backup = false;
    let id = desk.normal(&[PAIR]).await;
    desk.of("DeleteInstance", &id, &[]).await.unwrap();
    assert!(!pending(&desk, &id).await);
}

async fn pending(desk: &Desk, id: &str) -> bool {
    let id = InstanceId::parse(id).unwrap();
    desk.write(move |tx| tx.final_backup_pending(&id)).await
}

#[tokio::test]
async fn backups_are_taken_only_of_what_is_running() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    desk.seen(&id, Phase::Unavailable { reason: "it ended".into() }).await;
    assert_eq!(desk.of("CreateBackup", &id, &[]).await, refused("IncorrectDBInstanceState"));
    let plan = desk.of("DescribeBackupPolicy", &id, &[]).await;
    assert!(plan.is_ok(), "a plan is told in every state");
}
