//! Making a store of the manifests that lie beside the data of instances, and of nothing else.
//!
//! The embedded store is made beside its place and put there when it is whole, so whatever ends
//! this leaves either what was there or the new one. What was there is moved aside, never removed.
//! A manifest that can't be believed is named and left out. Engines are not touched.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use ourkv_control::substrate::local::{self, InstancePlace};
use ourkv_domain::access_key::AccessKey;
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::NodeId;
use ourkv_domain::mint::Mint;
use ourkv_store::{Location, Manifest, Sealer, Store, StoreError};

use super::examine::examine;
use super::{Credentials, DataDir, KeyRing, OpenError, ServeLock, SystemClock, node, random};
use crate::config::{Config, Database};

/// The endings of the files that SQLite keeps beside a database.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// What was made.
#[derive(Debug)]
pub struct Rebuilt {
    /// What became of the directory of each instance.
    pub places: Vec<Outcome>,
    /// Where the store is that was there before.
    pub aside: Option<PathBuf>,
}

/// What became of one instance.
#[derive(Debug)]
pub struct Outcome {
    /// Its directory.
    pub place: InstancePlace,
    /// The instance, where a manifest tells.
    pub instance: Option<String>,
    /// Whether the store knows it now; else why not.
    pub refused: Option<String>,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The store that is there is a good one.
    #[error(
        "{0} is a good store; `ourkv doctor --rebuild --anew` moves it aside and makes one of the \
         manifests, which tell of instances and not of bills, coupons and calls"
    )]
    Good(PathBuf),
    /// There are directories of instances, and none has a manifest that can be believed.
    #[error("none of the manifests can be used; nothing was changed")]
    Nothing(Vec<Outcome>),
    /// The data directory can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<StoreError> for RebuildError {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

/// Makes the store of a data directory that no server works on. A good one is left alone unless
/// one is wanted `anew`; a PostgreSQL database is given what it does not know. Blocking.
pub fn rebuild(config: &Config, anew: bool) -> Result<Rebuilt, RebuildError> {
    let dir = DataDir::open(&config.data_dir)?;
    if !dir.is_furnished() {
        return Err(OpenError::NoDataDir(config.data_dir.clone()).into());
    }
    let _lock = ServeLock::take(&dir)?;
    let mint = Arc::new(Mint::from_seed(random::system_random()?));
    let keys = Arc::new(KeyRing::open(&dir)?);
    let (sealer, node) = (Sealer::with(keys, mint), node::read(&dir)?);
    let work = Work { dir, sealer, node, now: SystemClock.now() };
    match &config.database {
        Database::Embedded => work.embedded(anew),
        Database::Postgres(url) => {
            let store = work.open(&Location::Postgres(url.expose().to_owned()))?;
            let places = work.fill(&store)?;
            Ok(Rebuilt { places, aside: None })
        }
    }
}

/// What is worked with.
struct Work {
    dir: DataDir,
    sealer: Sealer,
    node: NodeId,
    now: Timestamp,
}

impl Work {
    fn embedded(&self, anew: bool) -> Result<Rebuilt, RebuildError> {
        let database = self.dir.database();
        let there = database.try_exists().map_err(|error| self.trouble(error))?;
        if there && !anew && self.is_good(&database)? {
            return Err(RebuildError::Good(database));
        }
        let fresh = self.dir.path().join("ourkv.db.rebuilt");
        remove_all(&fresh).map_err(|error| self.trouble(error))?;
        let store = self.open(&Location::Sqlite(fresh.clone()))?;
        let filled = self.fill(&store);
        // The last one to close writes everything into the one file.
        drop(store);
        let places = filled.inspect_err(|_| {
            // What is left of it is removed by the next one.
            let _ = remove_all(&fresh);
        })?;
        let aside = if there { Some(self.move_aside(&database)?) } else { None };
        let moved = fs::rename(&fresh, &database).and_then(|()| {
            remove(&suffixed(&fresh, "-lock"))?;
            File::open(self.dir.path())?.sync_all()
        });
        moved.map_err(|error| self.trouble(error))?;
        Ok(Rebuilt { places, aside })
    }

    /// Whether a server would work with it. What only fails for another reason is not damaged.
    fn is_good(&self, database: &Path) -> Result<bool, RebuildError> {
        let opened = Store::open(&Location::Sqlite(database.to_owned()), self.sealer.clone());
        let examined = opened.map_err(OpenError::from).and_then(|store| {
            examine(&store, &self.dir, &self.node)?;
            // One that knows nobody has forgotten whoever has a directory.
            Ok(store.read_blocking(|tx| Ok::<_, StoreError>(!tx.accounts()?.is_empty()))?)
        });
        match examined {
            Ok(knows) => Ok(knows),
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn open(&self, location: &Location) -> Result<Store, OpenError> {
        Ok(Store::open(location, self.sealer.clone())?)
    }

    fn fill(&self, store: &Store) -> Result<Vec<Outcome>, RebuildError> {
        let places = local::survey(self.dir.path()).map_err(|error| self.trouble(error))?;
        let mut read: Vec<_> = places
            .into_iter()
            .map(|place| {
                let manifest = self.read(store, &place);
                (place, manifest)
            })
            .collect();
        // Of what several tell of, the latest word counts.
        read.sort_by_key(|(_, manifest)| {
            std::cmp::Reverse(manifest.as_ref().ok().map(Manifest::written_at))
        });
        let mut outcomes: Vec<_> = read
            .into_iter()
            .map(|(place, manifest)| self.put_back(store, place, manifest))
            .collect();
        outcomes.sort_by(|one, other| one.place.name.cmp(&other.place.name));
        let refused = outcomes.iter().all(|outcome| outcome.refused.is_some());
        if refused && !outcomes.is_empty() {
            return Err(RebuildError::Nothing(outcomes));
        }
        let (node, now, key) = (self.node.clone(), self.now, self.credentials()?);
        store.write_blocking(move |tx| {
            tx.unsee(&node, now)?;
            let Some((key, root)) = key.clone().zip(tx.accounts()?.into_iter().next()) else {
                return Ok(());
            };
            if tx.access_key(&key.id)?.is_none() {
                tx.insert_access_key(&AccessKey {
                    id: key.id,
                    secret: key.secret,
                    account: root.id,
                    active: true,
                    calls_per_second: None,
                    created_at: now,
                })?;
            }
            Ok::<_, StoreError>(())
        })?;
        Ok(outcomes)
    }

    fn read(&self, store: &Store, place: &InstancePlace) -> Result<Manifest, String> {
        let text = match &place.manifest {
            Ok(Some(text)) => text,
            Ok(None) => return Err("there is no manifest".into()),
            Err(error) => return Err(format!("its manifest can't be read: {error}")),
        };
        let manifest = store.open_manifest(text).map_err(|error| error.to_string())?;
        if place.name != format!("{}.{}", manifest.instance(), manifest.nonce()) {
            return Err(format!("the manifest is that of {}", manifest.instance()));
        }
        if *manifest.node() != self.node {
            return Err(format!("it belongs to the machine {}", manifest.node()));
        }
        Ok(manifest)
    }

    fn put_back(
        &self,
        store: &Store,
        place: InstancePlace,
        manifest: Result<Manifest, String>,
    ) -> Outcome {
        let manifest = match manifest {
            Ok(manifest) => manifest,
            Err(refused) => return Outcome { place, instance: None, refused: Some(refused) },
        };
        let instance = Some(manifest.instance().to_string());
        let (now, id, nonce) = (self.now, manifest.instance().clone(), manifest.nonce().to_owned());
        let done = store.write_blocking(move |tx| {
            tx.remember(&manifest, now)?;
            // One that was known already may have another directory.
            Ok::<_, StoreError>(tx.instance(&id)?.is_some_and(|known| known.nonce == nonce))
        });
        let refused = match done {
            Ok(true) => None,
            Ok(false) => Some("another directory is this instance's".into()),
            Err(error) => Some(error.to_string()),
        };
        Outcome { place, instance, refused }
    }

    fn credentials(&self) -> Result<Option<Credentials>, OpenError> {
        let read = Credentials::read(&self.dir);
        read.map_err(|error| OpenError::io("credentials", &self.dir.credentials(), error))
    }

    /// Moves a store aside, its log first: nothing may mistake that for the next one's.
    fn move_aside(&self, database: &Path) -> Result<PathBuf, OpenError> {
        let mut number = self.now.as_second();
        let aside = loop {
            let aside = suffixed(database, &format!(".aside-{number}"));
            if !aside.exists() {
                break aside;
            }
            number += 1;
        };
        for ending in BESIDE {
            match fs::rename(suffixed(database, ending), suffixed(&aside, ending)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(self.trouble(error));
                }
                _ => {}
            }
        }
        fs::rename(database, &aside).map_err(|error| self.trouble(error))?;
        Ok(aside)
    }

    fn trouble(&self, error: io::Error) -> OpenError {
        OpenError::io("data directory", self.dir.path(), error)
    }
}

fn remove_all(database: &Path) -> io::Result<()> {
    ["", "-wal", "-shm", "-lock", ".new", ".new-wal", ".new-shm"]
        .iter()
        .try_for_each(|ending| remove(&suffixed(database, ending)))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn suffixed(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
