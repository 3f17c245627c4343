//! The manifest of an instance: what the store knows of it, written beside its data, so that a
//! store that is lost can be made again.
//!
//! It is compared in memory after every pass and written where something changed, after the
//! instance was found to answer: nobody waits for it. One that knows more than the store is left as
//! it is: then the store is an earlier copy, and the manifest what is left of the later one.

use std::time::Duration;

use ourkv_store::StoreError;

use super::World;
use super::load::Loaded;
use super::report::Failure;
use super::step::Step;
use crate::substrate::Trouble;

/// How long a manifest may take: nobody waits for it, but the next pass.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sees to it that the manifest of an instance says what the store does. What is in the way is
/// logged, and tried again after the next pass.
pub(super) async fn keep_manifest(world: &World, loaded: &Loaded) {
    if loaded.away {
        return;
    }
    match kept(world, loaded).await {
        Ok(()) | Err(Failure::Store(StoreError::Unavailable { .. })) => {}
        Err(error) => {
            tracing::warn!(instance.id = %loaded.instance.id, %error, "its manifest is not kept");
        }
    }
}

async fn kept(world: &World, loaded: &Loaded) -> Result<(), Failure> {
    let (id, now) = (loaded.instance.id.clone(), world.clock.now());
    let known = world.memory.manifest(&id);
    let made = world.store.read(move |tx| tx.manifest(&id, now)).await?;
    let Some(manifest) = made.filter(|manifest| Some(manifest.gist()) != known) else {
        return Ok(());
    };
    let id = &loaded.instance.id;
    let write = async {
        let before = world.substrate.manifest(&loaded.unit).await?;
        let before = before.and_then(|text| world.store.open_manifest(&text).ok());
        let stands = match before.filter(|before| before.nonce() == manifest.nonce()) {
            Some(before) if before.is_later_than(&manifest) => {
                tracing::error!(instance.id = %id,
                    "the store is older than this instance's manifest, which is left as it is; see \
                     `ourkv doctor`");
                true
            }
            Some(before) if before.gist() == manifest.gist() => true,
            _ => world.substrate.keep_manifest(&loaded.unit, manifest.text()).await?,
        };
        Ok::<_, Failure>(stands)
    };
    // A disk that hangs must not keep the instance from what else there is to do.
    let writing = tokio::time::timeout(PATIENCE, Step::KeepManifest.run(write)).await;
    let silent = Trouble::Silent { doing: "keeping its manifest", seconds: PATIENCE.as_secs() };
    if writing.unwrap_or_else(|_| Err(silent.into()))? {
        world.memory.keep_gist(id, manifest.gist());
    }
    Ok(())
}
