//! An engine that reads its data while that is being staged.
//!
//! For an instance that keeps no data and never ran, so for a clone: its engine is started where
//! the data is put, and reads from a pipe what goes to the file. When the directory is put in
//! force the engine moves with it, and is found there like one that outlived a control plane.
//! Nothing depends on it: the file is whole and durable before it is marked, and an engine that
//! is not there any more is started on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ourkv_domain::instance::NodeType;
use rustix::fs::{CWD, FileType, Mode};
use rustix::process::Signal;
use tokio::sync::mpsc::Receiver;

use super::manifest::Manifest;
use super::member::{Place, Running};
use super::process::{Process, works_in};
use super::start::{launch, spawn};
use super::{
    Inner, Member, Trouble, Unit, address, adopt, blocking, host_address, log, machine, trial,
};
use crate::engine::trial::DUMP;
use crate::engine::{Binary, Engines};

const STARTING: &str = "starting the engine ahead of its data";
/// How long it may run beside the data in force.
const MOVED_WITHIN: Duration = Duration::from_secs(30);

/// An engine beside the data in force. It ends with this value unless it is kept.
#[derive(Debug)]
pub(super) struct Ahead {
    process: Arc<Process>,
    directory: PathBuf,
    kept: bool,
}

impl Inner {
    /// Starts it in an empty directory; `None` where this instance has no use for one, or where it
    /// cannot be started, which the engine's usual start will tell.
    pub(super) async fn start_ahead(&self, unit: &Unit, binary: &Binary) -> Option<Ahead> {
        if unit.node_type != NodeType::StandAlone || !self.never_ran(unit).await {
            return None;
        }
        match self.spawn_ahead(unit, binary).await {
            Ok(ahead) => ahead,
            Err(trouble) => {
                tracing::debug!(instance = %unit.id, %trouble, "not started ahead of its data");
                None
            }
        }
    }

    async fn never_ran(&self, unit: &Unit) -> bool {
        let slot = self.slot(unit, Member::First);
        let mut known = slot.lock().await;
        let running = self.running(&mut known, unit, Member::First).await;
        let directory = self.layout.member(unit, Member::First);
        matches!(running, Ok(None))
            && matches!(self.mark(unit), Ok(None))
            && Manifest::read(&directory).is_none()
    }

    async fn spawn_ahead(&self, unit: &Unit, binary: &Binary) -> Result<Option<Ahead>, Trouble> {
        host_address::hold(*unit.address.ip(), self.serves).await?;
        let directory = self.layout.next(unit);
        let launch = launch(unit, Member::First, binary, &directory).await?;
        let (place, path, address) = (directory.clone(), binary.path.clone(), unit.address);
        let process = blocking(move || {
            let Some(log) = log::take(&place).map_err(machine(STARTING))? else {
                return Ok(None);
            };
            address::must_be_free(address)?;
            let mode = Mode::RUSR | Mode::WUSR;
            rustix::fs::mknodat(CWD, place.join(DUMP), FileType::Fifo, mode, 0)
                .map_err(|error| machine(STARTING)(error.into()))?;
            spawn(&path, &place, log, launch).map(Some).map_err(machine(STARTING))
        })
        .await?;
        Ok(process.map(|process| {
            let running = Running::new(process, binary.clone());
            // So that it leaves no zombie; nobody misses it yet.
            self.watch(unit, &running);
            Ahead { process: running.process, directory, kept: false }
        }))
    }
}

impl Ahead {
    /// What passes data on to it, as long as it takes any.
    pub(super) fn feeder(&self) -> impl FnOnce(Receiver<Bytes>) + Send + use<> {
        let (process, pipe) = (Arc::clone(&self.process), self.directory.join(DUMP));
        move |chunks| {
            // What it does not take, it finds in the file.
            if let Err(trouble) = trial::feed(&pipe, &process, chunks) {
                tracing::debug!(%trouble, "an engine is not fed ahead");
            }
        }
    }

    /// The data is staged. The engine has to move with it soon: one that stays would serve an
    /// instance of which nobody knows that it runs.
    pub(super) fn keep(mut self) {
        self.kept = true;
        tokio::spawn(async move {
            tokio::select! {
                () = self.process.ended() => {}
                () = tokio::time::sleep(MOVED_WITHIN) => {
                    if works_in(self.process.pid(), &self.directory) {
                        self.end();
                    }
                }
            }
        });
    }

    fn end(&self) {
        if let Err(error) = self.process.signal(Signal::KILL) {
            tracing::warn!(%error, "cannot end an engine that was started ahead");
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if !self.kept {
            self.end();
        }
    }
}

/// Ends an engine that runs beside the data in force.
pub(super) fn end_any(next: &Place, engines: &Engines) -> std::io::Result<()> {
    if log::is_taken(&next.directory)? {
        adopt::sweep(&next.directory, &next.nonce, engines)?;
    }
    Ok(())
}
