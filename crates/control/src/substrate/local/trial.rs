//! Throw-away engines: `DIR/trials/<process>-<number>/`.
//!
//! A trial tells whether an engine loads data, before anything depends on it. What is loaded may
//! be damaged on purpose, so the engine is confined before it reads anything: as all engines are,
//! and by tighter bounds on memory, time and files, the lowest priority, no port. It reads from a pipe, so that data of any size
//! takes no room on the disk, or from a link to a file that exists. Whatever comes of it, process
//! and directory are gone afterwards; what a killed control plane left is removed at the next
//! start.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::Timespec;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::process::Signal;
use tokio::net::UnixStream;
use tokio::sync::mpsc::Receiver;

use super::confine::{Cell, Confiner, Limits, Streams, end_all_of, give_path};
use super::process::{End, Process};
use super::sink::pour;
use super::{Trouble, adopt, blocking, log, machine};
use crate::engine::redis_admin::{Admin, dial};
use crate::engine::trial::{DUMP, launch};
use crate::engine::{Binary, Engines};
use crate::substrate::{ByteStream, Loaded};

const TRYING: &str = "trying whether an engine loads the data";
const OWNER: &str = "owner.lock";
/// How long it may take once it has all data: it has that much time of the processor, at the
/// lowest priority.
const DONE_WITHIN: Duration = Duration::from_mins(30);
const GONE_WITHIN: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// How many this process has begun, wherever: what is left of one is ended by its user, so no two
/// have the same.
static BEGUN: AtomicU64 = AtomicU64::new(0);
const LOWEST_PRIORITY: i32 = 19;
/// The kernel's scale ends here.
const OOM_FIRST: &str = "1000";
const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// The place for trials.
#[derive(Debug)]
pub(super) struct Trials {
    root: PathBuf,
    confiner: Confiner,
}

/// One engine that is tried. It ends with this value.
struct Trial {
    directory: PathBuf,
    user: Option<u32>,
    process: Arc<Process>,
    _owner: File,
}

/// Where the data comes from.
enum Source {
    Pipe,
    File(PathBuf),
}

impl Trials {
    /// Below this data directory. Removes what is left of trials whose control plane is gone.
    pub(super) fn below(
        data_dir: &Path,
        engines: &Engines,
        confiner: Confiner,
    ) -> io::Result<Self> {
        let root = data_dir.join("trials");
        DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        let root = root.canonicalize()?;
        for entry in std::fs::read_dir(&root)? {
            collect(&entry?.path(), engines)?;
        }
        Ok(Self { root, confiner })
    }

    /// Has an engine load a stream.
    pub(super) async fn load_stream(
        &self,
        binary: Binary,
        capacity_mb: i64,
        bytes: ByteStream,
    ) -> Result<Loaded, Trouble> {
        let trial = self.begin(binary, capacity_mb, Source::Pipe).await?;
        let (pipe, process) = (trial.directory.join(DUMP), Arc::clone(&trial.process));
        let fed = pour(bytes, move |chunks| feed(&pipe, &process, chunks));
        let (fed, loaded) = tokio::join!(fed, trial.loaded());
        trial.end().await;
        match (fed, loaded) {
            (Err(trouble), _) | (Ok(_), Err(trouble)) => Err(trouble),
            (Ok(Fed::InPart), Ok(_)) => {
                Err(Trouble::Dataset { reason: "there is more behind its end".into() })
            }
            (Ok(Fed::Whole), Ok(loaded)) => Ok(loaded),
        }
    }

    /// Has an engine load a file of the same file system.
    pub(super) async fn load_file(
        &self,
        binary: Binary,
        capacity_mb: i64,
        file: PathBuf,
    ) -> Result<Loaded, Trouble> {
        let trial = self.begin(binary, capacity_mb, Source::File(file)).await?;
        let loaded = trial.loaded().await;
        trial.end().await;
        loaded
    }

    async fn begin(
        &self,
        binary: Binary,
        capacity_mb: i64,
        source: Source,
    ) -> Result<Trial, Trouble> {
        let number = BEGUN.fetch_add(1, Ordering::Relaxed);
        let directory = self.root.join(format!("{}-{number}", std::process::id()));
        let (confiner, user) = (self.confiner.clone(), self.confiner.user_of_trial(number));
        let work = move || {
            let place = Place { directory, user };
            begin(&confiner, place, &binary, capacity_mb, &source).map_err(machine(TRYING))
        };
        blocking(work).await
    }
}

impl Trial {
    /// What the engine has once it has loaded everything.
    async fn loaded(&self) -> Result<Loaded, Trouble> {
        let asked = tokio::time::timeout(DONE_WITHIN, self.ask());
        tokio::select! {
            () = self.process.ended() => Err(self.refusal()),
            loaded = asked => match loaded {
                Ok(Some(loaded)) => Ok(loaded),
                // Its connection broke: it is about to end.
                Ok(None) => {
                    let _ = tokio::time::timeout(DONE_WITHIN, self.process.ended()).await;
                    Err(self.refusal())
                }
                Err(_) => Err(Trouble::Silent { doing: TRYING, seconds: DONE_WITHIN.as_secs() }),
            }
        }
    }

    async fn ask(&self) -> Option<Loaded> {
        let mut pause = Duration::from_millis(2);
        let mut admin = loop {
            if let Ok(stream) = dial(&self.directory, self.process.pid()) {
                break Admin::over_open(UnixStream::from_std(stream).ok()?).await.ok()?;
            }
            tokio::time::sleep(pause).await;
        };
        loop {
            let told = admin.info("persistence").await.ok()?;
            if !told.is_loading() {
                let expired = told.number("rdb_last_load_keys_expired");
                let keys = admin.info("keyspace").await.ok()?.keyspace().keys;
                return Some(Loaded { keys, expired });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Why it ended. An engine that somebody killed says nothing about the data.
    fn refusal(&self) -> Trouble {
        let last_words = log::last_words(&self.directory, &[]);
        match self.process.reap() {
            Some(End::Killed) => Trouble::Ended { last_words },
            // An engine that knows how goes on with a report, which may quote keys of the tenant.
            _ => Trouble::Dataset { reason: log::complaint(&self.directory).unwrap_or(last_words) },
        }
    }

    async fn end(self) {
        // Nothing is left of it whether or not anyone waits here.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Err(error) = self.process.signal(Signal::KILL) {
            tracing::warn!(%error, "cannot end a trial");
        }
        self.process.ends_within(GONE_WITHIN);
        self.process.reap();
        if let Err(error) = end_all_of(self.user) {
            tracing::warn!(%error, "cannot end what a trial may have left");
        }
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            tracing::warn!(%error, "cannot remove the directory of a trial");
        }
    }
}

/// How much of the data an engine took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fed {
    Whole,
    InPart,
}

/// Writes all data into the pipe, as far as the engine reads it.
fn feed(path: &Path, process: &Process, mut chunks: Receiver<Bytes>) -> Result<Fed, Trouble> {
    let mut pipe = loop {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(pipe) => break File::from(pipe),
            // It does not read yet.
            Err(rustix::io::Errno::NXIO) if !process.ends_within(MOMENT) => {}
            // It ended, and may be gone with its directory; it says elsewhere why.
            Err(_) if process.is_over() => return Ok(Fed::InPart),
            Err(error) => return Err(machine(TRYING)(error.into())),
        }
    };
    rustix::fs::fcntl_setfl(&pipe, OFlags::WRONLY)
        .map_err(|error| machine(TRYING)(error.into()))?;
    // An engine that meets trouble opens the file once more, to look what is wrong with it, and
    // would wait for a second writer.
    std::fs::remove_file(path).map_err(machine(TRYING))?;
    while let Some(chunk) = chunks.blocking_recv() {
        match pipe.write_all(&chunk) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Fed::InPart),
            Err(error) => return Err(machine(TRYING)(error)),
        }
    }
    Ok(Fed::Whole)
}

/// Where a trial is made, and who makes it.
struct Place {
    directory: PathBuf,
    user: Option<u32>,
}

fn begin(
    confiner: &Confiner,
    place: Place,
    binary: &Binary,
    capacity_mb: i64,
    source: &Source,
) -> io::Result<Trial> {
    DirBuilder::new().mode(0o700).create(&place.directory)?;
    let trial = set_up(&place, source).and_then(|(owner, log)| {
        spawn(confiner, &place, binary, capacity_mb, log).map(|process| (owner, process))
    });
    let Place { directory, user } = place;
    match trial {
        Ok((owner, process)) => {
            Ok(Trial { directory, user, process: Arc::new(process), _owner: owner })
        }
        Err(error) => {
            std::fs::remove_dir_all(&directory)?;
            Err(error)
        }
    }
}

/// Starts the engine. It waits for its configuration, and has all its bounds by then.
fn spawn(
    confiner: &Confiner,
    place: &Place,
    binary: &Binary,
    capacity_mb: i64,
    log: File,
) -> io::Result<Process> {
    let launch = launch(binary);
    let cell = Cell {
        directory: &place.directory,
        user: place.user,
        port: None,
        priority: Some(LOWEST_PRIORITY),
    };
    let (input, output) = (Stdio::piped(), log.try_clone()?.into());
    let streams = Streams { input, output, error: log.into() };
    let mut child = confiner.spawn(&binary.path, &launch, cell, streams)?;
    let begun = Process::hold(child.id()).and_then(|process| {
        Limits::of_trial(capacity_mb).put_on(child.id(), place.user)?;
        // Where memory runs out it is the trial that goes, not the engine of a tenant.
        std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), OOM_FIRST)?;
        if let (Some(mut input), Some(text)) = (child.stdin.take(), &launch.input) {
            input.write_all(text.expose().as_bytes())?;
        }
        Ok(process)
    });
    begun.or_else(|error| {
        child.kill()?;
        child.wait()?;
        Err(error)
    })
}

/// The lock that says that this trial has an owner, and the log.
fn set_up(place: &Place, source: &Source) -> io::Result<(File, File)> {
    let directory = &place.directory;
    let create = |name: &str| {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(0o600).open(directory.join(name))
    };
    let owner = create(OWNER)?;
    rustix::fs::flock(&owner, FlockOperation::NonBlockingLockExclusive)?;
    let dump = directory.join(DUMP);
    match source {
        Source::Pipe => {
            let mode = Mode::RUSR | Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, &dump, FileType::Fifo, mode, 0)?;
        }
        Source::File(file) => std::fs::hard_link(file, &dump)?,
    }
    give_path(&dump, place.user)?;
    let log = log::open(directory)?;
    give_path(directory, place.user)?;
    Ok((owner, log))
}

/// Removes a trial whose control plane is gone.
fn collect(directory: &Path, engines: &Engines) -> io::Result<()> {
    let owner = match File::open(directory.join(OWNER)) {
        Ok(owner) => Some(owner),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(owner) = &owner
        && rustix::fs::flock(owner, FlockOperation::NonBlockingLockExclusive).is_err()
    {
        return Ok(());
    }
    adopt::sweep(directory, "", engines)?;
    std::fs::remove_dir_all(directory)
}
