//! The key file: 32 random bytes under which the store seals secrets.
//!
//! Without it no stored AccessKey or password can be read again, so a missing one beside a
//! database is an error and never replaced.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use super::random::system_random;
use super::{DataDir, OpenError, data_dir};

/// The length of the key, bytes.
const LENGTH: usize = 32;

/// The key of this directory, made at the first start.
pub(super) fn open_or_create(dir: &DataDir) -> Result<[u8; LENGTH], OpenError> {
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
    read(dir)
}

/// The key of this directory, which must be there.
pub(super) fn read(dir: &DataDir) -> Result<[u8; LENGTH], OpenError> {
    let path = dir.key_file();
    let trouble = |source| OpenError::io("key file", &path, source);
    let mode = fs::metadata(&path).map_err(trouble)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(OpenError::OpenToOthers { path, wanted: "600" });
    }
    let bytes = fs::read(&path).map_err(trouble)?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| OpenError::KeyLength { path, length })
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

    #[test]
    fn makes_a_key_once_that_only_its_owner_can_read() {
        let (_root, dir) = fresh();
        let key = open_or_create(&dir).unwrap();
        assert_eq!(open_or_create(&dir).unwrap(), key);
        let mode = fs::metadata(dir.key_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn two_directories_have_two_keys() {
        let (_one, one) = fresh();
        let (_two, two) = fresh();
        assert_ne!(open_or_create(&one).unwrap(), open_or_create(&two).unwrap());
    }

    #[test]
    fn refuses_a_key_that_others_can_read() {
        let (_root, dir) = fresh();
        open_or_create(&dir).unwrap();
        fs::set_permissions(dir.key_file(), Permissions::from_mode(0o640)).unwrap();
        let error = open_or_create(&dir).unwrap_err();
        assert!(matches!(error, OpenError::OpenToOthers { wanted: "600", .. }), "{error}");
    }

    #[test]
    fn refuses_a_key_of_another_length() {
        let (_root, dir) = fresh();
        data_dir::create(&dir.key_file(), b"short").unwrap();
        let error = open_or_create(&dir).unwrap_err();
        assert!(matches!(error, OpenError::KeyLength { length: 5, .. }), "{error}");
    }

    #[test]
    fn never_makes_a_second_key_for_a_database() {
        let (_root, dir) = fresh();
        fs::write(dir.database(), "").unwrap();
        let error = open_or_create(&dir).unwrap_err();
        assert!(matches!(error, OpenError::KeyGone { .. }), "{error}");
        assert!(!dir.key_file().exists());
    }
}
