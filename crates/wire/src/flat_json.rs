//! A JSON body of a V3 request to parameters: one object of texts, numbers, booleans and nulls.
//!
//! A null counts as not sent. Anything nested is refused at its first bracket, so depth costs
//! nothing.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

use crate::{Fault, Limits, Params, common};

/// The media type of a JSON body.
pub(crate) const MEDIA_TYPE: &str = "application/json";

/// Adds the members of the object `text` to `params`.
pub(crate) fn decode_into(params: &mut Params, text: &[u8], limits: &Limits) -> Result<(), Fault> {
    let members = read(text, limits.params).map_err(|_| common::body_not_flat(limits.params))?;
    for (name, scalar) in members {
        if let Some(value) = scalar.0 {
            limits.admit(params, name, value)?;
        }
    }
    Ok(())
}

fn read(text: &[u8], most: usize) -> serde_json::Result<Vec<(String, Scalar)>> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let members = FlatObject { most }.deserialize(&mut json)?;
    json.end()?;
    Ok(members)
}

/// Reads an object of scalars, at most so many of them.
struct FlatObject {
    most: usize,
}

impl<'de> DeserializeSeed<'de> for FlatObject {
    type Value = Vec<(String, Scalar)>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FlatObject {
    type Value = Vec<(String, Scalar)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a flat object of at most {} members", self.most)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = object.next_entry()? {
            if members.len() >= self.most {
                return Err(A::Error::invalid_length(members.len() + 1, &self));
            }
            members.push(member);
        }
        Ok(members)
    }
}

/// A scalar in the text that a query string would carry; `None` for null.
struct Scalar(Option<String>);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a boolean or null")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(Some(text.to_owned())))
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Scalar, E> {
        Ok(Scalar(Some(truth.to_string())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar(Some(number.to_string())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(Some(number.to_string())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar, E> {
        // `Number` keeps the point of 4.0, which an engine version needs.
        let number = Number::from_f64(number).ok_or_else(|| E::custom("not a number"))?;
        Ok(Scalar(Some(number.to_string())))
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
        Ok(Scalar(None))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn limits() -> Limits {
        Limits { params: 6, ..Limits::default() }
    }

    #[test]
    fn scalars_become_the_text_of_a_query() {
        let mut params = Params::new();
        let text = r#"{"S":"a b","N":12,"Neg":-3,"F":4.0,"T":true,"Null":null}"#;
        decode_into(&mut params, text.as_bytes(), &limits()).unwrap();
        let found: Vec<_> = params.iter().collect();
        assert_eq!(found, [("F", "4.0"), ("N", "12"), ("Neg", "-3"), ("S", "a b"), ("T", "true")]);
    }

    #[rstest]
    #[case::nested(r#"{"a":{"b":1}}"#)]
    #[case::list(r#"{"a":[1]}"#)]
    #[case::not_an_object("[]")]
    #[case::not_json("{a:1}")]
    #[case::huge_number(r#"{"a":1e999}"#)]
    #[case::nan(r#"{"a":NaN}"#)]
    #[case::trailing(r#"{"a":1} x"#)]
    #[case::too_many(r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1}"#)]
    fn anything_else_is_refused(#[case] text: &str) {
        assert_eq!(
            decode_into(&mut Params::new(), text.as_bytes(), &limits()),
            Err(common::body_not_flat(6))
        );
    }

    #[test]
    fn depth_costs_nothing() {
        let text = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(
            decode_into(&mut Params::new(), text.as_bytes(), &limits()),
            Err(common::body_not_flat(6))
        );
    }

    #[test]
    fn a_key_given_twice_must_have_one_value() {
        let read =
            |text: &str| decode_into(&mut Params::new(), text.as_bytes(), &Limits::default());
        assert_eq!(read(r#"{"a":1,"a":"1"}"#), Ok(()));
        assert_eq!(read(r#"{"a":1,"a":2}"#), Err(common::repeated_parameter("a")));
    }
}
