//! The end of a file that an engine appended to, as a power cut may leave it: the disk had its
//! length already, and not all of its bytes. What was never written reads as zeroes, and no engine
//! starts on those. A command that ends too early is left out by the engine itself.
//!
//! No command ends with a zero, so zeroes at the end can be cut off without losing any. Whatever
//! else may be wrong with a file is left for the engine to say.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};

use super::private;
use super::swap::ignore_missing;

/// How much is read at once.
const BLOCK: usize = 1 << 16;
/// What a dump ends with, before the eight bytes of its checksum.
const END_OF_DUMP: u8 = 0xFF;
const CHECKSUM: u64 = 8;

/// Cuts off what a power cut left at the ends of the files of a directory. No engine may run in it.
/// Returns how many bytes that were.
pub(super) fn mend(directory: &Path) -> io::Result<u64> {
    let mut cut = match private().read(true).write(true).open(directory.join("appendonly.aof")) {
        Ok(file) => mend_file(&file)?,
        Err(error) => ignore_missing(error).map(|()| 0)?,
    };
    // An engine may have put anything there, also a way to somewhere else.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let parts = match openat(CWD, directory.join("appendonlydir"), flags, Mode::empty()) {
        Ok(parts) => parts,
        Err(error) => return ignore_missing(error.into()).map(|()| cut),
    };
    for entry in Dir::read_from(&parts)? {
        let entry = entry?;
        if entry.file_name().to_bytes().ends_with(b".aof") {
            let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat(&parts, entry.file_name(), flags, Mode::empty())?;
            cut += mend_file(&file.into())?;
        }
    }
    Ok(cut)
}

fn mend_file(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let whole = length_without_zeroes(file, length)?;
    if whole == length || ends_with_dump(file, length)? {
        return Ok(0);
    }
    file.set_len(whole)?;
    Ok(length - whole)
}

/// How long a file is but for zeroes at its end.
fn length_without_zeroes(file: &File, length: u64) -> io::Result<u64> {
    let (mut end, mut block) = (length, vec![0; BLOCK]);
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let read = usize::try_from(end - begin).unwrap_or(BLOCK);
        file.read_exact_at(&mut block[..read], begin)?;
        if let Some(last) = block[..read].iter().rposition(|byte| *byte != 0) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// Whether it is a dump that no command follows yet: its checksum may end with zeroes.
fn ends_with_dump(file: &File, length: u64) -> io::Result<bool> {
    let mut head = [0; 5];
    if length < head.len() as u64 + 1 + CHECKSUM {
        return Ok(false);
    }
    file.read_exact_at(&mut head, 0)?;
    let mut end = [0];
    file.read_exact_at(&mut end, length - CHECKSUM - 1)?;
    Ok(&head == b"REDIS" && end == [END_OF_DUMP])
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: &[u8] = b"*1\r\n$4\r\nPING\r\n";

    fn mended(name: &str, parts: &[&[u8]]) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("appendonlydir")).unwrap();
        let file = directory.path().join(name);
        let text = parts.concat();
        std::fs::write(&file, &text).unwrap();
        let cut = mend(directory.path()).unwrap();
        let left = std::fs::read(&file).unwrap();
        assert_eq!(left.len() as u64 + cut, text.len() as u64);
        left
    }

    #[test]
    fn zeroes_at_the_end_of_commands_are_cut_off() {
        for name in ["appendonly.aof", "appendonlydir/appendonly.aof.1.incr.aof"] {
            for zeroes in [0, 1, 8, 9, 4096, BLOCK - COMMAND.len(), BLOCK, 3 * BLOCK + 1] {
                assert_eq!(mended(name, &[COMMAND, &vec![0; zeroes]]), COMMAND, "{zeroes}");
            }
            assert_eq!(mended(name, &[&[0; 5000]]), b"");
            assert_eq!(mended(name, &[b"*1\r\n$4\r\nP", &[0; 7]]), b"*1\r\n$4\r\nP");
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        let dump = b"REDIS0009\xfa\x09redis-ver\x055.0.7\xff123456\0\0";
        assert_eq!(mended("appendonly.aof", &[dump]), dump);
        let followed = [&dump[..], COMMAND].concat();
        assert_eq!(mended("appendonly.aof", &[&followed, &[0; 3]]), followed);
        let inside = [COMMAND, &[0; 64], COMMAND].concat();
        assert_eq!(mended("appendonly.aof", &[&inside]), inside, "the engine will say so");
        let base = b"REDIS0010\xff\0\0\0\0\0\0\0\0";
        assert_eq!(mended("appendonlydir/appendonly.aof.1.base.rdb", &[base]), base);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(mend(elsewhere.path()).unwrap(), 0);
    }

    #[test]
    fn no_link_leads_elsewhere() {
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("one.aof");
        std::fs::write(&file, [0; 9]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("appendonlydir");
        std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
        mend(directory.path()).unwrap_err();
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&file, directory.path().join("appendonly.aof")).unwrap();
        mend(directory.path()).unwrap_err();
        assert_eq!(file.metadata().unwrap().len(), 9);
    }
}
