//! The first bytes of an RDB file.
//!
//! An engine takes what it can of the version, and below 5 it looks for no checksum: one damaged
//! byte here would switch off what finds all others. So this is looked at before any engine does.

use crate::substrate::Trouble;

/// `REDIS` and four digits.
const MAGIC: &[u8] = b"REDIS";
const LENGTH: usize = 9;
/// The first version with a checksum.
const CHECKED_SINCE: u32 = 5;

/// The beginning of a file of which the rest is still to come.
#[derive(Debug, Default)]
pub(super) struct Header(Vec<u8>);

impl Header {
    /// Looks at the next bytes.
    pub(super) fn see(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let missing = LENGTH.saturating_sub(self.0.len());
        if missing == 0 {
            return Ok(());
        }
        self.0.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        if self.0.len() < LENGTH { Ok(()) } else { self.end() }
    }

    /// All bytes were seen.
    pub(super) fn end(&self) -> Result<(), Trouble> {
        let version = self.0.strip_prefix(MAGIC).and_then(|digits| {
            let digits = digits.iter().map(|digit| char::from(*digit).to_digit(10));
            digits.collect::<Option<Vec<u32>>>().filter(|digits| digits.len() == 4)
        });
        match version.map(|digits| digits.into_iter().fold(0, |sum, digit| sum * 10 + digit)) {
            Some(CHECKED_SINCE..) => Ok(()),
            _ => Err(Trouble::Dataset { reason: "it does not begin as an RDB file does".into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(b"REDIS0006", true)]
    #[case(b"REDIS0011\xfa and more", true)]
    #[case(b"REDIS0004", false)]
    #[case(b"REDIS001\xcf", false)]
    #[case(b"REDIS 010", false)]
    #[case(b"REDIX0010", false)]
    #[case(b"REDIS001", false)]
    #[case(b"", false)]
    fn is_told_however_it_comes(#[case] bytes: &[u8], #[case] sound: bool) {
        for size in 1..12 {
            let mut header = Header::default();
            let seen = bytes.chunks(size).try_for_each(|chunk| header.see(chunk));
            assert_eq!(seen.and_then(|()| header.end()).is_ok(), sound, "in parts of {size}");
        }
    }
}
