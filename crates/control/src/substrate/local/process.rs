//! A process, held so that its number can never come to mean another one.
//!
//! The pidfd is the only source of the news that it ended, and the only way in which it is
//! signalled: a signal to a process that is gone goes nowhere.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One process.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    pidfd: AsyncFd<OwnedFd>,
    /// Whether its end is news: not before it served, and not when it is stopped on purpose.
    missed: AtomicBool,
    /// How it ended, once that was asked for.
    end: Mutex<Option<End>>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, be it by a crash.
    Itself,
    /// By a signal that others send: it was killed, or told to end.
    Killed,
}

impl Process {
    /// Holds the process that has this number; an error when there is none. What it is has to be
    /// looked at after this call, as only from here on the number stays its own.
    pub(super) fn hold(pid: u32) -> io::Result<Self> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty())?;
        Ok(Self {
            pid,
            pidfd: register(pidfd)?,
            missed: AtomicBool::new(false),
            end: Mutex::default(),
        })
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it ended.
    pub(super) fn is_over(&self) -> bool {
        self.ends_within(Timespec { tv_sec: 0, tv_nsec: 0 })
    }

    /// Blocks up to that long, and says whether it ended.
    pub(super) fn ends_within(&self, time: Timespec) -> bool {
        let mut fds = [PollFd::new(self.pidfd.get_ref(), PollFlags::IN)];
        matches!(rustix::event::poll(&mut fds, Some(&time)), Ok(1..))
    }

    /// Returns when it ended.
    pub(super) async fn ended(&self) {
        // An error means that the reactor is shutting down; the caller goes with it.
        let _ = self.pidfd.readable().await;
    }

    /// Sends a signal; one to a process that is gone is no error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(self.pidfd.get_ref(), signal) {
            Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes its exit status, so that it leaves no zombie. It may be somebody else's child: an
    /// engine that was adopted, of which nothing is told.
    pub(super) fn reap(&self) -> Option<End> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.is_none() {
            let id = WaitId::PidFd(self.pidfd.get_ref().as_fd());
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            *end = rustix::process::waitid(id, options).ok().flatten().map(|it| how(&it));
        }
        *end
    }

    /// From here on its end is news, or no longer.
    pub(super) fn miss(&self, missed: bool) {
        self.missed.store(missed, Ordering::Release);
    }

    /// Whether its end is news.
    pub(super) fn is_missed(&self) -> bool {
        self.missed.load(Ordering::Acquire)
    }
}

/// Whether a process has this working directory.
pub(super) fn works_in(pid: u32, directory: &Path) -> bool {
    let process = i32::try_from(pid).ok().and_then(|pid| procfs::process::Process::new(pid).ok());
    process.and_then(|process| process.cwd().ok()).is_some_and(|cwd| cwd == directory)
}

fn how(status: &WaitIdStatus) -> End {
    let others = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP].map(Signal::as_raw);
    match status.terminating_signal() {
        Some(signal) if others.contains(&signal) => End::Killed,
        _ => End::Itself,
    }
}

#[expect(deprecated, reason = "its successor is unsafe code; an OwnedFd is owned and stays open")]
fn register(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}
