//! A store in a temporary directory, a fake substrate, a clock that is moved by hand, and
//! instances that are created the way CreateInstance creates them.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use jiff::Timestamp;
use ourkv_control::backup::{Dataset, Datasets};
use ourkv_control::reconciler::{Delays, Handle, Reconciler, Settings};
use ourkv_control::substrate::fake::Fake;
use ourkv_control::substrate::{Lead, Substrate, Trouble, Unit};
use ourkv_domain::account::Account;
use ourkv_domain::backup::{BackupId, EngineKind, EngineStamp};
use ourkv_domain::billing::{Money, price};
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::clock::{Clock, ManualClock};
use ourkv_domain::ids::{AccountId, InstanceId, NodeId, RegionId, ZoneId};
use ourkv_domain::instance::{
    Charge, Endpoint, EngineVersion, Instance, InstanceType, Intent, Network, NodeType, Observed,
    Phase, Restore, Role, Secrets, Spec,
};
use ourkv_domain::mint::Mint;
use ourkv_domain::parameter::Parameters;
use ourkv_domain::secret::Secret;
use ourkv_store::{Location, Meter, Sealer, Store, StoreError, Tx};

/// How long a test waits for something that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const POOL: &str = "classic";
pub(crate) const CLASS: &str = "redis.master.small.default";

/// The shapes of instances.
pub(crate) const SHAPES: [(InstanceType, NodeType); 3] = [
    (InstanceType::Redis, NodeType::StandAlone),
    (InstanceType::Redis, NodeType::MasterSlave),
    (InstanceType::Memcache, NodeType::MasterSlave),
];

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) mint: Arc<Mint>,
    pub(crate) fake: Arc<Fake>,
    pub(crate) library: Arc<Library>,
    pub(crate) node: NodeId,
    pub(crate) account: AccountId,
    pub(crate) zone: ZoneId,
    pub(crate) region: RegionId,
    created: AtomicU64,
    _directory: tempfile::TempDir,
}

impl World {
    /// An empty world at noon in London.
    pub(crate) async fn new(balance: Money) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mint = Arc::new(Mint::from_seed([7; 32]));
        let location = Location::Sqlite(directory.path().join("ourkv.db"));
        let store = Store::open(&location, Sealer::new([9; 32], Arc::clone(&mint))).unwrap();
        let now: Timestamp = "2019-01-15T12:00:00Z".parse().unwrap();
        let region = Catalogue::builtin().region(&RegionId::parse("cn-hongkong").unwrap()).unwrap();
        let world = Self {
            store,
            clock: Arc::new(ManualClock::new(now)),
            fake: Arc::new(Fake::default()),
            library: Arc::default(),
            node: mint.node(),
            account: mint.account(),
            zone: region.zones[0].id.clone(),
            region: region.id.clone(),
            mint,
            created: AtomicU64::new(0),
            _directory: directory,
        };
        world.add_account(balance).await;
        world
    }

    async fn add_account(&self, balance: Money) {
        let account = Account {
            id: self.account.clone(),
            name: "test".into(),
            balance,
            real_name: true,
            payment_method: true,
            finance: false,
            postpaid_quota: 1000,
            postpaid_quota_per_region: 1000,
            arrears_since: None,
            created_at: self.clock.now(),
        };
        self.write(move |tx| {
            tx.insert_account(&account)?;
            tx.ensure_pool(POOL, Ipv4Addr::new(127, 241, 0, 1), Ipv4Addr::new(127, 241, 3, 250))
        })
        .await;
    }

    /// A reconciler over this world with delays of milliseconds.
    pub(crate) fn reconciler(&self, substrate: Arc<dyn Substrate>, settings: Settings) -> Handle {
        Reconciler {
            store: self.store.clone(),
            substrate,
            datasets: Arc::clone(&self.library) as Arc<dyn Datasets>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            node: self.node.clone(),
            settings,
        }
        .spawn()
    }

    /// A reconciler over the fake.
    pub(crate) fn start(&self) -> Handle {
        self.reconciler(Arc::clone(&self.fake) as Arc<dyn Substrate>, quick())
    }

    /// Creates an hourly-paid instance.
    pub(crate) async fn create(&self, shape: (InstanceType, NodeType)) -> InstanceId {
        self.create_as(shape, Charge::PostPaid).await
    }

    /// Creates an instance with all that goes with it, in one transaction.
    pub(crate) async fn create_as(
        &self,
        (kind, nodes): (InstanceType, NodeType),
        charge: Charge,
    ) -> InstanceId {
        self.insert(self.draft(kind, nodes, charge)).await
    }

    /// Creates an hourly-paid instance that is to have the data of a backup.
    pub(crate) async fn clone_of(
        &self,
        backup: BackupId,
        (kind, nodes): (InstanceType, NodeType),
    ) -> InstanceId {
        let mut instance = self.draft(kind, nodes, Charge::PostPaid);
        instance.restore = Some(Restore { serial: 1, backup, requested_at: self.clock.now() });
        self.insert(instance).await
    }

    async fn insert(&self, mut instance: Instance) -> InstanceId {
        let id = instance.id.clone();
        let meter = (instance.charge == Charge::PostPaid).then(|| self.meter(&instance));
        self.write(move |tx| {
            let address = tx.take_next(POOL, &instance.id)?.expect("the pool has addresses");
            instance.endpoint.private_ip = address;
            instance.endpoint.serving_ip = address;
            assert!(tx.reserve_capacity(&instance.zone, instance.spec.capacity_mb)?);
            tx.insert_instance(&instance, &secrets())?;
            meter.iter().try_for_each(|meter| tx.open_meter(meter))
        })
        .await;
        id
    }

    fn draft(&self, kind: InstanceType, nodes: NodeType, charge: Charge) -> Instance {
        let region = Catalogue::builtin().region(&self.region).unwrap();
        let class = Catalogue::builtin().class(CLASS).unwrap();
        let (id, now) = (self.mint.instance(kind, region), self.clock.now());
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        Instance {
            account: self.account.clone(),
            node: self.node.clone(),
            nonce: self.mint.nonce(),
            created_at: now,
            name: None,
            region: self.region.clone(),
            zone: self.zone.clone(),
            spec: Spec {
                class: CLASS.into(),
                instance_type: kind,
                node_type: nodes,
                version: EngineVersion::V5_0,
                capacity_mb: class.capacity_mb,
                bandwidth_mbps: 10,
                connections: 100,
                qps: 1000,
            },
            endpoint: Endpoint {
                network: Network::Classic,
                private_ip: Ipv4Addr::UNSPECIFIED,
                serving_ip: Ipv4Addr::UNSPECIFIED,
                port: kind.port(),
                domain: format!("{id}.test-{number}.rds.aliyuncs.com"),
            },
            parameters: Parameters::defaults(kind, EngineVersion::V5_0),
            charge,
            intent: Intent::Run,
            generation: 1,
            observed: Observed {
                phase: Phase::Creating { trouble: None },
                generation: 0,
                since: now,
            },
            dataset: 0,
            restore: None,
            role: Role::default(),
            id,
        }
    }

    fn meter(&self, instance: &Instance) -> Meter {
        let class = Catalogue::builtin().class(CLASS).unwrap();
        let region = Catalogue::builtin().region(&self.region).unwrap();
        Meter {
            instance: instance.id.clone(),
            account: self.account.clone(),
            opened: instance.created_at,
            metered_until: instance.created_at,
            hourly_price: price::hourly(class, region),
            closed: None,
        }
    }

    pub(crate) async fn intend(&self, id: &InstanceId, intent: Intent) {
        let id = id.clone();
        assert!(self.write(move |tx| tx.set_intent(&id, intent)).await);
    }

    /// Asks for the data of a backup; returns their serial.
    pub(crate) async fn restore(&self, id: &InstanceId, backup: BackupId) -> i64 {
        let (id, now) = (id.clone(), self.clock.now());
        self.write(move |tx| tx.begin_restore(&id, backup, now)).await.expect("none is pending")
    }

    pub(crate) async fn instance(&self, id: &InstanceId) -> Option<Instance> {
        let id = id.clone();
        self.write(move |tx| tx.instance(&id)).await
    }

    pub(crate) async fn phase(&self, id: &InstanceId) -> Option<Phase> {
        self.instance(id).await.map(|instance| instance.observed.phase)
    }

    /// Waits until an instance's phase is as asked for.
    pub(crate) async fn until(&self, id: &InstanceId, wanted: impl Fn(Option<&Phase>) -> bool) {
        let reached = async {
            while !wanted(self.phase(id).await.as_ref()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "{id} stays {:?}", self.phase(id).await);
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write(work).await.unwrap()
    }

    /// What is taken: addresses, and memory of the zone in MB.
    pub(crate) async fn taken(&self) -> (i64, i64) {
        let zone = self.zone.clone();
        self.write(move |tx| Ok((tx.addresses_used(POOL)?, tx.zone_state(&zone)?.used_mb))).await
    }
}

/// Backups that exist by being put there.
#[derive(Debug, Default)]
pub(crate) struct Library {
    backups: Mutex<HashMap<BackupId, Bytes>>,
    mood: Mutex<Mood>,
}

/// How the library answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// With the data, at once.
    #[default]
    Willing,
    /// With the data, a byte at a time, and this long for each.
    Slow(Duration),
    /// It can't be reached.
    Away,
    /// Not at all.
    Mute,
    /// With the first byte, and then nothing.
    Stuck,
}

impl Library {
    /// Puts a backup there.
    pub(crate) fn put(&self, mint: &Mint, data: &'static str) -> BackupId {
        let id = mint.backup_id();
        self.backups.lock().unwrap().insert(id, Bytes::from(data));
        id
    }

    pub(crate) fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

#[async_trait]
impl Datasets for Library {
    async fn dataset(&self, backup: BackupId) -> Result<Dataset, Trouble> {
        let away = || std::io::Error::other("it is away");
        let data = self.backups.lock().unwrap().get(&backup).cloned();
        let data = data.ok_or(Trouble::Dataset { reason: "there is no such backup".into() })?;
        let mood = *self.mood.lock().unwrap();
        let each = futures::stream::iter(data.clone()).map(|byte| Ok(Bytes::from(vec![byte])));
        let stream = match mood {
            Mood::Willing => each.boxed(),
            Mood::Slow(pause) => each
                .then(move |byte| async move {
                    tokio::time::sleep(pause).await;
                    byte
                })
                .boxed(),
            Mood::Stuck => each.take(1).chain(futures::stream::pending()).boxed(),
            Mood::Mute => std::future::pending().await,
            Mood::Away => {
                return Err(Trouble::Machine { doing: "asking the library", source: away() });
            }
        };
        let engine = EngineStamp { kind: EngineKind::Redis, version: (7, 0, 15) };
        let bytes = i64::try_from(data.len()).unwrap();
        Ok(Dataset { engine, bytes, digest: String::new(), stream })
    }
}

/// Settings under which a test need not wait.
pub(crate) fn quick() -> Settings {
    let delays = Delays {
        first: Duration::from_millis(2),
        cap: Duration::from_millis(20),
        ..Delays::default()
    };
    Settings { delays, grace: Duration::from_millis(500), ..Settings::default() }
}

/// Waits until everything is as it should be.
pub(crate) async fn settled(reconciler: &Handle) {
    tokio::time::timeout(PATIENCE, reconciler.settle()).await.expect("nothing settles");
}

pub(crate) fn secrets() -> Secrets {
    Secrets {
        password: Some(Secret::from("Passw0rd!")),
        admin: Secret::from("admin0secret"),
        replication: Secret::from("replication0secret"),
        change: None,
    }
}

/// A unit that no store knows.
pub(crate) fn unit(instance_type: InstanceType, node_type: NodeType) -> Unit {
    Unit {
        id: InstanceId::parse("r-contract00000001").unwrap(),
        nonce: "contract0nonce00".into(),
        instance_type,
        node_type,
        version: EngineVersion::V5_0,
        capacity_mb: 64,
        connections: 100,
        address: std::net::SocketAddrV4::new([127, 241, 7, 1].into(), instance_type.port()),
        parameters: Parameters::defaults(instance_type, EngineVersion::V5_0),
        secrets: secrets(),
        lead: Lead::default(),
    }
}
