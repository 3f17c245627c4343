//! The parameters of a call: decoded names to decoded values.
//!
//! Names are case-sensitive and kept in byte order, which is the order signatures need. A parameter
//! with an empty value counts as absent everywhere but in signatures ([`Params::get_raw`]).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::Fault;

/// Decoded parameters by name.
///
/// The `Debug` form shows names only: values include passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parameters from pairs; the last of several equal names wins.
    pub fn from_pairs<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// Sets a parameter, replacing what it was.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// The value, unless the parameter is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_raw(name).filter(|value| !value.is_empty())
    }

    /// The value as sent, which may be empty.
    pub fn get_raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a mandatory parameter, or `MissingParameter`.
    pub fn required(&self, name: &str) -> Result<&str, Fault> {
        self.get(name).ok_or_else(|| Fault::missing(name))
    }

    /// A boolean: `true`, `false`, and the spelling `True`, `False` of Python clients.
    pub fn parse_bool(&self, name: &str) -> Result<Option<bool>, Fault> {
        match self.get(name) {
            None => Ok(None),
            Some("true" | "True") => Ok(Some(true)),
            Some("false" | "False") => Ok(Some(false)),
            Some(_) => Err(Fault::malformed(name)),
        }
    }

    /// A decimal integer that fits `T`.
    pub fn parse_int<T: FromStr>(&self, name: &str) -> Result<Option<T>, Fault> {
        self.get(name).map(|text| text.parse().map_err(|_| Fault::malformed(name))).transpose()
    }

    /// The members `Name.1`, `Name.2`, … of a list of texts, in order, empty ones left out.
    ///
    /// An index that is not a plain positive number, or that leaves a gap, makes the list malformed.
    pub fn list(&self, prefix: &str) -> Result<Vec<&str>, Fault> {
        let mut members = BTreeMap::new();
        for (index, value) in self.under(prefix) {
            members.insert(position(prefix, index)?, value);
        }
        refuse_gaps(prefix, members.keys())?;
        Ok(members.into_values().filter(|value| !value.is_empty()).collect())
    }

    /// The members `Name.1.Key`, `Name.1.Value`, `Name.2.Key`, … of a list of objects, in order.
    ///
    /// Each object holds its fields under their own names (`Key`, `Value`). Indexes as in
    /// [`Params::list`].
    pub fn objects(&self, prefix: &str) -> Result<Vec<Params>, Fault> {
        let mut members: BTreeMap<u32, Params> = BTreeMap::new();
        for (rest, value) in self.under(prefix) {
            let (index, field) = rest.split_once('.').ok_or_else(|| Fault::malformed(prefix))?;
            members.entry(position(prefix, index)?).or_default().insert(field, value);
        }
        refuse_gaps(prefix, members.keys())?;
        Ok(members.into_values().collect())
    }

    /// Names and values as sent, in byte order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many parameters there are, empty ones included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no parameter at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The parameters whose name is `prefix`, a dot and more; with that "more".
    fn under(&self, prefix: &str) -> Vec<(&str, &str)> {
        let start = format!("{prefix}.");
        self.0
            .range(start.clone()..)
            .map_while(|(name, value)| Some((name.strip_prefix(&start)?, value.as_str())))
            .collect()
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One list index as written: digits without a sign or a leading zero, from 1.
fn position(prefix: &str, text: &str) -> Result<u32, Fault> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    match text.parse() {
        Ok(index) if plain => Ok(index),
        _ => Err(Fault::malformed(prefix)),
    }
}

fn refuse_gaps<'a>(prefix: &str, indexes: impl Iterator<Item = &'a u32>) -> Result<(), Fault> {
    if (1..).zip(indexes).all(|(expected, index)| expected == *index) {
        Ok(())
    } else {
        Err(Fault::malformed(prefix))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params::from_pairs(pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())))
    }

    #[test]
    fn an_empty_value_counts_as_absent() {
        let params = params(&[("Empty", ""), ("Full", "x")]);
        assert_eq!(params.get("Empty"), None);
        assert_eq!(params.get_raw("Empty"), Some(""));
        assert_eq!(params.get("Full"), Some("x"));
        assert_eq!(params.required("Empty"), Err(Fault::missing("Empty")));
        assert_eq!(params.parse_bool("Empty"), Ok(None));
        assert_eq!(params.parse_int::<u8>("Empty"), Ok(None));
    }

    #[test]
    fn names_are_case_sensitive() {
        assert_eq!(params(&[("regionid", "x")]).get("RegionId"), None);
    }

    #[rstest]
    #[case("true", Ok(Some(true)))]
    #[case("True", Ok(Some(true)))]
    #[case("false", Ok(Some(false)))]
    #[case("False", Ok(Some(false)))]
    #[case("TRUE", Err(Fault::malformed("B")))]
    #[case("1", Err(Fault::malformed("B")))]
    #[case(" true", Err(Fault::malformed("B")))]
    fn booleans_have_four_spellings(
        #[case] text: &str,
        #[case] expected: Result<Option<bool>, Fault>,
    ) {
        assert_eq!(params(&[("B", text)]).parse_bool("B"), expected);
    }

    #[rstest]
    #[case("12", Ok(Some(12)))]
    #[case("256", Err(Fault::malformed("N")))]
    #[case("-1", Err(Fault::malformed("N")))]
    #[case("1.0", Err(Fault::malformed("N")))]
    #[case("１", Err(Fault::malformed("N")))]
    fn integers_are_decimal_and_in_range(
        #[case] text: &str,
        #[case] expected: Result<Option<u8>, Fault>,
    ) {
        assert_eq!(params(&[("N", text)]).parse_int::<u8>("N"), expected);
    }

    #[test]
    fn a_list_is_in_the_order_of_its_indexes() {
        let pairs: Vec<_> = (1..=12).map(|n| (format!("Id.{n}"), n.to_string())).collect();
        let list = Params::from_pairs(pairs);
        assert_eq!(
            list.list("Id").unwrap(),
            ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]
        );
        assert!(list.list("I").unwrap().is_empty());
        assert_eq!(
            params(&[("Id.1", ""), ("Id.2", "b"), ("IdX.9", "no")]).list("Id"),
            Ok(vec!["b"])
        );
    }

    #[rstest]
    #[case("Id.2")]
    #[case("Id.0")]
    #[case("Id.01")]
    #[case("Id.-1")]
    #[case("Id.+1")]
    #[case("Id.1000000")]
    #[case("Id.99999999999999999999")]
    #[case("Id.")]
    #[case("Id.1.Key")]
    #[case("Id.x")]
    fn a_list_refuses_odd_indexes_and_gaps(#[case] name: &str) {
        assert_eq!(params(&[(name, "v")]).list("Id"), Err(Fault::malformed("Id")));
    }

    #[test]
    fn objects_collect_their_fields() {
        let tags = params(&[("Tag.1.Key", "a"), ("Tag.1.Value", ""), ("Tag.2.Key", "b")])
            .objects("Tag")
            .unwrap();
        assert_eq!(tags, [params(&[("Key", "a"), ("Value", "")]), params(&[("Key", "b")])]);
    }

    #[rstest]
    #[case("Tag.2.Key")]
    #[case("Tag.1")]
    #[case("Tag.-1.Key")]
    #[case("Tag..Key")]
    fn objects_refuse_odd_indexes_and_gaps(#[case] name: &str) {
        assert_eq!(params(&[(name, "v")]).objects("Tag"), Err(Fault::malformed("Tag")));
    }

    #[test]
    fn debug_shows_no_value() {
        let text = format!("{:?}", params(&[("Password", "Aa1!secret")]));
        assert_eq!(text, r#"{"Password"}"#);
    }
}
