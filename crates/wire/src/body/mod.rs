//! Answers as text: one JSON value, written as JSON or as XML.
//!
//! The value is shaped for JSON: a list `X` of `Y` is `{"X":{"Y":[…]}}`, which is the same nesting
//! in XML. Nulls are absent fields and left out of both.

mod json;
mod xml;

use serde_json::Value;

/// The language of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Format=JSON`, and every V3 call.
    Json,
    /// `Format=XML`, and v1 calls that name none.
    Xml,
}

impl Format {
    /// The `Content-Type` of an answer. Clients compare it literally.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json;charset=utf-8",
            Self::Xml => "text/xml;charset=utf-8",
        }
    }

    /// The value of the parameter `Format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Xml => "XML",
        }
    }

    /// The format of that name, in any letter case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Json, Self::Xml].into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }
}

/// The body of a successful answer: a bare JSON object, or XML with the root `{action}Response`.
pub fn render(format: Format, action: &str, value: &Value) -> String {
    match format {
        Format::Json => json::write(value),
        Format::Xml => xml::write(&format!("{action}Response"), value),
    }
}

/// The body of an error answer: a bare JSON object, or XML with the root `Error`.
pub fn render_error(format: Format, value: &Value) -> String {
    match format {
        Format::Json => json::write(value),
        Format::Xml => xml::write("Error", value),
    }
}

#[cfg(test)]
mod tests;
