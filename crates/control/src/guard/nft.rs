//! The packet filter of the machine, through the program `nft`.
//!
//! The right to change it is handed to that program and to nothing else that this process starts.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use ourkv_domain::ids::NodeId;
use rustix::thread::{
    CapabilitySet, capabilities, configure_capability_in_ambient_set, set_capabilities,
};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::runtime;

use super::rules::{Rules, table};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where it is looked for besides the `PATH`, which of ordinary users often lacks these.
const PLACES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// `nft`, and the right to use it.
#[derive(Debug, Clone)]
pub struct Nft {
    program: PathBuf,
}

/// Why whitelists can't be put in force here, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum NotEnforced {
    /// There is no `nft`.
    #[error("nft is not installed")]
    NoProgram,
    /// This process may not change the packet filter.
    #[error("this process may not change the packet filter")]
    NoRight,
    /// The kernel or the program does not take the rules.
    #[error("this machine does not take the rules: {0}")]
    Refused(NftError),
}

/// A call of `nft` failed.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// It can't be run.
    #[error("nft can't be run: {0}")]
    Run(#[from] io::Error),
    /// It said no.
    #[error("nft: {0}")]
    Said(String),
    /// It did not come to an end.
    #[error("nft did not answer within {} s", PATIENCE.as_secs())]
    Silent,
}

impl NotEnforced {
    /// What an operator can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoProgram => "install the package nftables",
            Self::NoRight => {
                "give `ourkv serve` CAP_NET_ADMIN (`setcap cap_net_admin=ep FILE`, or \
                 AmbientCapabilities= of a systemd unit), or run it as root"
            }
            Self::Refused(_) => "see whether the kernel has nf_tables and nft is 1.0 or newer",
        }
    }
}

impl Nft {
    /// The packet filter, if this process may change it.
    pub fn open() -> Result<Self, NotEnforced> {
        let program = program().ok_or(NotEnforced::NoProgram)?;
        let may = |right| capabilities(None).is_ok_and(|sets| sets.effective.contains(right));
        if !may(CapabilitySet::NET_ADMIN) {
            return Err(NotEnforced::NoRight);
        }
        Ok(Self { program })
    }

    /// The same, if it takes such rules. Changes nothing.
    pub async fn find(rules: &Rules) -> Result<Self, NotEnforced> {
        let nft = Self::open()?;
        let checked = nft.call(&["--check", "--file", "-"], &rules.script()).await;
        checked.map(|()| nft).map_err(NotEnforced::Refused)
    }

    /// Puts rules in the place of those that the node has.
    pub(super) async fn apply(&self, rules: &Rules) -> Result<(), NftError> {
        self.call(&["--file", "-"], &rules.script()).await
    }

    /// Whether the kernel has just these rules.
    pub(super) async fn has(&self, rules: &Rules) -> Result<bool, NftError> {
        self.has_chain(rules.table(), &rules.mark()).await
    }

    /// Whether the kernel has rules of a node.
    pub async fn has_any(&self, node: &NodeId) -> Result<bool, NftError> {
        self.has_chain(&table(node), "clients").await
    }

    /// Takes the rules of a node away, if there are any.
    pub async fn remove(&self, node: &NodeId) -> Result<(), NftError> {
        let gone = self.call(&["delete", "table", "inet", &table(node)], "").await;
        gone.or_else(|error| if error.is_absence() { Ok(()) } else { Err(error) })
    }

    async fn has_chain(&self, table: &str, chain: &str) -> Result<bool, NftError> {
        match self.call(&["list", "chain", "inet", table, chain], "").await {
            Ok(()) => Ok(true),
            Err(error) if error.is_absence() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn call(&self, arguments: &[&str], input: &str) -> Result<(), NftError> {
        let output = tokio::time::timeout(PATIENCE, run(&self.program, arguments, input));
        let output = output.await.map_err(|_| NftError::Silent)??;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        // The first line says what is wrong, the others repeat the rule.
        Err(NftError::Said(said.lines().next().unwrap_or("it failed").to_owned()))
    }
}

impl NftError {
    fn is_absence(&self) -> bool {
        matches!(self, Self::Said(said) if said.contains("No such file or directory"))
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(PLACES.map(PathBuf::from));
    places.map(|place| place.join("nft")).find(|file| file.is_file())
}

async fn run(program: &Path, arguments: &[&str], input: &str) -> io::Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("LC_ALL", "C").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let here = runtime::Handle::current();
    let spawning = tokio::task::spawn_blocking(move || spawn(command, &here));
    let mut child = spawning.await.map_err(io::Error::other)??;
    if let Some(mut pipe) = child.stdin.take() {
        // It says what is wrong, and may end before it has read all.
        let _ = pipe.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
}

/// Starts a program that may change the packet filter. The right is handed down from a thread of
/// its own: it ends with that thread, and no engine is started from there.
fn spawn(mut command: Command, runtime: &runtime::Handle) -> io::Result<Child> {
    let starting = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _entered = runtime.enter();
            hand_down()?;
            command.spawn()
        });
        thread.join()
    });
    starting.map_err(|_| io::Error::other("its start panicked"))?
}

fn hand_down() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.inheritable |= CapabilitySet::NET_ADMIN;
    set_capabilities(None, sets)?;
    Ok(configure_capability_in_ambient_set(CapabilitySet::NET_ADMIN, true)?)
}
