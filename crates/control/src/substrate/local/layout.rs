//! Where things are: `DIR/engines/<instance>.<nonce>/<0|1|next>/`; `next` is what is staged or was
//! set aside.
//!
//! The nonce makes a directory one life of one instance: a path under it names nothing else,
//! ever. Directories are 0700 and files 0600, as they hold data and logins of tenants. An engine's
//! own directory belongs to its user once it was started there; all above it stay closed to it.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ourkv_domain::ids::InstanceId;

use crate::substrate::{Member, Unit};

/// The directory that holds all engines' directories.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Below this data directory; makes what is missing. Links in the path are followed once,
    /// here, as the kernel shows working directories without them.
    pub(super) fn below(data_dir: &Path) -> io::Result<Self> {
        let root = data_dir.join("engines");
        make(&root)?;
        Ok(Self { root: root.canonicalize()? })
    }

    /// The directory of all of them.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// All that is kept of an instance.
    pub(super) fn instance(&self, unit: &Unit) -> PathBuf {
        self.root.join(format!("{}.{}", unit.id, unit.nonce))
    }

    /// The directory of one of its engines.
    pub(super) fn member(&self, unit: &Unit, member: Member) -> PathBuf {
        self.instance(unit).join(number(member))
    }

    /// Data that is to become the master's, or was.
    pub(super) fn next(&self, unit: &Unit) -> PathBuf {
        self.instance(unit).join("next")
    }

    /// Makes the directories of an instance.
    pub(super) fn prepare(&self, unit: &Unit) -> io::Result<()> {
        unit.members().iter().try_for_each(|member| make(&self.member(unit, *member)))
    }

    /// Removes the directories of an instance. They do not come back with a power cut: nobody
    /// would know them, as the instance is forgotten next.
    pub(super) fn remove(&self, unit: &Unit) -> io::Result<()> {
        let remove = || match std::fs::remove_dir_all(self.instance(unit)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        };
        match remove() {
            // A manifest was just being written there; no second one is.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => remove()?,
            done => done?,
        }
        File::open(&self.root)?.sync_all()
    }

    /// Every instance that has a directory, each once.
    pub(super) fn inventory(&self) -> io::Result<Vec<InstanceId>> {
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.rsplit_once('.'));
            ids.extend(id.and_then(|(id, _nonce)| InstanceId::parse(id).ok()));
        }
        ids.sort();
        ids.dedup();
        Ok(ids)
    }
}

fn number(member: Member) -> &'static str {
    match member {
        Member::First => "0",
        Member::Second => "1",
    }
}

fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}
