//! What makes intent true: reconciler, keeper of backups, jobs, and the guard before engines.

use std::path::PathBuf;
use std::sync::Arc;

use ourkv_control::backup::{self, Archive, Backups, Fetcher};
use ourkv_control::engine::Engines;
use ourkv_control::guard;
use ourkv_control::jobs::{self, Jobs};
use ourkv_control::reconciler::{self, Reconciler};
use ourkv_control::substrate::local::Local;
use ourkv_control::substrate::local::confine::Confinement;
use ourkv_control::substrate::{Gate, Substrate};
use ourkv_domain::network::HostAddresses;
use tokio_util::sync::CancellationToken;

use super::error::StartError;
use super::nudge::Sleepers;
use crate::actions::Nudge;
use crate::config::{self, Whitelist};
use crate::opening::Opened;
use crate::whitelist;

/// Where engines run: the machine itself, unless a test brings a place of its own.
pub enum Place {
    /// Processes of this machine.
    Local {
        /// Where engines are kept beside those on the `PATH`.
        engines: PathBuf,
        /// Which addresses it serves.
        serves: HostAddresses,
        /// How engines are confined.
        confinement: Confinement,
        /// Whether whitelists are put in force.
        whitelist: Whitelist,
    },
    /// This one.
    Given(Arc<dyn Substrate>),
}

/// What makes intent true.
pub(super) struct Hands {
    reconciler: reconciler::Handle,
    backups: backup::Handle,
    jobs: jobs::Handle,
    guard: Option<guard::Handle>,
}

impl Hands {
    /// Ends them. Who asks for work ends before those who do it; a deletion may wait for a backup.
    pub(super) async fn shutdown(&self) {
        self.jobs.shutdown().await;
        tokio::join!(self.backups.shutdown(), self.reconciler.shutdown());
        if let Some(guard) = &self.guard {
            guard.shutdown().await;
        }
    }
}

/// What the hands are made of.
pub(super) struct Making {
    pub(super) opened: Opened,
    pub(super) archive: Archive,
    pub(super) backup: config::Backup,
}

impl Making {
    /// Finds the engines and starts reconciler, keeper of backups and jobs. If that fails, nothing
    /// here can become what it should be: the whole stops.
    pub(super) async fn start(
        self,
        place: Place,
        sleepers: Sleepers,
        nudge: Nudge,
        stop: CancellationToken,
    ) -> Result<Hands, StartError> {
        let (substrate, guard) = match substrate(&self.opened, place).await {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(%error, "engines can't be run");
                stop.cancel();
                return Err(error);
            }
        };
        // Nobody else sets them. What was nudged before was lost.
        if let Some(guard) = &guard {
            let _ = sleepers.guard.set(guard.clone());
        }
        let reconciler = self.reconciler(Arc::clone(&substrate)).spawn();
        let _ = sleepers.reconciler.set(reconciler.clone());
        let backups = self.backups(substrate, Arc::clone(&nudge)).spawn();
        let _ = sleepers.backups.set(backups.clone());
        nudge();
        Ok(Hands { reconciler, backups, jobs: self.jobs(nudge).spawn(), guard })
    }

    fn reconciler(&self, substrate: Arc<dyn Substrate>) -> Reconciler {
        let (store, archive) = (self.opened.store.clone(), self.archive.clone());
        Reconciler {
            store: store.clone(),
            substrate,
            datasets: Arc::new(Fetcher { store, archive }),
            clock: self.opened.clock.clone(),
            node: self.opened.node.clone(),
            settings: reconciler::Settings::default(),
        }
    }

    fn backups(&self, substrate: Arc<dyn Substrate>, wake: Nudge) -> Backups {
        let (saves, prove) = (self.backup.saves.get(), self.backup.prove);
        Backups {
            store: self.opened.store.clone(),
            substrate,
            archive: self.archive.clone(),
            clock: self.opened.clock.clone(),
            node: self.opened.node.clone(),
            wake,
            settings: backup::Settings { saves, prove, ..backup::Settings::default() },
        }
    }

    fn jobs(self, nudge: Nudge) -> Jobs {
        Jobs {
            store: self.opened.store,
            clock: self.opened.clock,
            mint: self.opened.mint,
            node: self.opened.node,
            nudge,
            settings: jobs::Settings {
                final_backup: self.backup.last,
                ..jobs::Settings::default()
            },
        }
    }
}

/// Where engines run, and what stands before them.
async fn substrate(
    opened: &Opened,
    place: Place,
) -> Result<(Arc<dyn Substrate>, Option<guard::Handle>), StartError> {
    match place {
        Place::Given(substrate) => Ok((substrate, None)),
        Place::Local { engines, serves, confinement, whitelist } => {
            let guard = whitelist::start(whitelist, opened, confinement).await?;
            let engines = Engines::discover(&[engines]).await;
            let gate = guard.clone().map(|guard| Arc::new(guard) as Arc<dyn Gate>);
            let local = Local::confined(opened.dir.path(), engines, serves, confinement, gate)?;
            Ok((Arc::new(local), guard))
        }
    }
}
