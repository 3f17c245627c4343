//! Why a data directory can't be opened, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a data directory can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such directory.
    #[error("there is no data directory {0}; `ourkv serve` makes it, --data-dir names another")]
    NoDataDir(PathBuf),
    /// A directory or file is open to other users.
    #[error("{path} is open to other users; run: chmod {wanted} {path}", path = path.display())]
    OpenToOthers {
        /// The directory or file.
        path: PathBuf,
        /// The mode that it should have.
        wanted: &'static str,
    },
    /// The directory was in use, and its database is gone.
    #[error(
        "the database {0} is gone, and nothing was begun anew in its place: put a copy of it back, \
         or have `ourkv doctor --rebuild` make a new one of the manifests of the instances"
    )]
    StoreGone(PathBuf),
    /// The database knows nobody, and there are engines.
    #[error(
        "the database is empty, and {0} has directories of instances: name the right database, or \
         have `ourkv doctor --rebuild` fill it from the manifests of the instances"
    )]
    StoreForgot(PathBuf),
    /// What the database says can't be.
    #[error(
        "the database is damaged ({detail}); nothing was changed: put a copy of it back, or have \
         `ourkv doctor --rebuild` make a new one of the manifests of the instances"
    )]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// There is a database and no key for it.
    #[error(
        "the key file {key} is gone, and no secret in {database} can be read without it; put it \
         back from a backup, or start over with an empty data directory",
        key = key.display(), database = database.display()
    )]
    KeyGone {
        /// Where the key should be.
        key: PathBuf,
        /// What it is the key of.
        database: PathBuf,
    },
    /// The key file does not hold a key.
    #[error("the key file {path} has {length} bytes instead of 32 for each key", path = path.display())]
    KeyLength {
        /// The key file.
        path: PathBuf,
        /// How long it is, bytes.
        length: usize,
    },
    /// The key file holds as many keys as there may be.
    #[error("the key file {path} is full; `ourkv key-file prune` removes keys", path = path.display())]
    TooManyKeys {
        /// The key file.
        path: PathBuf,
    },
    /// Another process writes the key file.
    #[error("another `ourkv key-file` works on {0}")]
    KeyFileInUse(PathBuf),
    /// The node file does not hold a node's id.
    #[error("{0} does not hold the id of a node")]
    BadNode(PathBuf),
    /// A server works on the directory.
    #[error("process {pid} serves {dir} already; stop it first", dir = dir.display())]
    Served {
        /// The directory.
        dir: PathBuf,
        /// The process, as it wrote itself down.
        pid: String,
    },
    /// Only one half of the first AccessKey is in the environment.
    #[error("set both OURKV_ACCESS_KEY_ID and OURKV_ACCESS_KEY_SECRET, or neither")]
    HalfAKey,
    /// The first AccessKey in the environment can't be one.
    #[error("OURKV_ACCESS_KEY_ID is not 1 to 64 letters, digits and -_.")]
    BadKeyId,
    /// The key in the environment is someone else's.
    #[error("OURKV_ACCESS_KEY_ID names a key of another account than the root account")]
    ForeignKey,
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes: {0}")]
    NoRandomness(String),
    /// The machine refused.
    #[error("{what} {path}: {source}", path = path.display())]
    Io {
        /// What it was about.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A defect: opening the database panicked.
    #[error("opening the database panicked")]
    Panicked,
    /// The database can't be opened.
    #[error(transparent)]
    Database(#[from] ourkv_store::OpenError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] ourkv_store::StoreError),
}

impl OpenError {
    /// Whether it says that the store is not what it was.
    pub(super) fn is_damage(&self) -> bool {
        use ourkv_store::OpenError as Store;
        matches!(self, Self::Damaged { .. } | Self::Database(Store::Corrupt { .. }))
    }

    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }
}
