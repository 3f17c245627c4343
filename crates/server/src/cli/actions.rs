//! `ourkv actions`: the one list of actions, as documentation.

use std::fmt::Write;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::{Context, Output, output};
use crate::actions::{self, Descriptor, Effect};

/// List the actions of the API, or explain one
#[derive(Debug, Args)]
pub(super) struct Actions {
    /// The action to explain: its parameters and its own errors
    action: Option<String>,
}

#[derive(Serialize)]
struct Row {
    action: &'static str,
    effect: &'static str,
    summary: &'static str,
}

#[derive(Serialize)]
struct Explanation {
    #[serde(flatten)]
    row: Row,
    parameters: Vec<ParameterRow>,
    errors: Vec<ErrorRow>,
}

#[derive(Serialize)]
struct ParameterRow {
    name: &'static str,
    required: bool,
    meaning: &'static str,
}

#[derive(Serialize)]
struct ErrorRow {
    status: u16,
    code: String,
    message: String,
}

impl Actions {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let Some(name) = self.action else {
            let descriptors = actions::ACTIONS.iter().map(|action| action.descriptor());
            let mut rows: Vec<_> = descriptors.map(Row::of).collect();
            rows.sort_by_key(|row| row.action);
            return context.output.list(&rows);
        };
        let action = actions::find(&name)
            .with_context(|| format!("there is no action {name}; `ourkv actions` lists them"))?;
        let explanation = Explanation::of(action.descriptor());
        match context.output {
            Output::Json => context.output.show(&explanation),
            Output::Text => output::print(&explanation.text()?),
        }
    }
}

impl Row {
    fn of(descriptor: &Descriptor) -> Self {
        let effect = match descriptor.effect {
            Effect::Read => "read",
            Effect::Write => "write",
        };
        Self { action: descriptor.name, effect, summary: descriptor.summary }
    }
}

impl Explanation {
    fn of(descriptor: &Descriptor) -> Self {
        let parameters = descriptor.parameters.iter().map(|parameter| ParameterRow {
            name: parameter.name,
            required: parameter.required,
            meaning: parameter.meaning,
        });
        let errors = descriptor.faults.iter().copied().flatten().map(|fault| ErrorRow {
            status: fault.status,
            code: fault.code.to_string(),
            message: fault.message.to_string(),
        });
        Self {
            row: Row::of(descriptor),
            parameters: parameters.collect(),
            errors: errors.collect(),
        }
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = format!("{}\n  {}", self.row.action, self.row.summary);
        let width = self.parameters.iter().map(|row| row.name.len()).max().unwrap_or(0);
        if !self.parameters.is_empty() {
            text.push_str("\n\nParameters (* must be given)");
        }
        for row in &self.parameters {
            let mark = if row.required { '*' } else { ' ' };
            write!(text, "\n {mark}{:width$}  {}", row.name, row.meaning)?;
        }
        if !self.errors.is_empty() {
            text.push_str("\n\nErrors of its own");
        }
        for row in &self.errors {
            write!(text, "\n  {} {}\n      {}", row.status, row.code, row.message)?;
        }
        Ok(text)
    }
}
