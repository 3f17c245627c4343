//! The data in a directory that an engine would start from.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::private;
use super::swap::ignore_missing;
use crate::engine::trial::DUMP;
use crate::substrate::Kept;

const APPENDED: &str = "appendonly.aof";
const APPENDED_IN_PARTS: &str = "appendonlydir";
/// No dump without keys is longer: it is a few words about who wrote it.
const LONGEST_EMPTY: u64 = 1024;

/// What there is; `None` where an engine would begin empty.
pub(super) fn in_directory(directory: &Path, loads_dump: bool) -> io::Result<Option<Kept>> {
    let files = if loads_dump { vec![directory.join(DUMP)] } else { appended(directory)? };
    let (mut bytes, mut newest) = (0, None);
    for file in files {
        let metadata = match std::fs::metadata(&file) {
            Ok(metadata) => metadata,
            Err(error) => {
                ignore_missing(error)?;
                continue;
            }
        };
        if metadata.len() > 0 && !is_without_keys(&file, metadata.len())? {
            bytes += metadata.len();
            newest = newest.max(Some(metadata.modified()?));
        }
    }
    Ok(newest.map(|newest| Kept {
        bytes,
        // A clock that was set back makes it new.
        age: newest.elapsed().unwrap_or(Duration::ZERO),
    }))
}

/// The file, or the files in parts of 7.0 and later.
fn appended(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![directory.join(APPENDED)];
    match std::fs::read_dir(directory.join(APPENDED_IN_PARTS)) {
        Ok(entries) => {
            for entry in entries {
                let path = entry?.path();
                let part = path.extension().is_some_and(|kind| kind == "aof" || kind == "rdb");
                files.extend(part.then_some(path));
            }
        }
        Err(error) => ignore_missing(error)?,
    }
    Ok(files)
}

/// Whether a file is a dump of nothing, and nothing follows it.
fn is_without_keys(file: &Path, length: u64) -> io::Result<bool> {
    if length > LONGEST_EMPTY {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    match private().read(true).open(file) {
        Ok(file) => file.take(LONGEST_EMPTY).read_to_end(&mut bytes)?,
        Err(error) => return ignore_missing(error).map(|()| true),
    };
    Ok(rest_of_empty_dump(&bytes).is_some_and(<[u8]>::is_empty))
}

/// What follows a dump of nothing; `None` where it is no such dump. The layout: `REDIS` and four
/// digits; fields, each `0xFA` and two strings; `0xFF`; from version 5 on eight bytes of checksum.
fn rest_of_empty_dump(bytes: &[u8]) -> Option<&[u8]> {
    let (version, mut rest) = bytes.strip_prefix(b"REDIS")?.split_at_checked(4)?;
    let version: u32 = std::str::from_utf8(version).ok()?.parse().ok()?;
    loop {
        rest = match rest.split_first()? {
            (0xFA, fields) => after_string(after_string(fields)?)?,
            (0xFF, end) if version < 5 => return Some(end),
            (0xFF, end) => return end.get(8..),
            _ => return None,
        };
    }
}

/// Behind a string: its length in 6 or 14 bits, or a number of one, two or four bytes.
fn after_string(bytes: &[u8]) -> Option<&[u8]> {
    let (first, rest) = bytes.split_first()?;
    match (first >> 6, first & 0x3F) {
        (0, length) => rest.get(usize::from(length)..),
        (1, high) => {
            let (low, rest) = rest.split_first()?;
            rest.get(usize::from(high) << 8 | usize::from(*low)..)
        }
        (3, kind @ 0..=2) => rest.get(1 << kind..),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As 7.0.15 writes it, with fewer fields.
    fn dump(content: &[u8]) -> Vec<u8> {
        let head = b"REDIS0010\xfa\x09redis-ver\x067.0.15\xfa\x0aredis-bits\xc0\x40".as_slice();
        [head, content, b"\xff12345678"].concat()
    }

    #[test]
    fn nothing_and_dumps_of_nothing_are_no_data() {
        let directory = tempfile::tempdir().unwrap();
        let kept = |dump| in_directory(directory.path(), dump).unwrap();
        assert_eq!((kept(true), kept(false)), (None, None));
        let parts = directory.path().join(APPENDED_IN_PARTS);
        std::fs::create_dir(&parts).unwrap();
        std::fs::write(parts.join("appendonly.aof.1.base.rdb"), dump(b"")).unwrap();
        std::fs::write(parts.join("appendonly.aof.1.incr.aof"), b"").unwrap();
        std::fs::write(parts.join("appendonly.aof.manifest"), b"file").unwrap();
        std::fs::write(directory.path().join(DUMP), dump(b"")).unwrap();
        assert_eq!((kept(true), kept(false)), (None, None));
        std::fs::write(parts.join("appendonly.aof.1.incr.aof"), b"*1\r\n").unwrap();
        let bytes = kept(false).unwrap().bytes;
        assert_eq!(bytes, 4);
        assert_eq!(kept(true), None);
    }

    #[test]
    fn a_dump_with_a_key_and_a_preamble_with_a_command_are_data() {
        let directory = tempfile::tempdir().unwrap();
        let with_key = dump(b"\xfe\x00\xfb\x01\x00\x00\x01a\x01b");
        std::fs::write(directory.path().join(DUMP), &with_key).unwrap();
        let kept = in_directory(directory.path(), true).unwrap().unwrap();
        assert_eq!(kept.bytes, with_key.len() as u64);
        let preamble = [dump(b""), b"*1\r\n".to_vec()].concat();
        std::fs::write(directory.path().join(APPENDED), preamble).unwrap();
        assert!(in_directory(directory.path(), false).unwrap().is_some());
    }

    #[test]
    fn damaged_dumps_count_as_data() {
        let whole = dump(b"");
        for length in 1..whole.len() {
            assert_eq!(rest_of_empty_dump(&whole[..length]), None, "cut at {length}");
        }
        assert_eq!(rest_of_empty_dump(&whole), Some(&b""[..]));
    }
}
