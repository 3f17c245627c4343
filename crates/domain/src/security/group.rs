//! The name and the attribute of a group.

use std::fmt;
use std::str::FromStr;

/// The group that every instance has.
const DEFAULT: &str = "default";

/// 2 to 32 lower-case letters, digits and underscores, the first a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

/// What a group is marked with, as `hidden`, which keeps it out of the vendor's console; often
/// nothing. At most 32 lower-case letters, digits and underscores.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupAttribute(String);

/// Not the name or the attribute of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must consist of at most 32 lower-case letters, digits and underscores")]
pub struct NoGroup;

impl GroupName {
    /// Whether it is that of the group that every instance has.
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT
    }

    /// The name as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl GroupAttribute {
    /// The attribute as it stands on the wire; may be empty.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for GroupName {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl FromStr for GroupName {
    type Err = NoGroup;

    fn from_str(text: &str) -> Result<Self, NoGroup> {
        let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
        if begins && text.len() >= 2 && is_word(text) {
            Ok(Self(text.into()))
        } else {
            Err(NoGroup)
        }
    }
}

impl FromStr for GroupAttribute {
    type Err = NoGroup;

    fn from_str(text: &str) -> Result<Self, NoGroup> {
        if is_word(text) { Ok(Self(text.into())) } else { Err(NoGroup) }
    }
}

fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= 32 && text.bytes().all(plain)
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for GroupAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_of_the_vendors_form() {
        for text in ["default", "ab", "ali_dms_group", "a_1", &"a".repeat(32)] {
            assert_eq!(text.parse::<GroupName>().unwrap().as_str(), text);
        }
        for text in ["", "a", "1a", "_a", "Ab", "a-b", "a b", "a\n", "ａｂ", &"a".repeat(33)] {
            assert_eq!(text.parse::<GroupName>(), Err(NoGroup), "{text:?}");
        }
    }

    #[test]
    fn takes_words_for_attributes() {
        for text in ["", "hidden", "1"] {
            assert_eq!(text.parse::<GroupAttribute>().unwrap().as_str(), text);
        }
        for text in ["Hidden", "a b", "é", &"a".repeat(33)] {
            assert_eq!(text.parse::<GroupAttribute>(), Err(NoGroup), "{text:?}");
        }
    }
}
