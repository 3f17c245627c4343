//! XML text of an answer.
//!
//! An object becomes child elements in its own order, a list becomes its element repeated, a scalar
//! becomes text. Whatever the texts contain, the result is well-formed XML 1.0: characters that XML
//! cannot carry at all become U+FFFD.

use std::borrow::Cow;

use quick_xml::escape::escape;
use serde_json::Value;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const REPLACEMENT: char = '\u{FFFD}';

pub(super) fn write(root: &str, value: &Value) -> String {
    let mut out = String::from(DECLARATION);
    match value {
        // A root cannot repeat, so a bare list becomes elements inside it.
        Value::Array(items) => element(&mut out, root, |out| {
            for item in items {
                push(out, "Item", item);
            }
        }),
        Value::Null => element(&mut out, root, |_| ()),
        value => push(&mut out, root, value),
    }
    out
}

/// Writes `value` as `name`: once, as often as a list has items, or not at all if it is null.
fn push(out: &mut String, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(items) => {
            for item in items {
                push(out, name, item);
            }
        }
        Value::Object(members) => element(out, name, |out| {
            for (name, member) in members {
                push(out, name, member);
            }
        }),
        Value::String(text) => element(out, name, |out| out.push_str(&escape(legal(text)))),
        Value::Bool(_) | Value::Number(_) => {
            element(out, name, |out| out.push_str(&value.to_string()));
        }
    }
}

fn element(out: &mut String, name: &str, content: impl FnOnce(&mut String)) {
    let name = legal_name(name);
    let start = out.len();
    out.push('<');
    out.push_str(&name);
    out.push('>');
    let inside = out.len();
    content(out);
    if out.len() == inside {
        out.truncate(start);
        out.push('<');
        out.push_str(&name);
        out.push_str("/>");
    } else {
        out.push_str("</");
        out.push_str(&name);
        out.push('>');
    }
}

/// The text without characters outside the `Char` production of XML 1.0.
fn legal(text: &str) -> Cow<'_, str> {
    let illegal = |c: char| matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}');
    if text.contains(illegal) {
        text.replace(illegal, REPLACEMENT.encode_utf8(&mut [0; 3])).into()
    } else {
        text.into()
    }
}

/// The name with `_` for what an element name cannot hold. Our own names pass unchanged.
fn legal_name(name: &str) -> Cow<'_, str> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if name.starts_with(first) && name.chars().all(inner) {
        return name.into();
    }
    let mut legal: String = name.chars().map(|c| if inner(c) { c } else { '_' }).collect();
    if !legal.starts_with(first) {
        legal.insert(0, '_');
    }
    legal.into()
}
