//! What is known of one engine, and how an engine from an earlier life is found again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::process::Process;
use super::{Inner, Member, Trouble, Unit, address, adopt, blocking, log, machine};
use crate::engine::{Binary, Engines};

/// What is known of one engine, under its lock.
pub(super) type Slot = Arc<tokio::sync::Mutex<Known>>;

/// What is known of one engine.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The engine that was last seen to run.
    pub(super) running: Option<Running>,
}

/// An engine that is proven to be the instance's own.
#[derive(Debug, Clone)]
pub(super) struct Running {
    /// Its process.
    pub(super) process: Arc<Process>,
    /// What it executes.
    pub(super) binary: Binary,
    /// Whether it was once seen to have the instance's address; it has it until it ends.
    listens: Arc<AtomicBool>,
}

/// Where an engine runs.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its directory.
    pub(super) directory: PathBuf,
    /// The instance's nonce.
    pub(super) nonce: String,
}

impl Running {
    pub(super) fn new(process: Process, binary: Binary) -> Self {
        Self { process: Arc::new(process), binary, listens: Arc::default() }
    }

    /// Whether it is this process that a client at the address reaches.
    pub(super) fn listens_on(&self, address: std::net::SocketAddrV4) -> bool {
        if !self.listens.load(Ordering::Acquire) {
            let proven = address::is_listened_on_by(address, self.process.pid());
            self.listens.store(proven, Ordering::Release);
        }
        self.listens.load(Ordering::Acquire) && !self.process.is_over()
    }
}

impl Inner {
    /// The engine of a member, if one runs; adopts one that outlived an earlier control plane.
    pub(super) async fn running(
        &self,
        known: &mut Known,
        unit: &Unit,
        member: Member,
    ) -> Result<Option<Running>, Trouble> {
        known.running.take_if(|running| running.process.is_over());
        if known.running.is_none() {
            let (place, engines) = (self.place(unit, member), self.engines.clone());
            let found = blocking(move || find(&place, &engines)).await?;
            if let Some(running) = found {
                tracing::info!(instance = %unit.id, %member, pid = running.process.pid(), "adopted");
                running.process.miss(true);
                self.watch(unit, &running);
                known.running = Some(running);
            }
        }
        Ok(known.running.clone())
    }
}

fn find(place: &Place, engines: &Engines) -> Result<Option<Running>, Trouble> {
    // The lock is free when nothing runs here, which spares the search.
    if !log::is_taken(&place.directory).map_err(machine("looking for the engine"))? {
        return Ok(None);
    }
    let Some(found) = adopt::find(&place.directory, &place.nonce, engines) else {
        return Ok(None);
    };
    if let Err(error) = found.manifest.write(&place.directory, false) {
        // It will be searched for once more next time.
        tracing::warn!(%error, "cannot write an engine's manifest");
    }
    Ok(Some(Running::new(found.process, found.binary)))
}
