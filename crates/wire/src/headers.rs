//! The headers of one request, looked up by name.

use std::collections::BTreeMap;

use crate::{Fault, common};

/// Headers by lower-case name. One that was sent with several different values is unreadable,
/// because a signature covers only one of them.
pub(crate) struct Headers<'a>(BTreeMap<&'a str, Result<&'a str, Repeated>>);

/// Sent more than once with different values.
#[derive(Clone, Copy)]
struct Repeated;

impl<'a> Headers<'a> {
    pub(crate) fn index(headers: &'a [(String, String)]) -> Self {
        let mut index: BTreeMap<&str, Result<&str, Repeated>> = BTreeMap::new();
        for (name, value) in headers {
            let value = value.trim();
            index
                .entry(name)
                .and_modify(|earlier| {
                    if !matches!(earlier, Ok(earlier) if *earlier == value) {
                        *earlier = Err(Repeated);
                    }
                })
                .or_insert(Ok(value));
        }
        Self(index)
    }

    /// The trimmed value, if the header was sent.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(Repeated)) => Err(common::repeated_parameter(name)),
        }
    }

    /// The trimmed value of a header that must be there and not be empty.
    pub(crate) fn required(&self, name: &str) -> Result<&'a str, Fault> {
        self.get(name)?.filter(|value| !value.is_empty()).ok_or_else(|| Fault::missing(name))
    }

    /// Whether `Content-Type` is `media_type`, whatever its parameters and letter case.
    pub(crate) fn content_is(&self, media_type: &str) -> Result<bool, Fault> {
        let sent = self.get("content-type")?.unwrap_or_default();
        let bare = sent.split(';').next().unwrap_or_default().trim();
        Ok(bare.eq_ignore_ascii_case(media_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect()
    }

    #[test]
    fn an_equal_repetition_is_one_header_and_a_different_one_is_refused() {
        let sent = sent(&[("a", "1"), ("a", " 1 "), ("b", "1"), ("b", "2"), ("b", "1")]);
        let headers = Headers::index(&sent);
        assert_eq!(headers.get("a"), Ok(Some("1")));
        assert_eq!(headers.get("b"), Err(common::repeated_parameter("b")));
        assert_eq!(headers.get("c"), Ok(None));
        assert_eq!(headers.required("c"), Err(Fault::missing("c")));
    }

    #[test]
    fn the_media_type_ignores_parameters_and_case() {
        let sent = sent(&[("content-type", "Application/JSON; charset=utf-8")]);
        let headers = Headers::index(&sent);
        assert_eq!(headers.content_is("application/json"), Ok(true));
        assert_eq!(headers.content_is("application/jso"), Ok(false));
    }
}
