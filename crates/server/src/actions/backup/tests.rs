//! The actions on a real store, with nothing behind it: what becomes of backups, the test says.

mod backups;
mod data;
mod last_backup;
mod plan;
mod refused;

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

async fn clone(desk: &Desk, source: &str, backup: &str, more: &[(&str, &str)]) -> Answer {
    let base = [("RegionId", "cn-hongkong"), ("SrcDBInstanceId", source), ("BackupId", backup)];
    desk.own("CreateInstance", &[&base, more].concat()).await
}
