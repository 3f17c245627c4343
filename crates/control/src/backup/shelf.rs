//! Where sealed backups lie: a folder of this machine, or a bucket of an object store.
//!
//! An object is there as a whole or not at all: it is written aside and appears at its end, on
//! the disk for certain. It goes out and comes in piece by piece, so its size costs no memory. A
//! store that fails or hangs is asked again a few times, and then that is an error.
//!
//! Knows no keys and no engines: what lies here is sealed before it comes. Ourkv's messages say
//! what went wrong without a path or an address; the store's own words go to the log.

use std::error::Error as _;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, WriteMultipart};

use super::bucket::{self, Bucket};
use super::upload::{self, Unsent, upload};
use crate::substrate::{ByteStream, Trouble};

/// What is written or read at once. Object stores want at least 5 MiB.
const PART: u64 = 8 << 20;
/// Object stores take at most 10 000 parts; half of them are kept back.
const PARTS: u64 = 5_000;
/// Parts that are under way at once.
pub(super) const AT_ONCE: usize = 2;

/// Where backups are to lie.
#[derive(Debug, Clone)]
pub enum Place {
    /// A folder of this machine; it is made, 0700.
    Folder(PathBuf),
    /// A bucket of an object store.
    Bucket(Bucket),
}

/// A place for objects; clones share it.
#[derive(Debug, Clone)]
pub struct Shelf {
    kind: Kind,
    /// Objects lie below this.
    prefix: Path,
}

#[derive(Debug, Clone)]
enum Kind {
    Folder { store: Arc<LocalFileSystem>, root: PathBuf },
    Bucket(Arc<AmazonS3>),
}

/// Why the shelf could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The configuration names no usable place.
    #[error("backups can't be kept there: {0}")]
    Place(String),
    /// There is no such object.
    #[error("the stored backup is missing")]
    Missing,
    /// The machine refused.
    #[error("the backup store fails: {0}")]
    Machine(io::Error),
    /// The store lets us not do it.
    #[error("the backup store refuses access")]
    Refused,
    /// The store did not answer, or not with what was asked for.
    #[error("the backup store does not answer as it should")]
    Failing,
}

impl Shelf {
    /// Opens a place. Makes a folder, but asks an object store nothing yet. Blocking.
    pub fn open(place: &Place) -> Result<Self, ShelfError> {
        match place {
            Place::Folder(folder) => Self::open_folder(folder),
            Place::Bucket(bucket) => {
                let (store, prefix) = bucket::open(bucket)?;
                Ok(Self { kind: Kind::Bucket(store), prefix })
            }
        }
    }

    fn open_folder(folder: &FilePath) -> Result<Self, ShelfError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(ShelfError::Machine)?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| ShelfError::Place(error.to_string()))?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        let root = folder.canonicalize().map_err(ShelfError::Machine)?;
        let kind = Kind::Folder { store: Arc::new(store), root };
        Ok(Self { kind, prefix: Path::default() })
    }

    /// Puts all of a stream there, of at most about `expected` bytes. Where the stream breaks off
    /// or the store fails, nothing is there.
    pub(super) async fn put(
        &self,
        key: &str,
        bytes: ByteStream,
        expected: u64,
    ) -> Result<(), Trouble> {
        let path = self.path(key);
        let part = usize::try_from(PART.max(expected / PARTS)).unwrap_or(usize::MAX);
        let put = match &self.kind {
            Kind::Folder { store, .. } => write(store, &path, bytes, part).await,
            Kind::Bucket(store) => upload(store, &path, bytes, part).await,
        };
        put.map_err(|unsent| match unsent {
            Unsent::Source(trouble) => trouble,
            Unsent::Store(error) => match failure(&error) {
                // What is missing where something is written is not the object.
                ShelfError::Missing => ShelfError::Failing.into(),
                other => other.into(),
            },
        })
    }

    /// An object's size and bytes.
    pub(super) async fn get(&self, key: &str) -> Result<(u64, ByteStream), ShelfError> {
        let path = self.path(key);
        let store = self.store();
        let size = store.head(&path).await.map_err(|error| failure(&error))?.size;
        // By ranges: each is asked for again by itself, and a slow reader holds no connection.
        let ranges = (0..size.div_ceil(PART)).map(move |at| {
            let (store, path) = (Arc::clone(&store), path.clone());
            let range = at * PART..size.min((at + 1) * PART);
            async move {
                let bytes = store.get_range(&path, range).await;
                bytes.map_err(|error| Trouble::from(failure(&error)))
            }
        });
        Ok((size, futures::stream::iter(ranges).buffered(AT_ONCE).boxed()))
    }

    /// Removes an object and what an upload of it left behind. Nothing there is fine.
    pub(super) async fn remove(&self, key: &str) -> Result<(), ShelfError> {
        let path = self.path(key);
        match &self.kind {
            Kind::Folder { root, .. } => {
                // A process that was killed leaves `<file>#<number>` beside the file it wrote.
                let file = root.join(key);
                in_folder(move || remove_beside(&file)).await?;
            }
            Kind::Bucket(store) => {
                let removed = upload::remove_leftovers(store, &path).await;
                removed.map_err(|error| failure(&error))?;
            }
        }
        match self.store().delete(&path).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(failure(&error)),
        }
        if let Kind::Folder { root, .. } = &self.kind {
            let (root, file) = (root.clone(), root.join(key));
            in_folder(move || sync_above(&root, &file)).await?;
        }
        Ok(())
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        match &self.kind {
            Kind::Folder { store, .. } => Arc::clone(store) as Arc<dyn ObjectStore>,
            Kind::Bucket(store) => Arc::clone(store) as Arc<dyn ObjectStore>,
        }
    }

    /// Whether the shelf answers and lets us read. Changes nothing: it asks for what is not there.
    pub async fn check(&self) -> Result<(), ShelfError> {
        match self.store().head(&self.path("check")).await.map_err(|error| failure(&error)) {
            Ok(_) | Err(ShelfError::Missing) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn path(&self, key: &str) -> Path {
        key.split('/').fold(self.prefix.clone(), Path::join)
    }
}

/// Writes a file beside its place and renames it at the end.
async fn write(
    store: &LocalFileSystem,
    path: &Path,
    mut bytes: ByteStream,
    part: usize,
) -> Result<(), Unsent> {
    let upload = store.put_multipart(path).await?;
    let mut write = WriteMultipart::new_with_chunk_size(upload, part);
    let written = async {
        while let Some(piece) = bytes.try_next().await.map_err(Unsent::Source)? {
            write.wait_for_capacity(AT_ONCE).await?;
            write.put(piece);
        }
        Ok(())
    };
    match written.await {
        Ok(()) => write.finish().await.map(drop).map_err(Unsent::Store),
        Err(unsent) => {
            if let Err(error) = write.abort().await {
                tracing::warn!(%path, %error, "a file can't be given up");
            }
            Err(unsent)
        }
    }
}

fn remove_beside(file: &FilePath) -> io::Result<()> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return Ok(());
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if is_leftover(&entry.file_name(), name) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Does what waits for a disk where that keeps nobody up.
async fn in_folder(
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), ShelfError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|lost| Err(io::Error::other(lost))).map_err(ShelfError::Machine)
}

/// What was removed does not come back with a power cut. The folder may have gone with it.
fn sync_above(root: &FilePath, file: &FilePath) -> io::Result<()> {
    for folder in file.ancestors().skip(1).take_while(|folder| folder.starts_with(root)) {
        match std::fs::File::open(folder) {
            Ok(folder) => return folder.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_leftover(entry: &OsStr, name: &OsStr) -> bool {
    let rest = entry.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
    rest.is_some_and(|rest| rest.starts_with(b"#"))
}

impl From<ShelfError> for Trouble {
    fn from(error: ShelfError) -> Self {
        match error {
            ShelfError::Missing => Self::Dataset { reason: error.to_string() },
            other => Self::Machine {
                doing: "keeping backups",
                source: match other {
                    ShelfError::Machine(source) => source,
                    other => io::Error::other(other.to_string()),
                },
            },
        }
    }
}

fn failure(error: &Error) -> ShelfError {
    if let Error::NotFound { .. } = error {
        return ShelfError::Missing;
    }
    tracing::warn!(%error, "the backup store fails");
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ShelfError::Refused,
        other => machine(other).map_or(ShelfError::Failing, ShelfError::Machine),
    }
}

/// What the machine said, where it was the machine. Its words alone: the store's have paths.
fn machine(error: &Error) -> Option<io::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(said) = error.downcast_ref::<io::Error>()
            && let Some(code) = said.raw_os_error()
        {
            return Some(io::Error::from_raw_os_error(code));
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests;
