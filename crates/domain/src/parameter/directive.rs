//! What a real engine of a given version is told.

use super::table::{Parameter, Scope, parameters};
use super::{Parameters, Value};
use crate::instance::InstanceType;

/// The parameter whose directive covers several classes of clients; only this class is settable.
const PUBSUB_LIMITS: &str = "client-output-buffer-limit pubsub";

/// A line for the engine, as `name value`.
///
/// The value is made of table words and numbers: printable ASCII without quotes. It may be empty
/// (`notify-keyspace-events`), which a configuration file has to write as `""`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The directive, e.g. `maxmemory-policy`.
    pub name: &'static str,
    /// Its value, e.g. `volatile-lru`.
    pub value: String,
}

impl Parameters {
    /// Everything an engine of that version (major, minor; Valkey counts as 7.2) is told: the
    /// instance's settings, and the table's defaults for the rest. Directives and words that the
    /// engine does not have are left out.
    ///
    /// Persistence, memory and the number of databases are not among them: they follow from
    /// class and node type.
    pub fn directives(&self, engine: (u16, u16)) -> Vec<Directive> {
        if self.instance_type == InstanceType::Memcache {
            return Vec::new();
        }
        parameters()
            .iter()
            .enumerate()
            .filter(|(_, parameter)| parameter.exists_for(self.version))
            .filter_map(|(at, parameter)| {
                let value = self.values.get(&at).unwrap_or(&parameter.default);
                directive(parameter, value, engine)
            })
            .collect()
    }
}

fn directive(
    parameter: &'static Parameter,
    value: &Value,
    engine: (u16, u16),
) -> Option<Directive> {
    let gone = parameter.engine_until.is_some_and(|until| engine >= until);
    let not_yet = parameter.engine_since.is_some_and(|since| engine < since);
    let unknown_word =
        engine < (4, 0) && matches!(value, Value::Word(word) if word.ends_with("-lfu"));
    if parameter.scope != Scope::Engine || gone || not_yet || unknown_word {
        return None;
    }
    let name = match &parameter.renamed {
        Some(renamed) if engine >= renamed.since => &renamed.name,
        _ => parameter.directive.as_ref()?,
    };
    let value = match (parameter.name.as_str(), value) {
        (PUBSUB_LIMITS, value) => format!("pubsub {value}"),
        (_, Value::Int(number)) => fitted(parameter, *number, engine).to_string(),
        (_, value) => value.to_string(),
    };
    Some(Directive { name, value })
}

/// The number, or the largest one that the engine can hold: a larger one would wrap around there.
fn fitted(parameter: &Parameter, number: i64, engine: (u16, u16)) -> i64 {
    match parameter.engine_most {
        Some(most) if engine < most.until => number.min(most.value),
        _ => number,
    }
}
