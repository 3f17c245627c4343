//! Instance names (CreateInstance page, row InstanceName).

/// A name of 2 to 128 characters that starts with a letter or a Chinese character and holds none
/// of `@ / : = " “ ” < > { [ ] }` and no white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceName(String);

/// The text is not an instance name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an instance name")]
pub struct MalformedName;

impl InstanceName {
    /// Takes a well-formed name. Lengths count characters, not bytes.
    pub fn parse(text: &str) -> Result<Self, MalformedName> {
        let first = text.chars().next().ok_or(MalformedName)?;
        let well_formed = (2..=128).contains(&text.chars().count())
            && (first.is_ascii_alphabetic() || is_chinese(first))
            && !text.chars().any(is_forbidden);
        if well_formed { Ok(Self(text.to_owned())) } else { Err(MalformedName) }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// CJK ideographs: the unified block, its extensions, and the compatibility block.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{323AF}')
}

/// The page writes a closing typographic quote where others write `"`: all three are refused.
fn is_forbidden(c: char) -> bool {
    matches!(c, '@' | '/' | ':' | '=' | '"' | '“' | '”' | '<' | '>' | '{' | '[' | ']' | '}')
        || c.is_whitespace()
        || c.is_control()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::page_example("apitest")]
    #[case::shortest("ab")]
    #[case::chinese("测试实例-A1")]
    #[case::punctuation("a_b-c.d,e!(f)'")]
    fn accepts(#[case] text: &str) {
        assert_eq!(InstanceName::parse(text).unwrap().as_str(), text);
    }

    #[test]
    fn counts_characters_not_bytes() {
        assert!(InstanceName::parse(&"测".repeat(128)).is_ok());
        assert!(InstanceName::parse(&"测".repeat(129)).is_err());
    }

    #[rstest]
    #[case::empty("")]
    #[case::one_character("a")]
    #[case::digit_first("1ab")]
    #[case::underscore_first("_ab")]
    #[case::accented_first("éab")]
    #[case::space("a b")]
    #[case::ideographic_space("a\u{3000}b")]
    #[case::newline("a\nb")]
    #[case::nul("a\0b")]
    fn refuses(#[case] text: &str) {
        assert!(InstanceName::parse(text).is_err());
    }

    #[test]
    fn refuses_each_listed_character() {
        for c in "@/:=\"“”<>{[]}".chars() {
            assert!(InstanceName::parse(&format!("ab{c}")).is_err(), "{c}");
        }
    }
}
