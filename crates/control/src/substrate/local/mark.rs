//! What data lies in a directory, and in which form: the mark that is written when it is whole.
//!
//! A directory without a mark began empty. A mark that cannot be read is no mark: it is replaced
//! at once and as a whole, so there is none that is half written.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ourkv_domain::backup::EngineStamp;
use serde::{Deserialize, Serialize};

use super::private::{read_private, replace};
use crate::engine::trial::DUMP;

const MARK: &str = "dataset.json";

/// The data that was put into a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Which restore it is for.
    pub(super) serial: i64,
    /// The engine that wrote it; no older one may be started on it.
    pub(super) engine: EngineStamp,
    /// Where it lies.
    pub(super) form: Form,
    /// Whether it is still what an engine has to start from. Once it is not, a dump in the
    /// directory is only what a save left.
    pub(super) pending: bool,
    /// Whether its dump, which is not started from any more, may still be there.
    #[serde(default)]
    pub(super) over: bool,
    /// The run of the machine that it is good for, while the disk may not have all of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<String>,
}

impl Mark {
    /// Whether a dump in the directory is this data, and not what a save left.
    pub(super) fn has_the_dump(&self) -> bool {
        self.form == Form::Dump && (self.pending || self.over)
    }
}

/// The form in which an engine finds data at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// `dump.rdb`, read by engines that append to no file.
    Dump,
    /// `appendonly.aof` that begins with it (4.0 and later).
    Preamble,
    /// The base of an append-only file in parts (7.0 and later).
    Base,
}

impl Mark {
    /// The mark of a directory, if its data is whole.
    pub(super) fn read(directory: &Path) -> io::Result<Option<Self>> {
        match read_private(&directory.join(MARK)) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok().filter(Self::is_of_this_run)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_of_this_run(&self) -> bool {
        self.run.is_none() || self.run == Self::this_run()
    }

    /// What tells this run of the machine from all others.
    pub(super) fn this_run() -> Option<String> {
        procfs::sys::kernel::random::boot_id().ok()
    }

    /// Removes the mark of a directory.
    pub(super) fn remove(directory: &Path) -> io::Result<()> {
        std::fs::remove_file(directory.join(MARK))?;
        File::open(directory)?.sync_all()
    }

    /// Marks a directory, durably.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        replace(directory, MARK, &serde_json::to_vec(self)?)
    }
}

impl Form {
    /// The form for an engine of this level.
    pub(super) fn fit(keeps_data: bool, level: (u16, u16)) -> Self {
        match keeps_data {
            true if level >= (7, 0) => Self::Base,
            true if level >= (4, 0) => Self::Preamble,
            _ => Self::Dump,
        }
    }

    /// Whether an engine of this level finds it in this form. From 7.0 on an engine moves the
    /// file of an older one over.
    pub(super) fn is_found(self, keeps_data: bool, level: (u16, u16)) -> bool {
        match self {
            // An engine that appends to a file is first started as one that doesn't.
            Self::Dump => true,
            Self::Preamble => keeps_data && level >= (4, 0),
            Self::Base => keeps_data && level >= (7, 0),
        }
    }

    /// The file of the data.
    pub(super) fn file(self, directory: &Path) -> PathBuf {
        match self {
            Self::Dump => directory.join(DUMP),
            Self::Preamble => directory.join("appendonly.aof"),
            Self::Base => directory.join("appendonlydir/appendonly.aof.1.base.rdb"),
        }
    }

    /// What else the engine needs to find it, as a file and its text.
    pub(super) fn index(self, directory: &Path) -> Option<(PathBuf, &'static str)> {
        let manifest = directory.join("appendonlydir/appendonly.aof.manifest");
        let text = "file appendonly.aof.1.base.rdb seq 1 type b\n";
        (self == Self::Base).then_some((manifest, text))
    }
}

#[cfg(test)]
mod tests {
    use ourkv_domain::backup::EngineKind;

    use super::*;

    #[test]
    fn a_torn_mark_is_no_mark() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Mark::read(directory.path()).unwrap(), None);
        let engine = EngineStamp { kind: EngineKind::Redis, version: (7, 0, 15) };
        let mark =
            Mark { serial: 3, engine, form: Form::Base, pending: true, over: false, run: None };
        mark.write(directory.path()).unwrap();
        assert_eq!(Mark::read(directory.path()).unwrap(), Some(mark));
        let path = directory.path().join(MARK);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(Mark::read(directory.path()).unwrap(), None, "cut at {length}");
        }
    }

    #[test]
    fn a_mark_for_another_run_of_the_machine_is_no_mark() {
        let directory = tempfile::tempdir().unwrap();
        let engine = EngineStamp { kind: EngineKind::Redis, version: (7, 0, 15) };
        let form = Form::Base;
        let (run, pending) = (Mark::this_run(), true);
        let mark = Mark { serial: 3, engine, form, pending, over: false, run };
        mark.write(directory.path()).unwrap();
        assert_eq!(Mark::read(directory.path()).unwrap(), Some(mark.clone()));
        Mark { run: Some("another".into()), ..mark }.write(directory.path()).unwrap();
        assert_eq!(Mark::read(directory.path()).unwrap(), None);
    }

    #[test]
    fn each_engine_finds_the_form_that_fits_it() {
        for level in [(2, 8), (3, 2), (4, 0), (6, 2), (7, 0), (8, 0)] {
            for keeps_data in [false, true] {
                assert!(Form::fit(keeps_data, level).is_found(keeps_data, level));
            }
        }
        assert!(Form::Preamble.is_found(true, (7, 0)));
        assert!(!Form::Base.is_found(true, (6, 2)));
        assert!(!Form::Base.is_found(false, (7, 0)));
    }
}
