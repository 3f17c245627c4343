//! A keeper over a world, a folder for its backups, and instances that run on the fake.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use ourkv_control::backup::{Archive, Backups, Handle, Place, Settings, Shelf};
use ourkv_control::substrate::{Member, Substrate, Unit};
use ourkv_domain::backup::{Backup, BackupId, BackupMode, BackupState};
use ourkv_domain::billing::Money;
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{InstanceType, NodeType, Observed, Phase};
use ourkv_store::Sealer;

use crate::common::{PATIENCE, SHAPES, World, secrets};

pub(crate) const DATA: &str = "one\ntwo\nthree\n";

pub(crate) struct Keeping {
    pub(crate) world: World,
    pub(crate) archive: Archive,
    /// How often the reconciler was told that somebody waits no more.
    pub(crate) woken: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

impl Keeping {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Folder(folder.path().to_owned());
        Self::at(&place, folder).await
    }

    /// Backups go to a place; the folder is not used.
    pub(crate) async fn at(place: &Place, folder: tempfile::TempDir) -> Self {
        let world = World::new(Money::from_yuan(1_000_000).unwrap()).await;
        let sealer = Sealer::new([3; 32], Arc::clone(&world.mint));
        let shelf = Shelf::open(place).unwrap();
        let archive = Archive::new(shelf, sealer, Arc::clone(&world.mint));
        Self { world, archive, woken: Arc::default(), folder }
    }

    pub(crate) fn start(&self) -> Handle {
        self.start_with(settings())
    }

    pub(crate) fn start_with(&self, settings: Settings) -> Handle {
        let woken = Arc::clone(&self.woken);
        Backups {
            store: self.world.store.clone(),
            substrate: Arc::clone(&self.world.fake) as Arc<dyn Substrate>,
            archive: self.archive.clone(),
            clock: Arc::clone(&self.world.clock) as Arc<dyn Clock>,
            node: self.world.node.clone(),
            wake: Arc::new(move || {
                woken.fetch_add(1, Ordering::SeqCst);
            }),
            settings,
        }
        .spawn()
    }

    /// An instance that runs and holds [`DATA`].
    pub(crate) async fn instance(&self) -> InstanceId {
        self.instance_of(SHAPES[0]).await
    }

    pub(crate) async fn instance_of(&self, shape: (InstanceType, NodeType)) -> InstanceId {
        let id = self.world.create(shape).await;
        let unit = Unit::new(&self.world.instance(&id).await.unwrap(), secrets());
        self.world.fake.prepare(&unit).await.unwrap();
        self.world.fake.start(&unit, Member::First).await.unwrap();
        self.world.fake.put(&id, DATA);
        let (key, since) = (id.clone(), self.world.clock.now());
        let observed = Observed { phase: Phase::Normal, generation: 1, since };
        self.world.write(move |tx| tx.record_observed(&key, &observed)).await;
        id
    }

    /// Asks for a backup.
    pub(crate) async fn ask(&self, instance: &InstanceId) -> BackupId {
        self.ask_with(instance, |_| {}).await
    }

    /// Asks for a backup that is somehow special.
    pub(crate) async fn ask_with(
        &self,
        instance: &InstanceId,
        special: impl FnOnce(&mut Backup),
    ) -> BackupId {
        let instance = self.world.instance(instance).await.unwrap();
        let (id, job) = (self.world.mint.backup_id(), self.world.mint.backup_job_id());
        let now = self.world.clock.now();
        let mut backup = Backup::queued(id, job, &instance, BackupMode::Manual, 7, now);
        special(&mut backup);
        self.world.write(move |tx| tx.insert_backup(&backup)).await;
        id
    }

    pub(crate) async fn backup(&self, id: BackupId) -> Option<Backup> {
        self.world.write(move |tx| tx.backup(id)).await
    }

    pub(crate) async fn state(&self, id: BackupId) -> BackupState {
        self.backup(id).await.unwrap().state
    }

    pub(crate) async fn set_state(&self, id: BackupId, state: BackupState) {
        assert!(self.world.write(move |tx| tx.set_backup_state(id, &state)).await);
    }

    /// Waits until a backup is as asked for.
    pub(crate) async fn until(&self, id: BackupId, wanted: impl Fn(&Backup) -> bool) -> Backup {
        let reached = async {
            loop {
                let backup = self.backup(id).await.unwrap();
                if wanted(&backup) {
                    return backup;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        match reached.ok() {
            Some(backup) => backup,
            None => panic!("{id} stays {:?}", self.backup(id).await),
        }
    }

    /// The plain data of a backup, as a restore would get it.
    pub(crate) async fn data(&self, id: BackupId) -> Bytes {
        let backup = self.backup(id).await.unwrap();
        let dataset = self.archive.open(&backup).await.unwrap();
        let pieces: Vec<Bytes> = dataset.stream.try_collect().await.unwrap();
        pieces.concat().into()
    }

    /// Where the object of a backup lies.
    pub(crate) async fn file(&self, id: BackupId) -> PathBuf {
        self.folder.path().join(self.backup(id).await.unwrap().object())
    }

    /// All files in the folder.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![self.folder.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    }
}

/// Settings under which a test need not wait.
pub(crate) fn settings() -> Settings {
    Settings {
        poll: Duration::from_millis(20),
        retry: Duration::from_millis(2),
        retry_cap: Duration::from_millis(20),
        grace: Duration::from_secs(5),
        ..Settings::default()
    }
}

/// Waits until nothing is left to be done.
pub(crate) async fn calm(keeper: &Handle) {
    tokio::time::timeout(PATIENCE, keeper.settle()).await.expect("nothing settles");
}

/// Why a backup failed.
pub(crate) fn reason(state: &BackupState) -> &str {
    match state {
        BackupState::Failed { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}
