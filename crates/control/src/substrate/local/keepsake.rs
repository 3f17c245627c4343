//! What is to be remembered of an instance when the store is lost: `instance.json` in its
//! directory, 0600.
//!
//! Its text is the caller's; here it is only replaced as a whole, and on the disk when that
//! returns. [`survey`] shows what lies in a data directory to whoever makes a store anew: it reads,
//! and touches nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::private::replace;
use super::{Inner, Trouble, Unit, machine};

const MANIFEST: &str = "instance.json";
/// No manifest is as long, bytes.
const LONGEST: u64 = 16 << 20;

/// The directory of an instance, as it lies there.
#[derive(Debug)]
pub struct Place {
    /// Its name: the instance's id, a dot, its nonce.
    pub name: String,
    /// Its manifest, if there is one.
    pub manifest: io::Result<Option<Vec<u8>>>,
    /// The processes that work in it.
    pub pids: Vec<u32>,
}

/// Every directory of an instance below a data directory, by name.
pub fn survey(data_dir: &Path) -> io::Result<Vec<Place>> {
    let mut places: Vec<_> = directories(data_dir)?
        .into_iter()
        .map(|(name, path)| Place { name, manifest: read(&path), pids: processes_below(&path) })
        .collect();
    places.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(places)
}

/// The manifests of all instances below a data directory, each with its directory's name. One that
/// can't be read is left out.
pub fn manifests(data_dir: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let each = directories(data_dir)?.into_iter();
    Ok(each.filter_map(|(name, path)| Some((name, read(&path).ok()??))).collect())
}

/// Whether there is a directory of any instance below a data directory.
pub fn is_inhabited(data_dir: &Path) -> io::Result<bool> {
    Ok(!directories(data_dir)?.is_empty())
}

impl Inner {
    pub(super) fn manifest(&self, unit: &Unit) -> Result<Option<Vec<u8>>, Trouble> {
        read(&self.layout.instance(unit)).map_err(machine("reading the instance's manifest"))
    }

    pub(super) fn keep_manifest(&self, unit: &Unit, text: &[u8]) -> Result<bool, Trouble> {
        let directory = self.layout.instance(unit);
        match replace(&directory, MANIFEST, text) {
            // There is none yet, or it has just been removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            done => done.map(|()| true).map_err(machine("writing the instance's manifest")),
        }
    }
}

fn directories(data_dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let root = match data_dir.join("engines").canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        root => root?,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    Ok(found)
}

fn read(directory: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(directory.join(MANIFEST)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(Some(text))
}

fn processes_below(directory: &Path) -> Vec<u32> {
    let Ok(processes) = procfs::process::all_processes() else {
        return Vec::new();
    };
    let below = processes
        .filter_map(Result::ok)
        .filter(|process| process.cwd().is_ok_and(|cwd| cwd.starts_with(directory)));
    below.filter_map(|process| u32::try_from(process.pid()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_lies_there_is_shown_whatever_state_it_is_in() {
        let dir = tempfile::tempdir().unwrap();
        assert!(survey(dir.path()).unwrap().is_empty());
        assert!(!is_inhabited(dir.path()).unwrap());
        let (kept, bare) = (dir.path().join("engines/r-1.n"), dir.path().join("engines/r-2.n"));
        std::fs::create_dir_all(&kept).unwrap();
        std::fs::create_dir_all(&bare).unwrap();
        replace(&kept, MANIFEST, b"one").unwrap();
        replace(&kept, MANIFEST, b"two").unwrap();
        let mode = kept.join(MANIFEST).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = survey(dir.path()).unwrap();
        let shown = |place: &Place| (place.name.clone(), place.manifest.as_ref().unwrap().clone());
        let shown: Vec<_> = found.iter().map(shown).collect();
        assert_eq!(shown, [("r-1.n".into(), Some(b"two".to_vec())), ("r-2.n".into(), None)]);
        assert!(is_inhabited(dir.path()).unwrap());
    }
}
