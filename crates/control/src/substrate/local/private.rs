//! Small files in directories of instances and engines: closed to others, and whole or not there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// How a file is opened that lies where an engine may write: with no way through a link to anything
/// else, and closed to others.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    options.mode(0o600).custom_flags(i32::try_from(flags).unwrap_or(0));
    options
}

/// The whole of such a file.
pub(super) fn read_private(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    private().read(true).open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces such a file, called `name`, at once; it has the new text when this returns, also after
/// a power cut.
pub(super) fn replace(directory: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    put(directory, name, text, true)
}

/// The same for what a power cut may undo.
pub(super) fn replace_for_now(directory: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    put(directory, name, text, false)
}

fn put(directory: &Path, name: &str, text: &[u8], durable: bool) -> io::Result<()> {
    let unfinished = directory.join(format!("{name}.new"));
    let mut file = private().write(true).create(true).truncate(true).open(&unfinished)?;
    file.write_all(text)?;
    if durable {
        file.sync_all()?;
    }
    std::fs::rename(unfinished, directory.join(name))?;
    if durable {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
