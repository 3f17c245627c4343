//! Files that engines write aside, and give their name when they are whole.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::swap::ignore_missing;

/// Removes files that nobody writes any more.
pub(super) fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for (name, _) in unfinished(directory)? {
        std::fs::remove_file(name).or_else(ignore_missing)?;
    }
    Ok(())
}

/// Removes all that an engine writes aside, data of its master and rewritten logs too. No engine
/// may be there.
pub(super) fn remove_temporary(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b"temp-") && (name.ends_with(b".rdb") || name.ends_with(b".aof")) {
            std::fs::remove_file(entry.path()).or_else(ignore_missing)?;
        }
    }
    Ok(())
}

/// Files that children of an engine write, `temp-<pid>.rdb`.
pub(super) fn unfinished(directory: &Path) -> io::Result<Vec<(PathBuf, u32)>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return ignore_missing(error).map(|()| Vec::new()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("temp-")?.strip_suffix(".rdb"));
        if let Some(pid) = pid.and_then(|pid| pid.parse().ok()) {
            found.push((entry.path(), pid));
        }
    }
    Ok(found)
}

/// Which file has a name, if any has it.
pub(super) fn inode(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(error) => ignore_missing(error).map(|()| None),
    }
}
