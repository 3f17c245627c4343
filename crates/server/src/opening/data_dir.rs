//! The directory of one node: what is in it, and who may look.
//!
//! The directory is 0700 and the files that this module writes are 0600 and complete: they are
//! written beside their place, synced, and put there in one step.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::OpenError;

/// Everything that a node owns is below this directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The directory, made if it is missing. An empty one is taken over, whatever its mode; one
    /// with something in it must already be closed to others.
    pub fn open_or_create(path: &Path) -> Result<Self, OpenError> {
        let trouble = |source| OpenError::io("data directory", path, source);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(trouble)?;
        let path = path.canonicalize().map_err(trouble)?;
        let mode = fs::metadata(&path).map_err(trouble)?.permissions().mode();
        if mode & 0o077 != 0 {
            if fs::read_dir(&path).map_err(trouble)?.next().is_some() {
                return Err(OpenError::OpenToOthers { path, wanted: "700" });
            }
            fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(trouble)?;
        }
        Ok(Self(path))
    }

    /// The directory, which must exist.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        match path.canonicalize() {
            Ok(path) => Ok(Self(path)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(OpenError::NoDataDir(path.to_owned()))
            }
            Err(error) => Err(OpenError::io("data directory", path, error)),
        }
    }

    /// The directory itself, absolute.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The embedded database.
    pub fn database(&self) -> PathBuf {
        self.0.join("ourkv.db")
    }

    /// The key under which the store seals secrets.
    pub fn key_file(&self) -> PathBuf {
        self.0.join("secret.key")
    }

    /// The AccessKey of the root account, for `ourkv call` and `ourkv env`.
    pub fn credentials(&self) -> PathBuf {
        self.0.join("credentials")
    }

    /// Where the server of this directory last listened.
    pub fn endpoint(&self) -> PathBuf {
        self.0.join("endpoint")
    }

    /// Whether a server made a home of it before.
    pub fn is_furnished(&self) -> bool {
        self.node().exists()
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(super) fn node(&self) -> PathBuf {
        self.0.join("node")
    }

    /// The URL where the server of this directory last listened, if it ever did.
    pub fn last_endpoint(&self) -> Option<String> {
        let text = fs::read_to_string(self.endpoint()).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Remembers where the server listens; not worth a sync, the next start writes it again.
    pub fn note_endpoint(&self, url: &str) -> io::Result<()> {
        let mut file = private_file().truncate(true).create(true).open(self.endpoint())?;
        writeln!(file, "{url}")
    }
}

/// Writes a whole file that only its owner can read, replacing what is there.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = write_beside(path, content)?;
    fs::rename(fresh, path)?;
    sync_parent(path)
}

/// Writes a whole file that only its owner can read, unless there is one: `AlreadyExists`.
pub(super) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = write_beside(path, content)?;
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(fresh)?;
    linked?;
    sync_parent(path)
}

fn write_beside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = PathBuf::from(name);
    let mut file = private_file().truncate(true).create(true).open(&fresh)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(fresh)
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn makes_a_directory_that_is_closed_to_others() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open_or_create(&root.path().join("a/b")).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
    }

    #[test]
    fn takes_over_an_empty_directory() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let dir = DataDir::open_or_create(root.path()).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
    }

    #[test]
    fn refuses_an_open_directory_that_holds_something() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("letter"), "").unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let error = DataDir::open_or_create(root.path()).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
        assert_eq!(mode(root.path()), 0o755, "left as it was");
    }

    #[test]
    fn creates_a_file_once_and_closed_to_others() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        create(&path, b"one").unwrap();
        assert_eq!(create(&path, b"two").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"three").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing left beside it");
    }
}
