//! Opening a data directory: its key, its node, its store.
//!
//! Guarantees: nothing in the directory can be read by others; the key and the node's id are made
//! once and never replaced; a store opens only with the key that sealed its secrets; at most one
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
use ourkv_store::{Location, Sealer, Store};

pub use clock::SystemClock;
pub use credentials::Credentials;
pub use data_dir::DataDir;
pub use error::OpenError;
pub use examine::compare;
pub use first_start::{FirstKey, RootKey};
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
    /// Seals with the key of the directory.
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
        let key = key_file::open_or_create(&dir)?;
        let mint = Arc::new(Mint::from_seed(random::system_random()?));
        let node = node::open_or_create(&dir, &mint)?;
        Self::with(config, dir, key, mint, node).await
    }

    /// Opens a directory that a server made before.
    pub async fn existing(config: &Config) -> Result<Self, OpenError> {
        let dir = DataDir::open(&config.data_dir)?;
        if !dir.is_furnished() {
            return Err(OpenError::NoDataDir(config.data_dir.clone()));
        }
        let key = key_file::read(&dir)?;
        let mint = Arc::new(Mint::from_seed(random::system_random()?));
        let node = node::read(&dir)?;
        Self::with(config, dir, key, mint, node).await
    }

    async fn with(
        config: &Config,
        dir: DataDir,
        key: [u8; 32],
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
        let (sealer, link_key) = (Sealer::new(key, Arc::clone(&mint)), LinkKey::of(&key));
        // Opening may wait for the disk, for another process or for the network.
        let sealing = sealer.clone();
        let opening = tokio::task::spawn_blocking(move || Store::open(&location, sealing));
        let store = opening.await.map_err(|_| OpenError::Panicked)??;
        let block = config.network.address_block.unwrap_or_else(|| LoopbackBlock::of(&node));
        Ok(Self { dir, store, sealer, mint, clock: Arc::new(SystemClock), node, block, link_key })
    }
}
