//! Backups as those see them who load them: plain data by the backup's id.

use async_trait::async_trait;
use ourkv_domain::backup::{BackupId, EngineStamp};
use ourkv_store::{Store, StoreError};

use super::archive::Archive;
use crate::substrate::{ByteStream, Trouble};

/// The data of a backup.
pub struct Dataset {
    /// What wrote it.
    pub engine: EngineStamp,
    /// How many bytes it has.
    pub bytes: i64,
    /// SHA-256 of it, in hexadecimal.
    pub digest: String,
    /// The data, an RDB. Its end is reached only where it is all and as it was sealed; otherwise
    /// the last item is a [`Trouble::Dataset`].
    pub stream: ByteStream,
}

/// Where data comes from.
#[async_trait]
pub trait Datasets: Send + Sync + 'static {
    /// The data of a backup that succeeded. [`Trouble::Dataset`] is final: it is missing or
    /// damaged; anything else may be tried again.
    async fn dataset(&self, backup: BackupId) -> Result<Dataset, Trouble>;
}

/// Data out of an archive.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// What is known of backups.
    pub store: Store,
    /// Where they are kept.
    pub archive: Archive,
}

#[async_trait]
impl Datasets for Fetcher {
    async fn dataset(&self, id: BackupId) -> Result<Dataset, Trouble> {
        let read = self.store.look_up(move |tx| tx.backup(id)).await;
        let backup = read.map_err(|error: StoreError| Trouble::Machine {
            doing: "reading what is known of a backup",
            source: std::io::Error::other(error.to_string()),
        })?;
        match backup {
            Some(backup) => self.archive.open(&backup).await,
            None => Err(Trouble::Dataset { reason: "there is no such backup".into() }),
        }
    }
}
