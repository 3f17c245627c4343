//! Ending an engine for certain.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::UnixStream;

use super::member::Running;
use super::{
    Inner, Kind, Member, Stop, Trouble, Unit, adopt, blocking, host_address, log, machine,
};
use crate::engine::redis_admin;

/// How long an engine may take to write its data, and how long between two requests to do so: it
/// refuses while it rewrites a file, for example.
const WRITES_WITHIN: Duration = Duration::from_secs(20);
const ASKED_EVERY: Duration = Duration::from_millis(250);
/// A killed process frees its memory before it is gone: about 0.2 s for each GiB.
const GONE_WITHIN: Duration = Duration::from_mins(1);

impl Inner {
    /// Ends a member's engine if it runs, and whatever it left running.
    pub(super) async fn stop(
        &self,
        unit: &Unit,
        member: Member,
        stop: Stop,
    ) -> Result<(), Trouble> {
        let slot = self.slot(unit, member);
        let _turn = slot.turn.lock().await;
        if let Some(running) = self.look(unit, member).await? {
            running.process.miss(false);
            if stop == Stop::Keep {
                let write = self.let_write(unit, member, &running);
                // One that does not end by itself in time is ended below.
                let _ = tokio::time::timeout(WRITES_WITHIN, write).await;
            }
            self.end(unit, member, &running).await?;
        }
        self.sweep(unit, member).await?;
        if member == self.in_force(unit)?.lead.master {
            host_address::release(*unit.address.ip()).await?;
        }
        Ok(())
    }

    /// Ends a member's engine at once, whatever it is doing and whoever waits for it, and proves
    /// that nothing of it is left. The machine keeps the address: the next master needs it.
    pub(super) async fn fence(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        // A start or a stop that is under way ends with its engine, and gives up its turn.
        if let Some(running) = self.look(unit, member).await? {
            self.end(unit, member, &running).await?;
        }
        let slot = self.slot(unit, member);
        let _turn = slot.turn.lock().await;
        if let Some(running) = self.look(unit, member).await? {
            self.end(unit, member, &running).await?;
        }
        self.sweep(unit, member).await
    }

    /// Kills an engine and returns when it is gone.
    pub(super) async fn end(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
    ) -> Result<(), Trouble> {
        let process = Arc::clone(&running.process);
        process.miss(false);
        process.signal(Signal::KILL).map_err(machine("ending the engine"))?;
        let gone = tokio::time::timeout(GONE_WITHIN, process.ended()).await;
        gone.map_err(|_| Trouble::Silent {
            doing: "waiting for the end of the killed engine",
            seconds: GONE_WITHIN.as_secs(),
        })?;
        process.reap();
        self.sweep(unit, member).await
    }

    /// Asks an engine to write its data and end, until it did.
    pub(super) async fn let_write(&self, unit: &Unit, member: Member, running: &Running) {
        loop {
            if running.binary.kind == Kind::Memcached {
                let _ = running.process.signal(Signal::TERM);
            } else {
                // SHUTDOWN works at once; SIGTERM is noticed once in a second at 1 Hz.
                let ask = self.ask_to_shut_down(unit, member, running);
                let _ = tokio::time::timeout(ASKED_EVERY, ask).await;
            }
            let ended = tokio::time::timeout(ASKED_EVERY, running.process.ended()).await;
            if ended.is_ok() {
                return;
            }
        }
    }

    async fn ask_to_shut_down(&self, unit: &Unit, member: Member, running: &Running) {
        let directory = self.layout.member(unit, member);
        let dialled = redis_admin::dial(&directory, running.process.pid());
        let Some(stream) = dialled.ok().and_then(|stream| UnixStream::from_std(stream).ok()) else {
            return;
        };
        let admin = redis_admin::Admin::over(stream, &unit.secrets, &running.binary).await;
        if let Ok(mut admin) = admin
            && admin.ping().await.is_ok()
        {
            admin.shut_down().await;
        }
    }

    /// Ends children that outlive their engine, such as one that rewrites a file.
    async fn sweep(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        let (place, engines) = (self.place(unit, member), self.engines.clone());
        blocking(move || {
            let left = log::is_taken(&place.directory);
            if left.map_err(machine("looking for what the engine left"))? {
                let swept = adopt::sweep(&place.directory, &place.nonce, &engines);
                swept.map_err(machine("ending what the engine left"))?;
            }
            Ok(())
        })
        .await
    }
}
