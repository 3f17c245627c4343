//! The workspace as cargo describes it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// What the checks read: where the sources are, and every package that is linked.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    metadata: Metadata,
}

impl Workspace {
    /// Asks cargo about the workspace that this program was built from.
    pub(crate) fn read() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
            .exec()
            .context("cargo metadata failed")?;
        Ok(Self { root: metadata.workspace_root.clone().into_std_path_buf(), metadata })
    }

    /// Every package in the graph: ours and all that they pull in, on any platform.
    pub(crate) fn packages(&self) -> &[Package] {
        &self.metadata.packages
    }

    /// Our crates, each with the names of what it depends on outside of tests.
    pub(crate) fn edges(&self) -> Vec<(String, Vec<String>)> {
        let mut edges = Vec::new();
        for package in self.metadata.workspace_packages() {
            let needs = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name.clone())
                .collect();
            edges.push((package.name.to_string(), needs));
        }
        edges
    }
}
