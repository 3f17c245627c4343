//! The process in which an engine saves, held while it does: what is under way stays under way.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Ourkv, PATIENCE};
use crate::tenant::engines;

/// A saving process that stands still. Dropping it lets it go on.
pub(crate) struct Saver {
    /// The engine that saves.
    pub(crate) engine: u32,
    /// Where that engine runs.
    pub(crate) home: PathBuf,
    child: u32,
}

impl Saver {
    /// Asks for backups of an instance until one of them is caught in the act; its job, and who
    /// saves.
    #[track_caller]
    pub(crate) fn hold(server: &Ourkv, instance: &str) -> (String, Self) {
        for _ in 0..10 {
            let job = server.ask_for_backup(instance);
            let began = Instant::now();
            while began.elapsed() < PATIENCE {
                if let Some(saver) = Self::catch(server) {
                    return (job, saver);
                }
                if server.backup_of(instance, &job).is_some() {
                    break;
                }
            }
        }
        panic!("no engine is seen to save\n{}", server.log());
    }

    /// Looks for an engine that saves, for a moment, and holds it there.
    fn catch(server: &Ourkv) -> Option<Self> {
        let engines = engines(&server.dir);
        for _ in 0..200 {
            for (home, engine) in &engines {
                let children = format!("/proc/{engine}/task/{engine}/children");
                let children = std::fs::read_to_string(children).unwrap_or_default();
                let Some(child) = children.split_whitespace().next() else { continue };
                let child = child.parse().unwrap();
                let held = Self { engine: *engine, home: home.into(), child };
                // What has got its name already is whole.
                let unfinished = held.home.join(format!("temp-{child}.rdb"));
                if signal(child, Signal::STOP) && stands(child) && unfinished.exists() {
                    return Some(held);
                }
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        None
    }

    /// Ends the engine at once, and its saving process after it.
    pub(crate) fn kill_engine(self) {
        signal(self.engine, Signal::KILL);
    }

    /// Ends the saving process.
    pub(crate) fn kill(self) {
        signal(self.child, Signal::KILL);
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        signal(self.child, Signal::CONT);
    }
}

/// Whether there was a process to be told.
fn signal(pid: u32, signal: Signal) -> bool {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    kill_process(pid, signal).is_ok()
}

/// Waits until a process that was told to stop does; false if it ended instead.
fn stands(pid: u32) -> bool {
    loop {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        match status.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
            Some('T') => return true,
            None | Some('Z' | 'X') => return false,
            Some(_) => std::thread::yield_now(),
        }
    }
}
