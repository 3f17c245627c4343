//! The table of parameters (`data/parameters.json`): names, lists of values, defaults.

use std::sync::OnceLock;

use serde::Deserialize;

use super::{ParameterError, Value};
use crate::instance::EngineVersion;

/// How many parameters at the head of the table are always shown: the ones that the
/// `CreateInstance` page echoes, in its order.
pub(super) const SHOWN: usize = 6;
/// Place of `EvictionPolicy`, the name that carries the policy.
const POLICY: usize = 0;
/// Place of `maxmemory-policy`, its other name.
pub(super) const ALIAS: usize = 6;
/// Commands to take away from the instance's account.
pub(super) const DISABLED_COMMANDS: &str = "#no_loose_disabled-commands";

/// Who acts on a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The engine, by a directive.
    Engine,
    /// A second name of an engine parameter.
    Alias,
    /// The control plane, which derives it from class and node type or acts on it itself.
    Control,
    /// A feature of the platform beside the engine.
    Platform,
    /// The proxy of cluster and read/write-splitting instances.
    Proxy,
}

/// The closed list of values.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// A whole number from `min` to `max`.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// One word.
    Word {
        /// Words of every version.
        words: Vec<String>,
        /// Words that came with 4.0.
        #[serde(default)]
        since_4_0: Vec<String>,
    },
    /// Letters out of this text in any order, none twice.
    Flags(String),
    /// A comma list of these commands, none twice.
    Commands(Vec<String>),
    /// Hard limit and soft limit in bytes and a time in seconds, parted by single spaces.
    Limits,
}

/// Another name of a directive on newer engines.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Renamed {
    /// The first engine version with that name.
    pub(super) since: (u16, u16),
    pub(super) name: String,
}

/// The largest number that older engines can hold, where it is below the documented range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EngineMost {
    /// The first engine version that takes the whole range.
    pub(super) until: (u16, u16),
    pub(super) value: i64,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// The key in `Config`.
    pub name: String,
    /// The first engine version of the API that has it.
    pub since: EngineVersion,
    /// The last engine version of the API that has it, if it went away.
    #[serde(default)]
    pub until: Option<EngineVersion>,
    /// Its values.
    pub kind: Kind,
    /// Its value when nobody sets it.
    pub default: Value,
    /// Whether a caller may set it.
    pub modifiable: bool,
    /// Who acts on it.
    pub scope: Scope,
    /// The directive of the engine, for [`Scope::Engine`].
    #[serde(default)]
    pub(super) directive: Option<String>,
    /// The first real engine that has the directive.
    #[serde(default)]
    pub(super) engine_since: Option<(u16, u16)>,
    /// The first real engine that has it no more.
    #[serde(default)]
    pub(super) engine_until: Option<(u16, u16)>,
    #[serde(default)]
    pub(super) renamed: Option<Renamed>,
    #[serde(default)]
    pub(super) engine_most: Option<EngineMost>,
}

impl Parameter {
    /// Whether instances of that version have it.
    pub fn exists_for(&self, version: EngineVersion) -> bool {
        self.since <= version && self.until.is_none_or(|until| version <= until)
    }

    /// The value that a number or a text stands for; a number may come as text.
    pub fn accept(&self, given: &Value, version: EngineVersion) -> Result<Value, ParameterError> {
        self.kind
            .accept(given, version)
            .ok_or_else(|| ParameterError::Invalid { name: self.name.clone() })
    }
}

impl Kind {
    /// Rebuilds the value from the list's own words, so that nothing of the input survives but
    /// the choice.
    fn accept(&self, given: &Value, version: EngineVersion) -> Option<Value> {
        match (self, given) {
            (Self::Integer { min, max }, Value::Int(number)) => {
                (min..=max).contains(&number).then_some(Value::Int(*number))
            }
            (Self::Integer { min, max }, Value::Word(text)) => {
                decimal(text).filter(|number| (min..=max).contains(&number)).map(Value::Int)
            }
            (_, Value::Int(_)) => None,
            (Self::Word { words, since_4_0 }, Value::Word(text)) => words
                .iter()
                .chain(since_4_0.iter().filter(|_| version >= EngineVersion::V4_0))
                .find(|word| *word == text)
                .map(|word| Value::Word(word.clone())),
            (Self::Flags(letters), Value::Word(text)) => flags(letters, text),
            (Self::Commands(commands), Value::Word(text)) => command_list(commands, text),
            (Self::Limits, Value::Word(text)) => limits(text),
        }
    }
}

/// A number in its one canonical spelling: no sign but `-`, no leading zeros, no spaces.
fn decimal(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

fn flags(letters: &str, text: &str) -> Option<Value> {
    let mut chosen = String::new();
    for letter in text.chars() {
        let known = letters.chars().find(|known| *known == letter)?;
        if chosen.contains(known) {
            return None;
        }
        chosen.push(known);
    }
    Some(Value::Word(chosen))
}

fn command_list(commands: &[String], text: &str) -> Option<Value> {
    let mut chosen: Vec<&str> = Vec::new();
    for word in text.split(',').filter(|_| !text.is_empty()) {
        let known = commands.iter().find(|known| *known == word)?;
        if chosen.contains(&known.as_str()) {
            return None;
        }
        chosen.push(known);
    }
    Some(Value::Word(chosen.join(",")))
}

fn limits(text: &str) -> Option<Value> {
    const MAX_BYTES: i64 = 999_999_999_999_999;
    const MAX_SECONDS: i64 = 999_999_999;
    let mut numbers = text.splitn(4, ' ').map(decimal);
    let mut next = |max| numbers.next()?.filter(|number| (0..=max).contains(number));
    let (hard, soft, seconds) = (next(MAX_BYTES)?, next(MAX_BYTES)?, next(MAX_SECONDS)?);
    numbers.next().is_none().then(|| Value::Word(format!("{hard} {soft} {seconds}")))
}

/// The table, in the order of the data file.
pub fn parameters() -> &'static [Parameter] {
    static TABLE: OnceLock<Vec<Parameter>> = OnceLock::new();
    TABLE.get_or_init(|| {
        serde_json::from_str(include_str!("../../data/parameters.json"))
            .expect("the embedded table is the one that the tests of this module read")
    })
}

/// Where the parameter of that name stands.
pub(super) fn place(name: &str) -> Option<usize> {
    parameters().iter().position(|parameter| parameter.name == name)
}

/// The place whose value is set along with `at`.
pub(super) fn alias_of(at: usize) -> Option<usize> {
    (at == ALIAS).then_some(POLICY)
}

/// Whether `at` has a second name.
pub(super) fn has_alias(at: usize) -> bool {
    at == POLICY
}

/// The commands that may be taken away from the account.
pub(super) fn disableable() -> impl Iterator<Item = &'static str> {
    parameters()
        .iter()
        .filter_map(|parameter| match &parameter.kind {
            Kind::Commands(commands) => Some(commands),
            _ => None,
        })
        .flatten()
        .map(String::as_str)
}

/// A default of the table; callers' values come in through `config`.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Default {
            Int(i64),
            Word(String),
        }
        Ok(match Default::deserialize(deserializer)? {
            Default::Int(number) => Self::Int(number),
            Default::Word(word) => Self::Word(word),
        })
    }
}
