//! Whether a directory takes what is written to it, up to the disk.
//!
//! A file system that found an error lets nobody write any more, a disk may take nothing, and
//! neither is seen by who only reads.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// Writes to a file without a name, of which nothing is left, and forces that to the disk. A file
/// system without such files is taken to be well.
pub fn try_writing(directory: &Path) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let mut file: File = match openat(CWD, directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => file.into(),
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    file.write_all(&[0; 512])?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_written_to_and_left_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        try_writing(directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let missing = try_writing(&directory.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
