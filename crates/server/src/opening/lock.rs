//! At most one server for each data directory.
//!
//! The lock is the kernel's and ends with the process, however it ends; the pid inside the file
//! is only there to be shown. A server that is killed while it starts an engine leaves the lock to
//! that process until it has become the engine's program.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::{DataDir, OpenError};

/// How long the lock of a server that is gone is waited for, at most.
const STRAY: Duration = Duration::from_secs(2);

/// How often it is tried meanwhile.
const RETRY: Duration = Duration::from_millis(5);

/// Held for as long as a server, or something that must not meet one, works on a directory.
#[derive(Debug)]
pub struct ServeLock(#[expect(dead_code, reason = "held, not used")] File);

impl ServeLock {
    /// Takes the lock, or says which process has it.
    pub fn take(dir: &DataDir) -> Result<Self, OpenError> {
        let path = dir.lock();
        let trouble = |source| OpenError::io("lock", &path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(trouble)?;
        if let Some(pid) = lock_or_holder(&mut file).map_err(trouble)? {
            return Err(OpenError::Served { dir: dir.path().to_owned(), pid });
        }
        file.set_len(0).map_err(trouble)?;
        file.rewind().map_err(trouble)?;
        writeln!(file, "{}", std::process::id()).map_err(trouble)?;
        Ok(Self(file))
    }

    /// Whether a server seems to work on the directory: the process that took the lock last is
    /// there. Trying the lock would be sure, and could refuse it to a server that just starts.
    pub fn seems_taken(dir: &DataDir) -> bool {
        std::fs::read_to_string(dir.lock()).is_ok_and(|pid| is_there(&pid))
    }
}

/// Locks the file; where a process has it, says which.
fn lock_or_holder(file: &mut File) -> io::Result<Option<String>> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(None),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut pid = String::new();
        file.rewind()?;
        file.read_to_string(&mut pid)?;
        if is_there(&pid) || began.elapsed() > STRAY {
            return Ok(Some(pid.trim().to_owned()));
        }
        std::thread::sleep(RETRY);
    }
}

/// Whether there is a process of this pid.
fn is_there(pid: &str) -> bool {
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_server_is_told_the_pid_of_the_first() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open_or_create(root.path()).unwrap();
        assert!(!ServeLock::seems_taken(&dir));
        let first = ServeLock::take(&dir).unwrap();
        assert!(ServeLock::seems_taken(&dir));
        let error = ServeLock::take(&dir).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        ServeLock::take(&dir).unwrap();
    }

    #[test]
    fn what_a_server_leaves_behind_that_is_gone_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open_or_create(root.path()).unwrap();
        // No process ever has this pid: it is above the kernel's limit.
        std::fs::write(dir.lock(), "2000000000\n").unwrap();
        let stray = File::open(dir.lock()).unwrap();
        stray.lock().unwrap();
        let waiting = std::thread::spawn(move || ServeLock::take(&dir).map(|_| ()));
        drop(stray);
        waiting.join().unwrap().unwrap();
    }
}
