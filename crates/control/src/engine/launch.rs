//! How an engine is called: arguments, environment and what it reads on standard input.

use std::ffi::OsString;
use std::fmt::Write as _;

use ourkv_domain::secret::Secret;

/// A call of an engine. Arguments and environment are visible to every user of the machine and
/// hold no secret; standard input may.
#[derive(Debug)]
pub struct Launch {
    /// Arguments after the program's name.
    pub arguments: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub environment: Vec<(&'static str, OsString)>,
    /// What it reads before it begins.
    pub input: Option<Secret>,
}

/// A value that cannot be told to an engine without breaking a line or a word of its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value of {setting} cannot be written into a configuration")]
pub struct Unwritable {
    /// The setting, as the engine names it.
    pub setting: &'static str,
}

/// Whether a text stands for itself in a line of configuration: printable ASCII without blanks,
/// quotes and escapes.
pub(super) fn is_plain_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(&b))
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
