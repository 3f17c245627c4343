//! Sealed backups on a shelf: what goes in plain comes out plain, and nobody else can read it.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use ourkv_domain::backup::{Backup, BackupId, BackupState};
use ourkv_domain::mint::Mint;
use ourkv_store::Sealer;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::fetch::Dataset;
use super::pump::{Codec, through};
use super::sealed::{Corrupt, Opening, Sealing, sealed_key};
use super::shelf::{Shelf, ShelfError};
use crate::substrate::{ByteStream, Trouble};

/// Sealed backups on a shelf; clones share it.
#[derive(Debug, Clone)]
pub struct Archive {
    shelf: Shelf,
    sealer: Sealer,
    mint: Arc<Mint>,
}

/// What went in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Plain bytes.
    pub bytes: i64,
    /// SHA-256 of the plain bytes, in hexadecimal.
    pub digest: String,
}

impl Archive {
    /// Backups on a shelf, sealed with the store's key; `mint` draws the data keys.
    pub fn new(shelf: Shelf, sealer: Sealer, mint: Arc<Mint>) -> Self {
        Self { shelf, sealer, mint }
    }

    /// Opens a backup that succeeded. The end of its stream is an error where it does not open
    /// or has not the size that was recorded. What opens is what was sealed, so nothing is hashed
    /// here: a restore is as fast as its engine.
    pub async fn open(&self, backup: &Backup) -> Result<Dataset, Trouble> {
        let BackupState::Success(taken) = &backup.state else {
            return Err(Trouble::Dataset { reason: "the backup did not succeed".into() });
        };
        let (_, sealed) = self.shelf.get(&backup.object()).await?;
        let opening = Opening::new(self.sealer.clone(), context(backup.id));
        let codec = Open { opening, left: taken.bytes };
        Ok(Dataset {
            engine: taken.engine,
            bytes: taken.bytes,
            digest: taken.digest.clone(),
            stream: through(sealed, codec),
        })
    }

    /// [`Self::open`], for a proof: the digest is compared, too.
    pub(super) async fn open_to_prove(&self, backup: &Backup) -> Result<Dataset, Trouble> {
        let dataset = self.open(backup).await?;
        let codec = Check { measure: Measure::default(), digest: dataset.digest.clone() };
        Ok(Dataset { stream: through(dataset.stream, codec), ..dataset })
    }

    /// The place of the key that a backup is sealed with, 0 for the newest one; `None` where none
    /// of them opens it.
    pub async fn place_of_key(&self, backup: &Backup) -> Result<Option<usize>, Trouble> {
        let (_, mut sealed) = self.shelf.get(&backup.object()).await?;
        let mut begin = Vec::new();
        while let Some(bytes) = sealed.try_next().await? {
            begin.extend_from_slice(&bytes);
            if let Some(key) = sealed_key(&begin)? {
                return Ok(self.sealer.place_of_key(key, &context(backup.id)));
            }
        }
        Err(Corrupt::Damaged.into())
    }

    /// Seals all of a stream for a backup and keeps it.
    pub async fn keep(&self, backup: &Backup, plain: ByteStream) -> Result<Kept, Trouble> {
        let sealing = Sealing::new(&self.sealer, &self.mint, &context(backup.id));
        let (tell, told) = oneshot::channel();
        let codec = Seal { sealing, measure: Measure::default(), tell };
        // An RDB is hardly ever larger than the memory it was written from.
        let expected = u64::try_from(backup.capacity_mb).unwrap_or(0).saturating_mul(2 << 20);
        self.shelf.put(&backup.object(), through(plain, codec), expected).await?;
        told.await.map_err(|_| Trouble::Machine {
            doing: "sealing a backup",
            source: std::io::Error::other("it ended without a digest"),
        })
    }

    /// Removes what is kept of a backup, as a whole or in part. Nothing there is fine.
    pub(super) async fn discard(&self, backup: &Backup) -> Result<(), ShelfError> {
        self.shelf.remove(&backup.object()).await
    }
}

fn context(backup: BackupId) -> String {
    format!("backup/{backup}")
}

#[derive(Default)]
struct Measure {
    bytes: i64,
    hash: Sha256,
}

impl Measure {
    fn take(&mut self, plain: &[u8]) {
        self.bytes = self.bytes.saturating_add_unsigned(plain.len() as u64);
        self.hash.update(plain);
    }

    fn kept(self) -> Kept {
        let digest: Vec<_> =
            self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Kept { bytes: self.bytes, digest: digest.concat() }
    }
}

struct Seal {
    sealing: Sealing,
    measure: Measure,
    tell: oneshot::Sender<Kept>,
}

impl Codec for Seal {
    fn push(&mut self, plain: Bytes) -> Result<Vec<Bytes>, Trouble> {
        self.measure.take(&plain);
        Ok(self.sealing.push(&plain))
    }

    fn finish(self) -> Result<Vec<Bytes>, Trouble> {
        // Whoever went away need not be told.
        let _ = self.tell.send(self.measure.kept());
        Ok(self.sealing.finish())
    }
}

struct Open {
    opening: Opening,
    /// Bytes that are still to come.
    left: i64,
}

impl Codec for Open {
    fn push(&mut self, sealed: Bytes) -> Result<Vec<Bytes>, Trouble> {
        let plain = self.opening.push(&sealed)?;
        self.left = count(self.left, &plain);
        Ok(plain)
    }

    fn finish(mut self) -> Result<Vec<Bytes>, Trouble> {
        let last = vec![self.opening.finish()?];
        self.left = count(self.left, &last);
        if self.left == 0 { Ok(last) } else { Err(changed()) }
    }
}

struct Check {
    measure: Measure,
    digest: String,
}

impl Codec for Check {
    fn push(&mut self, plain: Bytes) -> Result<Vec<Bytes>, Trouble> {
        self.measure.take(&plain);
        Ok(vec![plain])
    }

    fn finish(self) -> Result<Vec<Bytes>, Trouble> {
        if self.measure.kept().digest == self.digest { Ok(Vec::new()) } else { Err(changed()) }
    }
}

fn count(left: i64, plain: &[Bytes]) -> i64 {
    plain.iter().fold(left, |left, piece| left.saturating_sub_unsigned(piece.len() as u64))
}

fn changed() -> Trouble {
    Trouble::Dataset { reason: "the stored data is not what was saved".into() }
}

impl From<Corrupt> for Trouble {
    fn from(corrupt: Corrupt) -> Self {
        Self::Dataset { reason: corrupt.to_string() }
    }
}
