//! `ourkv engines`: which installed engine serves which EngineVersion.

use std::slice::from_ref;

use clap::Args;
use ourkv_control::engine::{Binary, Engines as Installed, Served};
use serde::Serialize;

use super::{Context, Output, output};

/// Show which installed engine serves which EngineVersion, and what else is installed
#[derive(Debug, Args)]
pub(super) struct Engines {}

#[derive(Serialize)]
struct Mapping {
    instance_type: String,
    engine_version: String,
    served_by: Option<String>,
    path: Option<String>,
}

#[derive(Serialize)]
struct Found {
    engine: String,
    path: String,
    source: &'static str,
    lacks: Option<&'static str>,
}

impl Engines {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let installed = Installed::discover(from_ref(&context.config.engines.dir)).await;
        let mapping: Vec<_> = installed.mapping().iter().map(Mapping::of).collect();
        let found: Vec<_> = installed.binaries().into_iter().map(Found::of).collect();
        if context.output == Output::Json {
            return context.output.show(&serde_json::json!({
                "mapping": mapping,
                "installed": found,
            }));
        }
        context.output.list(&mapping)?;
        output::print("")?;
        context.output.list(&found)?;
        let missing = mapping.iter().filter(|row| row.served_by.is_none());
        for row in missing {
            output::say(&format!(
                "nothing serves {} {}: install redis-server and memcached, or run `make engines`",
                row.instance_type, row.engine_version
            ));
        }
        Ok(())
    }
}

impl Mapping {
    fn of(served: &Served<'_>) -> Self {
        Self {
            instance_type: served.instance_type.to_string(),
            engine_version: served.version.to_string(),
            served_by: served.by.map(ToString::to_string),
            path: served.by.map(|binary| binary.path.display().to_string()),
        }
    }
}

impl Found {
    fn of(binary: &Binary) -> Self {
        Self {
            engine: binary.to_string(),
            path: binary.path.display().to_string(),
            source: if binary.from_distribution { "distribution" } else { "added" },
            lacks: binary.missing_fix(),
        }
    }
}
