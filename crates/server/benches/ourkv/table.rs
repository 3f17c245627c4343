//! The one table of a run, for people and, in the file `OURKV_BENCH_JSON`, for machines.

use std::io::Write;

use anyhow::Context as _;
use comfy_table::{CellAlignment, ContentArrangement, presets};
use serde_json::{Value, json};

use crate::ground::say;
use crate::sample::Sample;

/// What a figure should reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// The median is at most this.
    AtMost(f64),
    /// The median is at least this.
    AtLeast(f64),
    /// The median is at most this many times the floor's.
    RatioAtMost(f64),
    /// The median is at least this part of the floor's.
    RatioAtLeast(f64),
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    figure: String,
    unit: &'static str,
    sample: Sample,
    floor: Option<f64>,
    target: Option<Target>,
}

/// All lines.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Row {
    /// A figure and its values.
    pub(crate) fn new(figure: impl Into<String>, unit: &'static str, sample: Sample) -> Self {
        Self { figure: figure.into(), unit, sample, floor: None, target: None }
    }

    /// Compares it with a floor.
    pub(crate) fn over(mut self, floor: &Sample) -> Self {
        self.floor = Some(floor.median());
        self
    }

    /// Sets what it should reach.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn ratio(&self) -> Option<f64> {
        Some(self.sample.median() / self.floor?)
    }

    /// Whether it reaches its target; a value that could not be taken does not.
    fn reached(&self) -> Option<bool> {
        let (median, ratio) = (self.sample.median(), self.ratio().unwrap_or(f64::NAN));
        Some(match self.target? {
            Target::AtMost(most) => median <= most,
            Target::AtLeast(least) => median >= least,
            Target::RatioAtMost(most) => ratio <= most,
            Target::RatioAtLeast(least) => ratio >= least,
        })
    }

    fn cells(&self) -> Vec<String> {
        let sample = &self.sample;
        let verdict = self.reached().map(|reached| if reached { "reached" } else { "missed" });
        vec![
            self.figure.clone(),
            self.unit.into(),
            sample.len().to_string(),
            short(sample.min()),
            short(sample.median()),
            short(sample.p99()),
            short(sample.max()),
            self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.target.map(Target::text).unwrap_or_default(),
            verdict.unwrap_or_default().into(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "figure": self.figure,
            "unit": self.unit,
            "n": self.sample.len(),
            "min": self.sample.min(),
            "median": self.sample.median(),
            "p99": self.sample.p99(),
            "max": self.sample.max(),
            "ratio_to_floor": self.ratio(),
            "target": self.target.map(Target::text),
            "reached": self.reached(),
        })
    }
}

impl Target {
    fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("<= {}", short(most)),
            Self::AtLeast(least) => format!(">= {}", short(least)),
            Self::RatioAtMost(most) => format!("<= {most} x floor"),
            Self::RatioAtLeast(least) => format!(">= {least} x floor"),
        }
    }
}

impl Table {
    /// Adds a line, and says it at once.
    pub(crate) fn add(&mut self, row: Row) {
        let ratio = row.ratio().map(|ratio| format!(", {ratio:.2} x floor"));
        say(&format!(
            "{}: median {} {}{}",
            row.figure,
            short(row.sample.median()),
            row.unit,
            ratio.unwrap_or_default()
        ));
        self.0.push(row);
    }

    /// Prints it, and writes the file that `OURKV_BENCH_JSON` names.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::ASCII_MARKDOWN)
            .set_content_arrangement(ContentArrangement::Disabled);
        table.set_header([
            "figure",
            "unit",
            "n",
            "min",
            "median",
            "p99",
            "max",
            "ratio to floor",
            "target",
            "verdict",
        ]);
        for row in &self.0 {
            table.add_row(row.cells());
        }
        for column in 2..8 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(std::io::stdout().lock(), "\n{table}")?;
        let Some(path) = std::env::var_os("OURKV_BENCH_JSON") else {
            return Ok(());
        };
        let rows: Vec<Value> = self.0.iter().map(Row::json).collect();
        let text = serde_json::to_string_pretty(&rows)?;
        std::fs::write(&path, text).with_context(|| path.to_string_lossy().into_owned())
    }
}

/// Three digits where they say something.
fn short(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
