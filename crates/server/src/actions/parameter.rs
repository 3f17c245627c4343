//! What is said of one parameter of an action, and how words of closed lists are read.

use std::str::FromStr;

use ourkv_domain::instance::NodeType;
use ourkv_wire::{Fault, Params};

/// A parameter, as the documentation and `ourkv actions` show it.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name on the wire.
    pub name: &'static str,
    /// Whether it must be given.
    pub required: bool,
    /// What it means.
    pub meaning: &'static str,
}

impl Parameter {
    /// A parameter that must be given.
    pub const fn required(name: &'static str, meaning: &'static str) -> Self {
        Self { name, required: true, meaning }
    }

    /// A parameter that may be left out.
    pub const fn optional(name: &'static str, meaning: &'static str) -> Self {
        Self { name, required: false, meaning }
    }
}

/// One word of a closed list, spelt exactly; `Invalid{Name}.Malformed` otherwise.
pub(super) fn word<T: FromStr>(params: &Params, name: &str) -> Result<Option<T>, Fault> {
    let parse = |text: &str| text.parse().map_err(|_| Fault::malformed(name));
    params.get(name).map(parse).transpose()
}

/// `NodeType` in the words of CreateInstance, or `double` and `single`, as the query actions and
/// later clients say.
pub(super) fn node_type(params: &Params) -> Result<Option<NodeType>, Fault> {
    match params.get("NodeType") {
        Some("double") => Ok(Some(NodeType::MasterSlave)),
        Some("single") => Ok(Some(NodeType::StandAlone)),
        _ => word(params, "NodeType"),
    }
}
