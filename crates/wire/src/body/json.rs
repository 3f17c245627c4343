//! JSON text of an answer: the value as it is, without nulls.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

pub(super) fn write(value: &Value) -> String {
    // Serializing can fail on maps with keys that are not texts; a `Value` has none.
    serde_json::to_string(&WithoutNulls(value)).expect("a JSON value is serializable")
}

struct WithoutNulls<'a>(&'a Value);

impl Serialize for WithoutNulls<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let mut map = serializer.serialize_map(None)?;
                for (name, member) in members.iter().filter(|(_, member)| !member.is_null()) {
                    map.serialize_entry(name, &WithoutNulls(member))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(None)?;
                for item in items.iter().filter(|item| !item.is_null()) {
                    list.serialize_element(&WithoutNulls(item))?;
                }
                list.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}
