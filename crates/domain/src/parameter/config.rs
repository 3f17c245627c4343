//! Reading the text of `Config`: a flat JSON object, every key at most once.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::table::{self, ALIAS, Scope, parameters};
use super::{ParameterError, Parameters, Value};
use crate::instance::{EngineVersion, InstanceType};

/// Validated settings by their place in the table.
///
/// A Memcache instance has no parameters, so only the empty object is accepted for it.
pub(super) fn read(
    text: &str,
    instance_type: InstanceType,
    version: EngineVersion,
) -> Result<BTreeMap<usize, Value>, ParameterError> {
    if text.len() > Parameters::MAX_CONFIG_BYTES {
        return Err(ParameterError::Malformed);
    }
    let Object(members) = serde_json::from_str(text).map_err(|_| ParameterError::Malformed)?;
    let mut settings = BTreeMap::new();
    for (name, given) in members {
        let (at, value) = match instance_type {
            InstanceType::Redis => setting(&name, given, version)?,
            InstanceType::Memcache => return Err(invalid(&name)),
        };
        if settings.insert(at, value).is_some() {
            return Err(invalid(&name));
        }
    }
    agree_on_alias(&settings)?;
    Ok(settings)
}

fn setting(
    name: &str,
    given: Member,
    version: EngineVersion,
) -> Result<(usize, Value), ParameterError> {
    let at = table::place(name).ok_or_else(|| invalid(name))?;
    let parameter = &parameters()[at];
    if !parameter.exists_for(version) || parameter.scope == Scope::Proxy {
        return Err(ParameterError::NotForVersion { name: parameter.name.clone() });
    }
    let Member::Scalar(given) = given else {
        return Err(invalid(name));
    };
    if !parameter.modifiable {
        return Err(invalid(name));
    }
    Ok((at, parameter.accept(&given, version)?))
}

/// Both names of the policy may be given, as answers show both, but not with two values.
fn agree_on_alias(settings: &BTreeMap<usize, Value>) -> Result<(), ParameterError> {
    let (Some(alias), Some(at)) = (settings.get(&ALIAS), table::alias_of(ALIAS)) else {
        return Ok(());
    };
    match settings.get(&at) {
        Some(policy) if policy != alias => Err(invalid(&parameters()[ALIAS].name)),
        _ => Ok(()),
    }
}

/// Names a refused key without echoing what could break a line.
fn invalid(name: &str) -> ParameterError {
    let name = name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(64).collect();
    ParameterError::Invalid { name }
}

/// A JSON object with its members in order, duplicates included.
struct Object(Vec<(String, Member)>);

/// A value of that object.
enum Member {
    Scalar(Value),
    /// A fraction, a boolean, null, an array or an object: no parameter has such a value.
    Other,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyMember)
    }
}

struct AnyMember;

impl<'de> Visitor<'de> for AnyMember {
    type Value = Member;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Member, E> {
        Ok(Member::Scalar(Value::Int(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Member, E> {
        Ok(i64::try_from(number).map_or(Member::Other, |n| Member::Scalar(Value::Int(n))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Scalar(Value::Word(text.to_owned())))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Member, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::Other)
    }
}
