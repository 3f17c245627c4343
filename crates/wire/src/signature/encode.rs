//! Percent-encoding as both signature schemes want it: RFC 3986 unreserved characters stay, all
//! other bytes become `%` and two upper-case hex digits.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::Params;

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The text, encoded.
pub(crate) fn once(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

/// Appends the encoding of the encoding of `text`.
pub(super) fn push_twice(out: &mut String, text: &str) {
    for chunk in once(text) {
        // A chunk is one encoded byte or a run of characters that stay as they are.
        match chunk.strip_prefix('%') {
            Some(digits) => {
                out.push_str("%25");
                out.push_str(digits);
            }
            None => out.push_str(chunk),
        }
    }
}

/// `name=value` pairs joined by `&`, in byte order of the names; empty values keep their `=`.
pub(crate) fn query(params: &Params) -> String {
    let mut out = String::new();
    for (name, value) in params.iter() {
        if !out.is_empty() {
            out.push('&');
        }
        out.extend(once(name));
        out.push('=');
        out.extend(once(value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "aZ09-_.~ *+/!'()%:&=é测";
    const ENCODED: &str = "aZ09-_.~%20%2A%2B%2F%21%27%28%29%25%3A%26%3D%C3%A9%E6%B5%8B";

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(once(TEXT).to_string(), ENCODED);
    }

    #[test]
    fn twice_is_once_after_once() {
        let mut twice = String::new();
        push_twice(&mut twice, TEXT);
        assert_eq!(twice, once(ENCODED).to_string());
    }

    #[test]
    fn a_query_is_sorted_and_keeps_empty_values() {
        let pairs = [("b", ""), ("a", "x y"), ("B", "1")];
        let params = Params::from_pairs(pairs.map(|(n, v)| (n.into(), v.into())));
        assert_eq!(query(&params), "B=1&a=x%20y&b=");
    }
}
