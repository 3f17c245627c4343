//! The file of a save, read as it grows.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ourkv_domain::instance::Secrets;
use rustix::event::Timespec;
use rustix::process::Signal;
use tokio::sync::mpsc::Sender;

use super::member::Running;
use super::process::{Process, works_in};
use super::save::{GONE_WITHIN, SAVING, unexpected};
use super::swap::ignore_missing;
use super::temporary::{inode, unfinished};
use super::{Trouble, log, machine, private};
use crate::engine::trial::DUMP;

/// How much is read at once.
const BLOCK: usize = 1 << 20;
/// How long the engine's child may take until it has a file.
const BEGUN_WITHIN: Duration = Duration::from_secs(15);
/// How long the end of an engine may come after that of its child.
const NOTICED_WITHIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// How often a file that grows is looked at.
const LOOKED_AT_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 4_000_000 };

/// A save that is being read.
pub(super) struct Tail {
    pub(super) running: Running,
    pub(super) directory: PathBuf,
    /// The file that had the name before.
    pub(super) before: Option<u64>,
    /// Whether the file is of no use once it was read.
    pub(super) drop_dump: bool,
    pub(super) percent: Arc<AtomicU8>,
    /// What the file will hardly be longer than, in bytes.
    pub(super) estimate: u64,
}

/// The file that the engine's child writes.
struct Growing {
    file: File,
    inode: u64,
    child: Option<Process>,
    name: Option<PathBuf>,
}

impl Tail {
    /// Reads the file as it grows, to its end; without a reader it ends the save.
    pub(super) fn read(
        self,
        sender: &Sender<Result<Bytes, Trouble>>,
        secrets: &Secrets,
    ) -> Result<(), Trouble> {
        let saving = machine(SAVING);
        let growing = self.find().map_err(&saving)?.ok_or_else(|| self.failure(secrets))?;
        let read = self.pass_on(&growing, sender).map_err(&saving);
        if !matches!(read, Ok(true)) {
            growing.end().map_err(&saving)?;
        }
        if self.drop_dump && self.has_name(growing.inode) {
            std::fs::remove_file(self.directory.join(DUMP))
                .or_else(ignore_missing)
                .map_err(&saving)?;
        }
        if !read? {
            return Err(self.failure(secrets));
        }
        self.percent.store(100, Ordering::Relaxed);
        Ok(())
    }

    /// Why there is no file. The child of an engine that is killed may notice that before anybody
    /// else does, and end.
    fn failure(&self, secrets: &Secrets) -> Trouble {
        let ended = self.running.process.ends_within(NOTICED_WITHIN);
        let last_words = log::last_words(&self.directory, &log::all(secrets));
        if ended { Trouble::Ended { last_words } } else { unexpected(last_words) }
    }

    /// Finds the file; `None` where the save failed before there was any.
    fn find(&self) -> io::Result<Option<Growing>> {
        let until = Instant::now() + BEGUN_WITHIN;
        loop {
            let named = self.directory.join(DUMP);
            if inode(&named)?.is_some_and(|inode| Some(inode) != self.before)
                && let Some(growing) = Growing::open(&self.directory, &named, None)?
            {
                return Ok(Some(growing));
            }
            for (name, pid) in unfinished(&self.directory)? {
                if let Some(growing) = Growing::open(&self.directory, &name, Some(pid))? {
                    return Ok(Some(growing));
                }
            }
            if Instant::now() > until || self.running.process.ends_within(LOOKED_AT_EVERY) {
                return Ok(None);
            }
        }
    }

    /// Says whether it all was passed on. It was not where the child or the engine ended, or
    /// nobody reads.
    fn pass_on(
        &self,
        growing: &Growing,
        sender: &Sender<Result<Bytes, Trouble>>,
    ) -> io::Result<bool> {
        let (mut position, file) = (0, &growing.file);
        loop {
            // In this order: what has its name does not grow any more.
            let child_is_gone = growing.child.as_ref().is_none_or(Process::is_over);
            let whole = self.has_name(growing.inode);
            let length = file.metadata()?.len();
            let left = length.saturating_sub(position);
            if left >= BLOCK as u64 || (whole && left > 0) {
                let mut block = Vec::with_capacity(BLOCK);
                position += file.take(BLOCK as u64).read_to_end(&mut block)? as u64;
                self.show(position);
                if sender.blocking_send(Ok(block.into())).is_err() {
                    return Ok(false);
                }
                continue;
            }
            if whole {
                return Ok(true);
            }
            if child_is_gone || self.running.process.is_over() || sender.is_closed() {
                return Ok(false);
            }
            if let Some(child) = &growing.child {
                child.ends_within(LOOKED_AT_EVERY);
            }
        }
    }

    fn has_name(&self, file: u64) -> bool {
        inode(&self.directory.join(DUMP)).is_ok_and(|inode| inode == Some(file))
    }

    fn show(&self, position: u64) {
        let percent = (position.saturating_mul(100) / self.estimate.max(1)).min(99);
        self.percent.store(u8::try_from(percent).unwrap_or(99), Ordering::Relaxed);
    }
}

impl Growing {
    /// `None` where the file or its writer is gone meanwhile, or the writer that it names works
    /// elsewhere: an engine may give its files any name, and its child is ended by that.
    fn open(directory: &Path, name: &Path, writer: Option<u32>) -> io::Result<Option<Self>> {
        let Ok(child) = writer.map(Process::hold).transpose() else {
            return Ok(None);
        };
        let elsewhere = |child: &Process| !works_in(child.pid(), directory) && !child.is_over();
        if child.as_ref().is_some_and(elsewhere) {
            return Ok(None);
        }
        match private().read(true).open(name) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                let name = writer.map(|_| name.to_path_buf());
                Ok(Some(Self { file, inode, child, name }))
            }
            Err(error) => ignore_missing(error).map(|()| None),
        }
    }

    /// Ends the child that writes it.
    fn end(&self) -> io::Result<()> {
        if let Some(child) = &self.child {
            child.signal(Signal::KILL)?;
            child.ends_within(GONE_WITHIN);
        }
        self.name.as_ref().map_or(Ok(()), |name| std::fs::remove_file(name).or_else(ignore_missing))
    }
}
