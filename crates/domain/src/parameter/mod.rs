//! Engine parameters: the text of `Config` on one side, directives of a real engine on the other.
//!
//! Guarantees: a [`Parameters`] holds only values out of the closed lists of the table, so no
//! text of a caller reaches a configuration file. Every word is rebuilt from the table's own
//! text, never copied. It does not know node types, files or engines that run.
//!
//! The vendor is odd: `EvictionPolicy` and `maxmemory-policy` are one parameter with two names,
//! and Terraform sends numbers as JSON strings. Both are accepted.
//!
//! Switches for features that do not exist here (TLS, Sentinel commands, whitelist in
//! password-free mode) accept only `no`, and parameters of the proxy are refused, rather than
//! being stored without effect.

mod config;
mod directive;
mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::instance::{EngineVersion, InstanceType};

pub use directive::Directive;
pub use table::{Kind, Parameter, Scope, parameters};

/// Why a `Config` is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The text is not a flat JSON object of at most [`Parameters::MAX_CONFIG_BYTES`].
    #[error("Config is not a JSON object of at most 16 KiB")]
    Malformed,
    /// The key is unknown, given twice, not modifiable, or its value is outside its list.
    #[error("parameter {name:?} is unknown, fixed, or has a value outside its list")]
    Invalid {
        /// The key, shortened and without control characters.
        name: String,
    },
    /// The key is known, but not for this engine version and architecture.
    #[error("parameter {name:?} does not exist for this engine version")]
    NotForVersion {
        /// The key.
        name: String,
    },
}

/// A value out of a closed list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number within its range.
    Int(i64),
    /// Text composed of words of the table.
    Word(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// The validated parameters of one instance.
///
/// Holds the settings that are shown (the six of the `CreateInstance` page and whatever was set);
/// the rest of the table is filled in when directives are drawn up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Parameters {
    instance_type: InstanceType,
    version: EngineVersion,
    /// Place in the table to value; the table begins with the page's six in the page's order.
    values: BTreeMap<usize, Value>,
}

impl Parameters {
    /// The longest `Config` that is read, in bytes.
    pub const MAX_CONFIG_BYTES: usize = 16 * 1024;

    /// What an instance has when nothing is set: the echo of the `CreateInstance` page for Redis,
    /// nothing for Memcache.
    pub fn defaults(instance_type: InstanceType, version: EngineVersion) -> Self {
        let shown = match instance_type {
            InstanceType::Redis => table::SHOWN,
            InstanceType::Memcache => 0,
        };
        let values = (0..shown).map(|at| (at, parameters()[at].default.clone())).collect();
        Self { instance_type, version, values }
    }

    /// Reads a `Config` over the defaults.
    pub fn parse_config(
        text: &str,
        instance_type: InstanceType,
        version: EngineVersion,
    ) -> Result<Self, ParameterError> {
        Self::defaults(instance_type, version).merged(text)
    }

    /// Reads a `Config` over these parameters: only the named keys change.
    pub fn merged(mut self, text: &str) -> Result<Self, ParameterError> {
        let settings = config::read(text, self.instance_type, self.version)?;
        for (at, value) in settings {
            if let Some(alias) = table::alias_of(at) {
                self.values.insert(alias, value.clone());
            }
            if table::has_alias(at) {
                // An alias that was set before must not go on showing the old policy.
                self.values.entry(table::ALIAS).and_modify(|shown| *shown = value.clone());
            }
            self.values.insert(at, value);
        }
        Ok(self)
    }

    /// The text for the Config field of answers: compact JSON, the page's six first, numbers as
    /// numbers; `{}` for Memcache.
    pub fn to_config_json(&self) -> String {
        let shown: Vec<String> = self
            .values
            .iter()
            .map(|(at, value)| format!("{}:{}", quoted(&parameters()[*at].name), shown(value)))
            .collect();
        format!("{{{}}}", shown.join(","))
    }

    /// The value of a parameter that is shown, by its table name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(&table::place(name)?)
    }

    /// What `appendonly` was set to, if it was; without it the node type decides.
    pub fn appendonly(&self) -> Option<bool> {
        self.get("appendonly").map(|value| *value == Value::Word("yes".into()))
    }

    /// Commands that the owner took away from the instance's account, lower case.
    pub fn disabled_commands(&self) -> Vec<&'static str> {
        let Some(Value::Word(list)) = self.get(table::DISABLED_COMMANDS) else {
            return Vec::new();
        };
        table::disableable()
            .filter(|command| list.split(',').any(|word| word == *command))
            .collect()
    }

    /// A text from which [`Self::from_stored`] makes the same parameters again.
    pub fn to_stored(&self) -> String {
        format!("{} {} {}", self.instance_type, self.version, self.to_config_json())
    }

    /// Reads what [`Self::to_stored`] wrote, with the checks of a `Config`.
    pub fn from_stored(text: &str) -> Result<Self, ParameterError> {
        let mut parts = text.splitn(3, ' ');
        let (Some(kind), Some(version), Some(config)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(ParameterError::Malformed);
        };
        let kind = kind.parse().map_err(|_| ParameterError::Malformed)?;
        let version = version.parse().map_err(|_| ParameterError::Malformed)?;
        Self::parse_config(config, kind, version)
    }
}

impl TryFrom<String> for Parameters {
    type Error = ParameterError;

    fn try_from(text: String) -> Result<Self, ParameterError> {
        Self::from_stored(&text)
    }
}

impl From<Parameters> for String {
    fn from(parameters: Parameters) -> Self {
        parameters.to_stored()
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Word(word) => quoted(word),
    }
}

/// Names and words of the table are printable ASCII without quotes and backslashes (a test says
/// so), hence need no escapes.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests;
