//! What an engine may do on this machine, should its tenant come to run code in it.
//!
//! Guarantees, as far as the machine lets us ([`abilities`] tells): an engine runs under a user of
//! its own, in no group of anybody else, without capabilities and without a way to gain any; it
//! reaches no file but those in its directory, and the program and libraries that it consists of;
//! by TCP it listens on and connects to its instance's port only; it signals nobody outside. It is
//! so before it executes its first instruction: a thread gives all this up, starts it and ends.
//! Bounds on memory, processes and files follow at once, and again when it is adopted.
//!
//! Directories above an engine's own stay closed to its user. It is put into its own directory,
//! and uses relative names there.
//!
//! What it can't do: TCP is restricted by port and not by address, other protocols are not, nor is
//! what any user of the machine may see in `/proc`.

mod ability;
mod limits;
mod owner;
mod user;
mod walls;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{CapabilitySet, CapabilitySets};

pub use self::ability::{Abilities, abilities};
pub(super) use self::limits::Limits;
pub use self::user::{FIRST_USER, LAST_FIRST_USER, USERS};
use crate::engine::Launch;

/// How engines are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    /// How much of it.
    pub confine: Confine,
    /// The first of [`USERS`] user ids in a row that nobody else uses.
    pub first_user: u32,
}

/// How much engines are confined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Confine {
    /// As much as this machine allows.
    #[default]
    Auto,
    /// In full, or no engine runs.
    Require,
    /// Not at all.
    Off,
}

impl Default for Confinement {
    fn default() -> Self {
        Self { confine: Confine::default(), first_user: FIRST_USER }
    }
}

/// Confines what it starts.
#[derive(Debug, Clone)]
pub(super) struct Confiner {
    /// Whether processes give up what they never need.
    confines: bool,
    /// The first id, where processes get users of their own.
    first_user: Option<u32>,
    /// Whether Landlock closes them in.
    walls: bool,
    /// Whether that keeps them from signalling anybody else.
    scopes_signals: bool,
}

/// What a process is confined to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<'a> {
    /// The one directory that it may write to, and works in.
    pub(super) directory: &'a Path,
    /// The user that it runs as, where that is not our own.
    pub(super) user: Option<u32>,
    /// The only TCP port for it.
    pub(super) port: Option<u16>,
    /// Its priority, where that is not the usual one.
    pub(super) priority: Option<i32>,
}

/// Standard input, output and error.
pub(super) struct Streams {
    pub(super) input: Stdio,
    pub(super) output: Stdio,
    pub(super) error: Stdio,
}

impl Confiner {
    /// Finds out what the machine allows; `scratch` is where engines will have their directories.
    /// An error where that is less than what is required.
    pub(super) fn new(settings: Confinement, scratch: &Path) -> io::Result<Self> {
        let Confinement { confine, first_user } = settings;
        if confine == Confine::Off {
            let (walls, scopes_signals) = (false, false);
            return Ok(Self { confines: false, first_user: None, walls, scopes_signals });
        }
        let mut able = abilities(first_user);
        able.users = able.users.and_then(|()| owner::may_be_given(scratch, first_user));
        if confine == Confine::Require
            && let Some(missing) = able.missing()
        {
            return Err(io::Error::other(missing.to_owned()));
        }
        if let Err(reason) = &able.users {
            tracing::info!(reason, "engines have no users of their own");
        }
        if let Err(reason) = &able.walls {
            tracing::warn!(reason, "engines are not kept to their directories and ports");
        }
        let first_user = able.users.is_ok().then_some(first_user);
        let scopes_signals = able.walls.as_ref().is_ok_and(|it| walls::scopes_signals(*it));
        Ok(Self { confines: true, first_user, walls: able.walls.is_ok(), scopes_signals })
    }

    /// Whether it confines anything.
    pub(super) fn confines(&self) -> bool {
        self.confines
    }

    /// The user of the engines at an address.
    pub(super) fn user_at(&self, address: Ipv4Addr) -> Option<u32> {
        self.first_user.map(|first| user::at(first, address))
    }

    /// The user of a trial.
    pub(super) fn user_of_trial(&self, number: u64) -> Option<u32> {
        self.first_user.map(|first| user::of_trial(first, std::process::id(), number))
    }

    /// Starts a program in its cell.
    pub(super) fn spawn(
        &self,
        program: &Path,
        launch: &Launch,
        cell: Cell<'_>,
        streams: Streams,
    ) -> io::Result<Child> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("confine".into());
            let work = || self.begin(program, launch, cell, streams);
            let child = thread.spawn_scoped(scope, work)?.join();
            child.unwrap_or_else(|_| Err(io::Error::other("a defect: the thread panicked")))
        })
    }

    /// Runs on a thread that ends afterwards: it gives up what the process must not have.
    fn begin(
        &self,
        program: &Path,
        launch: &Launch,
        cell: Cell<'_>,
        streams: Streams,
    ) -> io::Result<Child> {
        // Open until the process has begun.
        let (mut command, _way) = match cell.user {
            Some(_) => by_open_ways(program, cell.directory)?,
            None => (in_directory(program, cell.directory), Vec::new()),
        };
        command
            .args(&launch.arguments)
            .env_clear()
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(streams.input)
            .stdout(streams.output)
            .stderr(streams.error);
        if let Some(priority) = cell.priority {
            rustix::process::setpriority_process(None, priority)?;
        }
        if self.confines {
            give_up_privileges()?;
        }
        if self.walls {
            walls::close(cell.directory, program, cell.port).map_err(io::Error::other)?;
        }
        match cell.user {
            Some(user) if self.scopes_signals => user::become_user(user)?,
            Some(user) => drop(command.uid(user).gid(user)),
            None => {}
        }
        command.spawn()
    }
}

/// Ends what is left of a user who has nothing to run any more.
pub(super) fn end_all_of(user: Option<u32>) -> io::Result<()> {
    user.map_or(Ok(()), user::end_all)
}

/// Has a directory, and all in it, belong to who is to run there.
pub(super) fn hand_over(directory: &Path, user: Option<u32>) -> io::Result<()> {
    owner::hand_over(directory, user.unwrap_or_else(|| rustix::process::geteuid().as_raw()))
}

/// Has one file belong to who is to read it.
pub(super) fn give(file: &File, user: Option<u32>) -> io::Result<()> {
    user.map_or(Ok(()), |user| std::os::unix::fs::fchown(file, Some(user), Some(user)))
}

/// Has one name belong to who is to use it.
pub(super) fn give_path(path: &Path, user: Option<u32>) -> io::Result<()> {
    user.map_or(Ok(()), |user| std::os::unix::fs::lchown(path, Some(user), Some(user)))
}

fn in_directory(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory);
    command
}

/// For another user, who could not go the way to the directory, nor that to a program in somebody's
/// home: both are opened here, and entered by what was opened. The program keeps its name, as some
/// look at it.
fn by_open_ways(program: &Path, directory: &Path) -> io::Result<(Command, Vec<OwnedFd>)> {
    let (Some(place), Some(name)) = (program.parent(), program.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let (place, directory) = (open(place)?, open(directory)?);
    let mut command = Command::new(through(&place).join(name));
    command.arg0::<&OsStr>(program.as_ref()).current_dir(through(&directory));
    Ok((command, vec![place, directory]))
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory, flags, Mode::empty())?)
}

fn through(directory: &OwnedFd) -> std::path::PathBuf {
    format!("/proc/self/fd/{}", directory.as_raw_fd()).into()
}

/// Gives up, for this thread and what it starts, what no engine needs: gaining privileges by
/// executing a file, and capabilities even where it is root.
fn give_up_privileges() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let own = rustix::thread::capabilities(None)?;
    if own.effective.contains(CapabilitySet::SETPCAP) {
        for capability in (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
            match rustix::thread::capability_is_in_bounding_set(capability) {
                Ok(true) => rustix::thread::remove_capability_from_bounding_set(capability)?,
                Ok(false) => {}
                // The kernel knows no further ones.
                Err(_) => break,
            }
        }
    }
    let sets = CapabilitySets { inheritable: CapabilitySet::empty(), ..own };
    rustix::thread::set_capabilities(None, sets)?;
    match rustix::thread::clear_ambient_capability_set() {
        // Before 4.3 there is none.
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
