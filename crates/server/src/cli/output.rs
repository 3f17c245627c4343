//! What commands print: results to standard output, talk to standard error.
//!
//! Tables and JSON are two views of the same rows, so neither can lack what the other has.

use std::io::{self, ErrorKind, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::{Map, Value};

/// For whom results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned columns.
    #[default]
    Text,
    /// JSON.
    Json,
}

impl Output {
    /// Prints a list; the fields of a row are its columns.
    pub fn list<T: Serialize>(self, rows: &[T]) -> anyhow::Result<()> {
        let rows = serde_json::to_value(rows)?;
        match (self, &rows) {
            (Self::Text, Value::Array(rows)) => print_table(rows),
            _ => print(&serde_json::to_string_pretty(&rows)?),
        }
    }

    /// Prints one thing; each field has its own line.
    pub fn show<T: Serialize>(self, thing: &T) -> anyhow::Result<()> {
        let thing = serde_json::to_value(thing)?;
        match (self, &thing) {
            (Self::Text, Value::Object(fields)) => print_fields(fields),
            _ => print(&serde_json::to_string_pretty(&thing)?),
        }
    }
}

/// Prints text to standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    ignore_closed(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Says something to whoever watches; nobody may be there.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A reader that has seen enough, such as `head`, is no error.
fn ignore_closed(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn print_table(rows: &[Value]) -> anyhow::Result<()> {
    let Some(first) = rows.first().and_then(Value::as_object) else {
        say("none");
        return Ok(());
    };
    let mut table = plain_table();
    table.set_header(first.keys().map(|name| title(name)));
    for row in rows.iter().filter_map(Value::as_object) {
        table.add_row(row.values().map(cell));
    }
    print(&aligned(&mut table))
}

fn print_fields(fields: &Map<String, Value>) -> anyhow::Result<()> {
    let mut table = plain_table();
    for (name, value) in fields {
        table.add_row([title(name).to_lowercase(), cell(value)]);
    }
    print(&aligned(&mut table))
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn aligned(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn title(name: &str) -> String {
    name.replace('_', " ").to_uppercase()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => one_line(text),
        other => other.to_string(),
    }
}

/// Control characters, which might move the cursor, are shown escaped.
fn one_line(text: &str) -> String {
    let escaped = |c: char| {
        if c.is_control() { c.escape_default().collect() } else { c.to_string() }
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_is_one_line_and_never_empty() {
        assert_eq!(cell(&json!(null)), "-");
        assert_eq!(cell(&json!("")), "-");
        assert_eq!(cell(&json!(true)), "yes");
        assert_eq!(cell(&json!(7)), "7");
        assert_eq!(cell(&json!("a\nb\u{1b}[2J")), "a\\nb\\u{1b}[2J");
    }

    #[test]
    fn columns_are_aligned_without_borders_or_trailing_space() {
        let mut table = plain_table();
        table.set_header(["ID", "NAME"]);
        table.add_row(["r-1", "a name longer than its column"]);
        table.add_row(["r-long", "b"]);
        let text = aligned(&mut table);
        let expected = "ID      NAME\nr-1     a name longer than its column\nr-long  b";
        assert_eq!(text, expected);
    }
}
