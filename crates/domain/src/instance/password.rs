//! Instance passwords (CreateInstance page, row Password).

use crate::secret::Secret;

/// The listed specials, and `,` and `.`, which the page's own example uses.
const SPECIALS: &str = "!@#$%^&*()_+-=,.";

/// The text is not a password; deliberately without the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a password")]
pub struct MalformedPassword;

/// Takes 8 to 32 characters out of upper-case letters, lower-case letters, digits and
/// [the specials](SPECIALS), of at least three of these kinds.
pub fn parse(text: &str) -> Result<Secret, MalformedPassword> {
    let kinds: [fn(char) -> bool; 4] = [
        |c| c.is_ascii_uppercase(),
        |c| c.is_ascii_lowercase(),
        |c| c.is_ascii_digit(),
        |c| SPECIALS.contains(c),
    ];
    let used = kinds.iter().filter(|is| text.chars().any(is)).count();
    let listed = text.chars().all(|c| kinds.iter().any(|is| is(c)));
    if (8..=32).contains(&text.chars().count()) && listed && used >= 3 {
        Ok(Secret::from(text))
    } else {
        Err(MalformedPassword)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::page_example("Acfr5xxx,.xxx")]
    #[case::shortest("Aa1aaaaa")]
    #[case::longest(&format!("Aa1{}", "x".repeat(29)))]
    #[case::every_special("Aa1!@#$%^&*()_+-=")]
    #[case::no_letters_of_one_case("AAAA1111!")]
    fn accepts(#[case] text: &str) {
        assert_eq!(parse(text).unwrap().expose(), text);
    }

    #[rstest]
    #[case::short("Aa1aaaa")]
    #[case::long(&format!("Aa1{}", "x".repeat(30)))]
    #[case::two_kinds("aaaaaaa1")]
    #[case::space("Aa1 aaaaa")]
    #[case::quote("Aa1\"aaaaa")]
    #[case::hash_of_another_script("Aa1＃aaaaa")]
    #[case::newline("Aa1aaaaa\n")]
    #[case::colon("Aa1:aaaaa")]
    fn refuses(#[case] text: &str) {
        assert!(parse(text).is_err());
    }
}
