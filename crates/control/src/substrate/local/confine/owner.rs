//! Whom directories of engines belong to.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown, fchown, lchown};
use std::path::Path;

/// Has a directory and all in it belong to a user; nothing may run there. The directory itself
/// comes last, so what was cut off is done again, and what is done costs one look.
pub(super) fn hand_over(directory: &Path, user: u32) -> io::Result<()> {
    if fs::symlink_metadata(directory)?.uid() == user {
        return Ok(());
    }
    hand_over_content(directory, user)?;
    chown(directory, Some(user), Some(user))
}

/// Files with a second name are left out: that may be in a directory of somebody else.
fn hand_over_content(directory: &Path, user: u32) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, metadata) = (entry.path(), entry.metadata()?);
        if metadata.is_dir() {
            hand_over_content(&path, user)?;
        } else if metadata.nlink() > 1 {
            tracing::warn!(file = ?entry.file_name(), "a file with two names keeps its owner");
            continue;
        }
        // Never what a link leads to.
        lchown(&path, Some(user), Some(user))?;
    }
    Ok(())
}

/// Whether files of this file system can belong to others, and if not, why.
pub(super) fn may_be_given(directory: &Path, user: u32) -> Result<(), String> {
    let path = directory.join(format!("owner-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
    let given = file.and_then(|file| fchown(&file, Some(user), Some(user)));
    // Another one may have removed it.
    let _ = fs::remove_file(&path);
    given.map_err(|error| format!("files of the data directory can't belong to them: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those who are not root can give nothing away, and never have to.
    #[test]
    fn what_belongs_to_its_user_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let user = fs::metadata(directory.path()).unwrap().uid();
        hand_over(directory.path(), user).unwrap();
    }

    #[test]
    fn all_is_handed_over_but_what_a_link_leads_to_and_what_has_two_names() {
        if !rustix::process::geteuid().is_root() {
            let directory = tempfile::tempdir().unwrap();
            hand_over(directory.path(), 0x7800_0001).unwrap_err();
            return;
        }
        let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let own = directory.path();
        let (elsewhere, second) = (other.path().join("file"), other.path().join("second"));
        for file in [&elsewhere, &second] {
            fs::write(file, "").unwrap();
        }
        fs::create_dir(own.join("appendonlydir")).unwrap();
        fs::write(own.join("appendonlydir/part"), "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, own.join("link")).unwrap();
        fs::hard_link(&second, own.join("name")).unwrap();
        // Half done: the directory is not, so all of it is done again.
        lchown(own.join("appendonlydir"), Some(0x7800_0001), None).unwrap();
        hand_over(own, 0x7800_0001).unwrap();
        let owner = |path: &Path| fs::symlink_metadata(path).unwrap().uid();
        for path in [own, &own.join("appendonlydir"), &own.join("appendonlydir/part")] {
            assert_eq!(owner(path), 0x7800_0001);
        }
        assert_eq!((owner(&elsewhere), owner(&second)), (0, 0));
    }
}
