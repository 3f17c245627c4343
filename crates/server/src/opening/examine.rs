//! Whether a store can be believed: is it there, can everything in it be read, and does it agree
//! with the manifests that lie beside the data.
//!
//! A store that is gone is never begun anew where a directory was in use, and one that says
//! something else than what was signed is not worked with. One that is merely older than the
//! manifests, as an earlier copy is, is worked with and named: what it does not know is left alone.

use std::io;
use std::path::Path;

use ourkv_control::substrate::local;
use ourkv_domain::ids::NodeId;
use ourkv_store::{Agreement, ManifestError, Store, StoreError, Tx};

use super::{DataDir, OpenError, Opened};

/// Where store and manifests say different things, by directories of instances.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Discord {
    /// Their manifests are whole, and the store does not know them.
    pub unknown: Vec<String>,
    /// Their manifests know of more than the store.
    pub older: Vec<String>,
    /// What never changes was changed in their rows.
    pub altered: Vec<String>,
    /// Their manifests can't be believed; the next look at them writes them anew.
    pub unreadable: Vec<String>,
}

impl Opened {
    /// Refuses a store that can't be believed, and names in the log what it does not know.
    pub async fn examine(&self) -> Result<(), OpenError> {
        let (store, dir, node) = (self.store.clone(), self.dir.clone(), self.node.clone());
        let looking = tokio::task::spawn_blocking(move || examine(&store, &dir, &node));
        let discord = looking.await.map_err(|_| OpenError::Panicked)??;
        for (instances, what) in [
            (&discord.unknown, "the store does not know instances that have manifests"),
            (&discord.older, "the store is older than the manifests of instances"),
        ] {
            if !instances.is_empty() {
                tracing::error!(instances = instances.join(" "), "{what}: see `ourkv doctor`");
            }
        }
        Ok(())
    }
}

/// Reads everything that the store has of a machine, and compares it with the manifests.
pub(super) fn examine(store: &Store, dir: &DataDir, node: &NodeId) -> Result<Discord, OpenError> {
    let discord = read_all(store, node).and_then(|()| compare(store, dir, node))?;
    if discord.altered.is_empty() {
        Ok(discord)
    } else {
        let detail = format!("not what was signed: {}", discord.altered.join(", "));
        Err(OpenError::Damaged { detail })
    }
}

/// Where store and manifests differ.
pub fn compare(store: &Store, dir: &DataDir, node: &NodeId) -> Result<Discord, OpenError> {
    let manifests = local::manifests(dir.path())
        .map_err(|error| OpenError::io("directory of engines", dir.path(), error))?;
    let mut discord = Discord::default();
    let mut believed = Vec::new();
    for (name, text) in manifests {
        match store.open_manifest(&text) {
            Ok(manifest) if manifest.node() != node => {}
            Ok(manifest) => believed.push((name, manifest)),
            Err(ManifestError::Later) => {}
            Err(ManifestError::Torn | ManifestError::Forged) => discord.unreadable.push(name),
        }
    }
    let agreements = store.read_blocking(move |tx| {
        let compare = |(name, manifest): &(String, _)| Ok((name.clone(), tx.compare(manifest)?));
        believed.iter().map(compare).collect::<Result<Vec<_>, StoreError>>()
    });
    for (name, agreement) in agreements? {
        match agreement {
            Agreement::Agrees => {}
            Agreement::Unknown => discord.unknown.push(name),
            Agreement::Older => discord.older.push(name),
            Agreement::Altered(columns) => {
                discord.altered.push(format!("{name} ({})", columns.join(", ")));
            }
        }
    }
    Ok(discord)
}

/// Refuses to begin anew where a store was.
pub(super) fn must_not_be_fresh(dir: &DataDir, database: &Path) -> Result<(), OpenError> {
    let trouble = |error: io::Error| OpenError::io("data directory", dir.path(), error);
    if database.try_exists().map_err(trouble)? {
        return Ok(());
    }
    let served = dir.credentials().exists() || dir.endpoint().exists();
    if served || local::is_inhabited(dir.path()).map_err(trouble)? {
        return Err(OpenError::StoreGone(database.to_owned()));
    }
    Ok(())
}

fn read_all(store: &Store, node: &NodeId) -> Result<(), OpenError> {
    let node = node.clone();
    let read = move |tx: &mut Tx<'_>| {
        for id in tx.instance_ids_of_node(&node)? {
            tx.instance(&id)?;
            tx.secrets(&id)?.ok_or(StoreError::Inconsistent {
                table: "instance_secrets",
                column: "instance",
            })?;
        }
        tx.access_keys()?;
        tx.accounts()?;
        tx.vpcs(None)?;
        tx.vswitches(None)?;
        tx.all_backups(None).map(|_| ())
    };
    store.read_blocking(read).map_err(|error| match error {
        StoreError::Inconsistent { .. }
        | StoreError::Unreadable { .. }
        | StoreError::Statement { .. } => OpenError::Damaged { detail: error.to_string() },
        other => other.into(),
    })
}
