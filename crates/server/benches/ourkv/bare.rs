//! The floor: the same redis-server that ourkv starts, with as little as it needs.

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::Process;
use crate::{ground, pong};

/// A bare redis-server.
#[derive(Debug)]
pub(crate) struct Bare {
    address: SocketAddrV4,
    process: Process,
}

impl Bare {
    /// Starts one and waits for its first PONG, trying again after `pause`.
    pub(crate) fn start(
        address: SocketAddrV4,
        dir: &Path,
        pause: Duration,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "6379", "--bind", &address.ip().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let process = Process::spawn(&mut command)?;
        pong::wait(address, None, pause)?;
        Ok(Self { address, process })
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it, and returns once its address is free.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        let address = self.address;
        drop(self);
        ground::until("an address is free again", ground::TIGHT, || {
            Ok(pong::is_silent(address).then_some(()))
        })
    }
}
