//! Opening a data directory: its key, its node, its store.
//!
//! Guarantees: nothing in the directory can be read by others; the first key and the node's id are
//! made once and never replaced; a store opens only with the key that sealed its secrets; at most one
//! server works on a directory. Knows no engine and no network.

mod clock;
pub mod credentials;
mod data_dir;
mod error;
mod examine;
mod first_start;
mod key_file;
mod lock;
mod networks;
mod node;
mod random;
mod rebuild;
mod room;
mod run;

use std::sync::Arc;

use ourkv_domain::ids::NodeId;
use ourkv_domain::mint::Mint;
use ourkv_domain::network::block::LoopbackBlock;
use ourkv_store::{KeySource, Location, Sealer, Store};

pub use clock::SystemClock;
pub use credentials::Credentials;
pub use data_dir::DataDir;
pub use error::OpenError;
pub use examine::compare;
pub use first_start::{FirstKey, RootKey};
pub use key_file::{KeyFileLock, KeyRing};
pub use lock::ServeLock;
pub use rebuild::{Outcome, RebuildError, Rebuilt, rebuild};
pub use room::Room;

use crate::config::{Config, Database};
use crate::links::LinkKey;

/// An open data directory.
#[derive(Clone)]
pub struct Opened {
    /// The directory.
    pub dir: DataDir,
    /// What is remembered.
    pub store: Store,
    /// The keys of the directory.
    pub keys: Arc<KeyRing>,
    /// Seals with the newest of them.
    pub sealer: Sealer,
    /// Ids and secrets.
    pub mint: Arc<Mint>,
    /// The time.
    pub clock: Arc<SystemClock>,
    /// The machine that the directory makes this one.
    pub node: NodeId,
    /// Where instances get their addresses.
    pub block: LoopbackBlock,
    /// What links to backups are signed with.
    pub link_key: LinkKey,
}

impl Opened {
    /// Opens the directory, making what is missing.
    pub async fn create(config: &Config) -> Result<Self, OpenError> {
        let dir = DataDir::open_or_create(&config.data_dir)?;
        let keys = KeyRing::open_or_create(&dir)?;
        let mint = Arc::new(Mint::from_seed(random::system_random()?));
        let node = node::open_or_create(&dir, &mint)?;
        Self::with(config, dir, keys, mint, node).await
    }

    /// Opens a directory that a server made before.
    pub async fn existing(config: &Config) -> Result<Self, OpenError> {
        let dir = DataDir::open(&config.data_dir)?;
        if !dir.is_furnished() {
            return Err(OpenError::NoDataDir(config.data_dir.clone()));
        }
        let keys = KeyRing::open(&dir)?;
        let mint = Arc::new(Mint::from_seed(random::system_random()?));
        let node = node::read(&dir)?;
        Self::with(config, dir, keys, mint, node).await
    }

    async fn with(
        config: &Config,
        dir: DataDir,
        keys: KeyRing,
        mint: Arc<Mint>,
        node: NodeId,
    ) -> Result<Self, OpenError> {
        let location = match &config.database {
            Database::Embedded => {
                examine::must_not_be_fresh(&dir, &dir.database())?;
                Location::Sqlite(dir.database())
            }
            Database::Postgres(url) => Location::Postgres(url.expose().to_owned()),
        };
        let keys = Arc::new(keys);
        let source = Arc::clone(&keys) as Arc<dyn KeySource>;
        let link_key = LinkKey::with(Arc::clone(&source));
        let sealer = Sealer::with(source, Arc::clone(&mint));
        // Opening may wait for the disk, for another process or for the network.
        let sealing = sealer.clone();
        let opening = tokio::task::spawn_blocking(move || Store::open(&location, sealing));
        let store = opening.await.map_err(|_| OpenError::Panicked)??;
        let block = config.network.address_block.unwrap_or_else(|| LoopbackBlock::of(&node));
        let clock = Arc::new(SystemClock);
        Ok(Self { dir, store, keys, sealer, mint, clock, node, block, link_key })
    }
}
