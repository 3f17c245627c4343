//! The key file: what the store seals secrets with.
//!
//! One key is 32 random bytes. The file holds the newest one first and behind it those before it,
//! as long as something is sealed with them. Without it no stored AccessKey or password can be read
//! again, so a missing one beside a database is an error and never replaced.
//!
//! A process that has it open notices that it was exchanged: whatever is sealed after another key
//! was put there is sealed with that one.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ourkv_store::{Key, KeySource};
use sha2::{Digest, Sha256};

use super::random::system_random;
use super::{DataDir, OpenError, data_dir};

/// The length of a key, bytes.
const LENGTH: usize = 32;
/// How many keys are kept, at most.
const KEYS: usize = 16;

/// The keys of a directory, as its file has them at any time.
#[derive(Debug)]
pub struct KeyRing {
    path: PathBuf,
    held: Mutex<Held>,
}

/// The right to write the file; one process has it at a time.
#[derive(Debug)]
pub struct KeyFileLock(#[expect(dead_code, reason = "held, not used")] File);

struct Held {
    stamp: Stamp,
    keys: Arc<[Key]>,
}

/// What tells a file from the one that takes its place.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
    length: u64,
}

impl KeyRing {
    /// The keys of this directory; the first one is made at the first start.
    pub(super) fn open_or_create(dir: &DataDir) -> Result<Self, OpenError> {
        let path = dir.key_file();
        let trouble = |source| OpenError::io("key file", &path, source);
        if !path.try_exists().map_err(trouble)? {
            if dir.database().try_exists().map_err(trouble)? {
                return Err(OpenError::KeyGone { key: path, database: dir.database() });
            }
            match data_dir::create(&path, &system_random()?) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made.map_err(trouble)?,
            }
        }
        Self::open(dir)
    }

    /// The keys of this directory, which must be there.
    pub(super) fn open(dir: &DataDir) -> Result<Self, OpenError> {
        let path = dir.key_file();
        let held = Mutex::new(read(&path)?);
        Ok(Self { path, held })
    }

    /// Puts a newly drawn key before all others. What was sealed before still opens.
    pub fn draw(&self, _lock: &KeyFileLock) -> Result<(), OpenError> {
        let mut keys = vec![system_random()?];
        keys.extend_from_slice(&self.keys());
        if keys.len() > KEYS {
            return Err(OpenError::TooManyKeys { path: self.path.clone() });
        }
        self.write(&keys)
    }

    /// Removes keys that nothing is sealed with any more, by their places; the newest one stays.
    /// Returns how many went.
    pub fn drop_unused(
        &self,
        _lock: &KeyFileLock,
        is_used: impl Fn(usize) -> bool,
    ) -> Result<usize, OpenError> {
        let before = self.keys();
        let each = before.iter().enumerate();
        let left: Vec<Key> =
            each.filter(|(place, _)| *place == 0 || is_used(*place)).map(|(_, key)| *key).collect();
        if left.len() < before.len() {
            self.write(&left)?;
        }
        Ok(before.len() - left.len())
    }

    /// Names for the keys, the newest first: they tell keys apart and nothing about them.
    pub fn names(&self) -> Vec<String> {
        self.keys().iter().map(name).collect()
    }

    fn write(&self, keys: &[Key]) -> Result<(), OpenError> {
        let written = data_dir::replace(&self.path, &keys.concat());
        written.map_err(|source| OpenError::io("key file", &self.path, source))
    }
}

impl KeySource for KeyRing {
    fn keys(&self) -> Arc<[Key]> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = fs::metadata(&self.path).map(|metadata| Stamp::of(&metadata));
        // What is sealed with the keys that are known opens with them, whatever became of the file.
        if let Ok(stamp) = stamp
            && stamp != held.stamp
        {
            match read(&self.path) {
                Ok(fresh) => *held = fresh,
                Err(error) => {
                    tracing::error!(%error, "the key file was changed and can't be used");
                    held.stamp = stamp;
                }
            }
        }
        Arc::clone(&held.keys)
    }
}

impl KeyFileLock {
    /// Takes the lock, or says that another process has it.
    pub fn take(dir: &DataDir) -> Result<Self, OpenError> {
        let path = dir.path();
        let trouble = |source| OpenError::io("key file", path, source);
        let file = File::open(path).map_err(trouble)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::KeyFileInUse(dir.key_file())),
            Err(TryLockError::Error(error)) => Err(trouble(error)),
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
            length: metadata.len(),
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.keys.len())
    }
}

fn read(path: &std::path::Path) -> Result<Held, OpenError> {
    let trouble = |source| OpenError::io("key file", path, source);
    // Of the file that is read, and not of one that took its place meanwhile.
    let mut file = File::open(path).map_err(trouble)?;
    let metadata = file.metadata().map_err(trouble)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(OpenError::OpenToOthers { path: path.to_owned(), wanted: "600" });
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes).map_err(trouble)?;
    let (keys, rest) = bytes.as_chunks::<LENGTH>();
    if keys.is_empty() || keys.len() > KEYS || !rest.is_empty() {
        return Err(OpenError::KeyLength { path: path.to_owned(), length: bytes.len() });
    }
    Ok(Held { stamp: Stamp::of(&metadata), keys: keys.into() })
}

fn name(key: &Key) -> String {
    let digest = Sha256::new().chain_update(b"ourkv name of a key\0").chain_update(key).finalize();
    let number = digest[..4].iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    format!("{number:08x}")
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn fresh() -> (tempfile::TempDir, DataDir) {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open_or_create(root.path()).unwrap();
        (root, dir)
    }

    fn refused(dir: &DataDir) -> OpenError {
        KeyRing::open_or_create(dir).unwrap_err()
    }

    #[test]
    fn makes_a_key_once_that_only_its_owner_can_read() {
        let (_root, dir) = fresh();
        let ring = KeyRing::open_or_create(&dir).unwrap();
        assert_eq!(KeyRing::open_or_create(&dir).unwrap().keys(), ring.keys());
        let mode = fs::metadata(dir.key_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{ring:?}").contains(&format!("{:?}", &ring.keys()[0][..4])));
    }

    #[test]
    fn two_directories_have_two_keys() {
        let keys = || KeyRing::open_or_create(&fresh().1).unwrap().keys();
        assert_ne!(keys(), keys());
    }

    #[test]
    fn refuses_a_key_that_others_can_read() {
        let (_root, dir) = fresh();
        KeyRing::open_or_create(&dir).unwrap();
        fs::set_permissions(dir.key_file(), Permissions::from_mode(0o640)).unwrap();
        let error = refused(&dir);
        assert!(matches!(error, OpenError::OpenToOthers { wanted: "600", .. }), "{error}");
    }

    #[test]
    fn refuses_a_key_of_another_length() {
        for length in [0, 5, 33, 17 * LENGTH] {
            let (_root, dir) = fresh();
            data_dir::create(&dir.key_file(), &vec![1; length]).unwrap();
            let error = refused(&dir);
            assert!(matches!(error, OpenError::KeyLength { length: l, .. } if l == length));
        }
    }

    #[test]
    fn never_makes_a_second_key_for_a_database() {
        let (_root, dir) = fresh();
        fs::write(dir.database(), "").unwrap();
        let error = refused(&dir);
        assert!(matches!(error, OpenError::KeyGone { .. }), "{error}");
        assert!(!dir.key_file().exists());
    }

    #[test]
    fn a_key_that_is_drawn_goes_before_those_that_are_there() {
        let (_root, dir) = fresh();
        let (ring, other) = (KeyRing::open_or_create(&dir).unwrap(), KeyRing::open(&dir).unwrap());
        let first = ring.keys()[0];
        let lock = KeyFileLock::take(&dir).unwrap();
        ring.draw(&lock).unwrap();
        assert_eq!((ring.keys().len(), ring.keys()[1]), (2, first));
        assert_ne!(ring.keys()[0], first);
        assert_eq!(other.keys(), ring.keys(), "another process sees it");
        let second = ring.keys()[0];
        ring.draw(&lock).unwrap();
        assert_eq!(ring.drop_unused(&lock, |place| place == 2).unwrap(), 1);
        assert_eq!((other.keys()[1], other.keys().len()), (first, 2));
        assert!(!other.keys().contains(&second));
        assert_eq!(ring.drop_unused(&lock, |_| true).unwrap(), 0);
        assert_eq!(ring.names().len(), 2);
        let mode = fs::metadata(dir.key_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn keys_are_bounded_and_one_process_draws_at_a_time() {
        let (_root, dir) = fresh();
        let ring = KeyRing::open_or_create(&dir).unwrap();
        let lock = KeyFileLock::take(&dir).unwrap();
        let error = KeyFileLock::take(&dir).unwrap_err();
        assert!(matches!(error, OpenError::KeyFileInUse(_)), "{error}");
        let drawn = (0..KEYS).take_while(|_| ring.draw(&lock).is_ok()).count();
        assert_eq!((drawn, ring.keys().len()), (KEYS - 1, KEYS));
        assert_eq!(KeyRing::open(&dir).unwrap().keys(), ring.keys());
    }

    #[test]
    fn a_file_that_breaks_takes_no_key_from_those_who_have_it() {
        let (_root, dir) = fresh();
        let ring = KeyRing::open_or_create(&dir).unwrap();
        let keys = ring.keys();
        data_dir::replace(&dir.key_file(), b"short").unwrap();
        assert_eq!(ring.keys(), keys);
        fs::remove_file(dir.key_file()).unwrap();
        assert_eq!(ring.keys(), keys);
    }
}
