//! Form-urlencoded text (query strings and form bodies) to parameters.
//!
//! Strict where the usual decoders are lenient: text that is not UTF-8 is refused instead of being
//! replaced, because a replacement would be signed. A `%` without two hex digits stands for itself,
//! as it does in the decoders that clients use.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::{Fault, Limits, Params, common};

/// The media type of a form body.
pub(crate) const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// Adds the decoded pairs of `text` to `params`.
pub(crate) fn decode_into(params: &mut Params, text: &[u8], limits: &Limits) -> Result<(), Fault> {
    let segments = text.split(|byte| *byte == b'&').filter(|segment| !segment.is_empty());
    for (count, segment) in segments.enumerate() {
        // Counted here as well as by `admit`: equal repetitions cost time without adding entries.
        if count >= limits.params {
            return Err(common::too_many_parameters(limits.params));
        }
        let equals = segment.iter().position(|byte| *byte == b'=');
        let (name, value) = match equals {
            Some(at) => (&segment[..at], &segment[at + 1..]),
            None => (segment, &[][..]),
        };
        limits.admit(params, decode(name)?, decode(value)?)?;
    }
    Ok(())
}

fn decode(text: &[u8]) -> Result<String, Fault> {
    let spaced: Cow<'_, [u8]> = if text.contains(&b'+') {
        let spaces = |byte: &u8| if *byte == b'+' { b' ' } else { *byte };
        text.iter().map(spaces).collect::<Vec<_>>().into()
    } else {
        text.into()
    };
    let decoded = percent_decode(&spaced).decode_utf8().map_err(|_| common::not_utf8())?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Result<Vec<(String, String)>, Fault> {
        let mut params = Params::new();
        decode_into(&mut params, text.as_bytes(), &Limits::default())?;
        Ok(params.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect()
    }

    #[test]
    fn plus_and_percent_20_are_both_a_space() {
        assert_eq!(
            decoded("a=x+y&b=x%20y&c=x%2By"),
            Ok(pairs(&[("a", "x y"), ("b", "x y"), ("c", "x+y")]))
        );
    }

    #[test]
    fn pairs_may_lack_a_value_or_an_equals_sign() {
        assert_eq!(decoded("&&a&b=&c=d=e&"), Ok(pairs(&[("a", ""), ("b", ""), ("c", "d=e")])));
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        assert_eq!(decoded("a=%ff"), Err(common::not_utf8()));
        assert_eq!(decoded("%e6%b5=a"), Err(common::not_utf8()));
        assert_eq!(decoded("a=%E6%b5%8B&b=%zz%4"), Ok(pairs(&[("a", "测"), ("b", "%zz%4")])));
    }

    #[test]
    fn a_repeated_name_must_repeat_its_value() {
        assert_eq!(decoded("a=1&a=%31"), Ok(pairs(&[("a", "1")])));
        assert_eq!(decoded("a=1&a=2"), Err(common::repeated_parameter("a")));
    }

    #[test]
    fn counts_and_sizes_are_bounded() {
        let limits = Limits { params: 2, name_bytes: 3, value_bytes: 4, ..Limits::default() };
        let read = |text: &str| decode_into(&mut Params::new(), text.as_bytes(), &limits);
        assert_eq!(read("a=1&b=2&"), Ok(()));
        assert_eq!(read("a=1&b=2&c=3"), Err(common::too_many_parameters(2)));
        assert_eq!(read("a=1&a=1&a=1"), Err(common::too_many_parameters(2)));
        assert_eq!(read("abc=1234"), Ok(()));
        assert_eq!(read("abcd=1"), Err(common::parameter_name_too_long(3)));
        assert_eq!(read("abc=12345"), Err(common::parameter_value_too_long("abc", 4)));
    }
}
