//! What is written down about an engine: enough to know it again, and which version its data
//! belongs to.
//!
//! Nothing is lost with it: a manifest that is missing, torn or stale is rebuilt from the process
//! itself.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::private::{read_private, replace, replace_for_now};
use crate::engine::{Kind, Version};

const MANIFEST: &str = "engine.json";

/// One engine, as it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Its process.
    pub(super) pid: u32,
    /// When the process began, in clock ticks since the machine did.
    pub(super) start_ticks: u64,
    /// The file that it executes, behind all links.
    pub(super) executable: PathBuf,
    /// What it is.
    pub(super) kind: Kind,
    /// Its version; the data in the directory needs this one or a newer one.
    pub(super) version: Version,
    /// The nonce of the instance.
    pub(super) nonce: String,
}

impl Manifest {
    /// The manifest of a directory, if there is a whole one.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        let text = read_private(&directory.join(MANIFEST)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Replaces the manifest of a directory at once. It is forced to the disk where data that
    /// outlives a power cut needs to know its version; processes do not outlive one.
    pub(super) fn write(&self, directory: &Path, durable: bool) -> io::Result<()> {
        let replace = if durable { replace } else { replace_for_now };
        replace(directory, MANIFEST, &serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_manifest_is_no_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = Manifest {
            pid: 7,
            start_ticks: 99,
            executable: "/usr/bin/redis-server".into(),
            kind: Kind::Redis,
            version: (7, 0, 15),
            nonce: "n0nce".into(),
        };
        assert_eq!(Manifest::read(directory.path()), None);
        manifest.write(directory.path(), true).unwrap();
        assert_eq!(Manifest::read(directory.path()), Some(manifest));
        let path = directory.path().join(MANIFEST);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(Manifest::read(directory.path()), None, "cut at {length}");
        }
    }
}
