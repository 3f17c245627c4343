//! `ourkv doctor --rebuild`: a new store of the manifests, and what is lost with the old one.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::cli::{Context, output};
use crate::opening::{Outcome, RebuildError, Rebuilt, rebuild};

/// What became of one directory of an instance.
#[derive(Serialize)]
struct Row {
    directory: String,
    instance: Option<String>,
    state: &'static str,
    found: Option<String>,
    /// The processes that work in it.
    engines: String,
}

pub(super) async fn run(context: &Context, anew: bool) -> anyhow::Result<ExitCode> {
    let config = context.config.clone();
    let working = tokio::task::spawn_blocking(move || rebuild(&config, anew));
    match working.await.context("making the store panicked")? {
        Ok(Rebuilt { places, aside }) => {
            let (whole, rows) = rows(places);
            context.output.list(&rows)?;
            if let Some(aside) = aside {
                output::say(&format!("the store that was there is now {}", aside.display()));
            }
            output::say(
                "made a store of the manifests; it has no bills, orders, coupons, tokens, audit \
                 lines and no backups of deleted instances. Start it with `ourkv serve`",
            );
            unknown(&rows);
            Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(RebuildError::Nothing(places)) => {
            context.output.list(&rows(places).1)?;
            bail!("none of the manifests can be used; nothing was changed")
        }
        Err(error) => Err(error.into()),
    }
}

fn rows(places: Vec<Outcome>) -> (bool, Vec<Row>) {
    let row = |Outcome { place, instance, refused }: Outcome| Row {
        state: if refused.is_none() { "rebuilt" } else { "refused" },
        engines: place.pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        directory: place.name,
        instance,
        found: refused,
    };
    let rows: Vec<_> = places.into_iter().map(row).collect();
    (rows.iter().all(|row| row.found.is_none()), rows)
}

/// Engines that nobody knows go on; it is the operator's to end them.
fn unknown(rows: &[Row]) {
    for row in rows.iter().filter(|row| row.found.is_some() && !row.engines.is_empty()) {
        output::say(&format!(
            "engines of nobody run in engines/{}, and were left alone: {}",
            row.directory, row.engines
        ));
    }
}
