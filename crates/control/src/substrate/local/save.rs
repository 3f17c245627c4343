//! A save: an engine's child writes a file, and what it writes is read as it grows.
//!
//! The child (`temp-<pid>.rdb`) makes its file durable and gives it its name as the last thing it
//! does. So a file that got the name is whole, and one whose child ended without that is not. The
//! engine itself notices the end only with its next tick, and nothing here waits for it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use ourkv_domain::instance::{InstanceType, Secrets};
use rustix::event::Timespec;
use rustix::process::Signal;
use tokio::sync::mpsc::{Sender, channel};

use super::member::Running;
use super::process::{Process, works_in};
use super::swap::ignore_missing;
use super::{Health, Inner, Member, Saving, Trouble, Unit, blocking, log, machine};
use crate::engine::info::Keyspace;
use crate::engine::redis_admin::Admin;
use crate::engine::redis_conf;
use crate::engine::trial::DUMP;

const SAVING: &str = "saving";
/// How much is read at once.
const BLOCK: usize = 1 << 20;
/// Blocks that may wait to be taken.
const WAITING: usize = 4;
/// How long another child of the engine is waited for, and how often it is asked for.
const TURN_WITHIN: Duration = Duration::from_mins(5);
const ASKED_EVERY: Duration = Duration::from_millis(50);
/// How long a replica is waited for that has not all of its master yet, and how often it is asked.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);
const CAUGHT_UP_ASKED_EVERY: Duration = Duration::from_millis(5);
/// How long the engine's child may take until it has a file.
const BEGUN_WITHIN: Duration = Duration::from_secs(15);
/// How long the end of an engine may come after that of its child.
const NOTICED_WITHIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// How often a file that grows is looked at.
const LOOKED_AT_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 4_000_000 };
const GONE_WITHIN: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A save that is being read.
struct Tail {
    running: Running,
    directory: PathBuf,
    /// The file that had the name before.
    before: Option<u64>,
    /// Whether the file is of no use once it was read.
    drop_dump: bool,
    percent: Arc<AtomicU8>,
    /// What the file will hardly be longer than, in bytes.
    estimate: u64,
}

/// The file that the engine's child writes.
struct Growing {
    file: File,
    inode: u64,
    child: Option<Process>,
    name: Option<PathBuf>,
}

impl Inner {
    /// Begins a save, and returns what it yields.
    pub(super) async fn save(&self, unit: &Unit) -> Result<Saving, Trouble> {
        if unit.instance_type == InstanceType::Memcache {
            return Err(unexpected("a cache has nothing to save"));
        }
        let member = self.best_to_save(unit).await?;
        let running = self.must_run(unit, member).await?;
        let Some(engine) = running.binary.stamp() else {
            return Err(unexpected("it is no engine that saves"));
        };
        let mut admin = self.admin(unit, member, &running).await?;
        let directory = self.layout.member(unit, member);
        let work = async {
            admin.ping().await.map_err(unexpected)?;
            let memory = admin.info("memory").await.map_err(unexpected)?;
            let (before, keyspace) = begin(&mut admin, &directory).await?;
            Ok((memory.number("used_memory"), before, keyspace))
        };
        let (estimate, before, Keyspace { keys, expiring }) = tokio::select! {
            () = running.process.ended() => Err(self.ended(unit, member)),
            begun = tokio::time::timeout(TURN_WITHIN, work) => begun.unwrap_or_else(|_| {
                Err(Trouble::Silent { doing: SAVING, seconds: TURN_WITHIN.as_secs() })
            }),
        }?;
        let percent = Arc::<AtomicU8>::default();
        let drop_dump = self.may_drop_dump(unit, member)?;
        let shown = Arc::clone(&percent);
        let tail = Tail { running, directory, before, drop_dump, percent: shown, estimate };
        let (sender, mut blocks) = channel(WAITING);
        let secrets = unit.secrets.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(trouble) = tail.read(&sender, &secrets) {
                // Without a reader there is nobody to tell.
                let _ = sender.blocking_send(Err(trouble));
            }
        });
        let bytes = futures::stream::poll_fn(move |context| blocks.poll_recv(context)).boxed();
        Ok(Saving { engine, keys, expiring, percent, bytes })
    }

    /// Ends what still saves, and removes what a save left.
    pub(super) async fn forget_save(&self, unit: &Unit) -> Result<(), Trouble> {
        if unit.instance_type == InstanceType::Memcache {
            return Ok(());
        }
        for &member in unit.members() {
            let directory = self.layout.member(unit, member);
            let drop_dump = self.may_drop_dump(unit, member)?;
            blocking(move || forget(&directory, drop_dump).map_err(machine("ending a save")))
                .await?;
        }
        Ok(())
    }

    /// A replica that follows has the same data, and nobody waits for its answers.
    async fn best_to_save(&self, unit: &Unit) -> Result<Member, Trouble> {
        let pair = unit.members().contains(&Member::Second);
        if pair && self.health(unit, Member::Second).await? == Some(Health::Linked) {
            let caught_up = tokio::time::timeout(CAUGHT_UP_WITHIN, self.catch_up(unit)).await;
            if caught_up.unwrap_or(Ok(false))? {
                return Ok(Member::Second);
            }
        }
        if self.mark(unit)?.is_some_and(|mark| mark.has_the_dump()) {
            return Err(unexpected("its data was put there just now"));
        }
        Ok(Member::First)
    }

    /// Waits until the replica has all that its master had when this began: what was acknowledged
    /// before a save was asked for belongs into it. False where the link broke meanwhile.
    async fn catch_up(&self, unit: &Unit) -> Result<bool, Trouble> {
        const REPLICATION: &str = "replication";
        let mut master = self.asked(unit, Member::First).await?;
        let wanted = master.info(REPLICATION).await.map_err(unexpected)?;
        let wanted = wanted.number("master_repl_offset");
        let mut replica = self.asked(unit, Member::Second).await?;
        loop {
            let told = replica.info(REPLICATION).await.map_err(unexpected)?;
            if told.field("master_link_status") != Some("up") {
                return Ok(false);
            }
            if told.number("slave_repl_offset") >= wanted {
                return Ok(true);
            }
            tokio::time::sleep(CAUGHT_UP_ASKED_EVERY).await;
        }
    }

    /// A member's engine, logged in to.
    async fn asked(&self, unit: &Unit, member: Member) -> Result<Admin, Trouble> {
        let running = self.must_run(unit, member).await?;
        let mut admin = self.admin(unit, member, &running).await?;
        admin.ping().await.map_err(unexpected)?;
        Ok(admin)
    }

    /// Whether a dump in a member's directory is nothing that an engine starts from: all but that
    /// of a pair's first engine that appends to no file.
    fn may_drop_dump(&self, unit: &Unit, member: Member) -> Result<bool, Trouble> {
        let pending = self.mark(unit)?.is_some_and(|mark| mark.pending);
        let volatile = !unit.members().contains(&Member::Second);
        Ok(match member {
            Member::First => !pending && (volatile || redis_conf::keeps_data(unit)),
            Member::Second => true,
        })
    }
}

impl Tail {
    /// Reads the file as it grows, to its end; without a reader it ends the save.
    fn read(
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
                && let Some(growing) = Growing::open(&named, None)?
            {
                return Ok(Some(growing));
            }
            for (name, pid) in unfinished(&self.directory)? {
                if let Some(growing) = Growing::open(&name, Some(pid))? {
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
    /// `None` where the file or its writer is gone meanwhile.
    fn open(name: &Path, writer: Option<u32>) -> io::Result<Option<Self>> {
        let Ok(child) = writer.map(Process::hold).transpose() else {
            return Ok(None);
        };
        match File::open(name) {
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

/// Waits for other children of the engine and has it fork; the file that has the name of a dump
/// by then is another one.
async fn begin(admin: &mut Admin, directory: &Path) -> Result<(Option<u64>, Keyspace), Trouble> {
    loop {
        let told = admin.info("persistence").await.map_err(unexpected)?;
        if told.is_loading() {
            return Err(unexpected("it still reads its data"));
        }
        if !told.is_writing() {
            let place = directory.to_path_buf();
            let before = blocking(move || {
                remove_unfinished(&place).map_err(machine(SAVING))?;
                inode(&place.join(DUMP)).map_err(machine(SAVING))
            })
            .await?;
            if let Some(keyspace) = admin.begin_save().await.map_err(unexpected)? {
                return Ok((before, keyspace));
            }
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
}

fn forget(directory: &Path, drop_dump: bool) -> io::Result<()> {
    for (_, pid) in unfinished(directory)? {
        if let Ok(child) = Process::hold(pid)
            && works_in(pid, directory)
        {
            child.signal(Signal::KILL)?;
            child.ends_within(GONE_WITHIN);
        }
    }
    remove_unfinished(directory)?;
    if drop_dump {
        std::fs::remove_file(directory.join(DUMP)).or_else(ignore_missing)?;
    }
    Ok(())
}

/// Removes files that nobody writes any more.
pub(super) fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for (name, _) in unfinished(directory)? {
        std::fs::remove_file(name).or_else(ignore_missing)?;
    }
    Ok(())
}

/// Removes all that an engine writes aside, data of its master and rewritten logs too. No engine
/// may be there.
pub(super) fn remove_temporary(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b"temp-") && (name.ends_with(b".rdb") || name.ends_with(b".aof")) {
            std::fs::remove_file(entry.path()).or_else(ignore_missing)?;
        }
    }
    Ok(())
}

/// Files that children of an engine write, `temp-<pid>.rdb`.
fn unfinished(directory: &Path) -> io::Result<Vec<(PathBuf, u32)>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return ignore_missing(error).map(|()| Vec::new()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("temp-")?.strip_suffix(".rdb"));
        if let Some(pid) = pid.and_then(|pid| pid.parse().ok()) {
            found.push((entry.path(), pid));
        }
    }
    Ok(found)
}

fn inode(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(error) => ignore_missing(error).map(|()| None),
    }
}

fn unexpected(answer: impl std::fmt::Display) -> Trouble {
    Trouble::Unexpected { doing: SAVING, answer: answer.to_string() }
}
