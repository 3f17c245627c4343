//! At most one server for each data directory.
//!
//! The lock is the kernel's and ends with the process, however it ends; the pid inside the file
//! is only there to be shown.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::{DataDir, OpenError};

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
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(trouble)?;
                let dir = dir.path().to_owned();
                return Err(OpenError::Served { dir, pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(trouble(error)),
        }
        file.set_len(0).map_err(trouble)?;
        file.rewind().map_err(trouble)?;
        writeln!(file, "{}", std::process::id()).map_err(trouble)?;
        Ok(Self(file))
    }

    /// Whether a server seems to work on the directory: the process that took the lock last is
    /// there. Trying the lock would be sure, and could refuse it to a server that just starts.
    pub fn seems_taken(dir: &DataDir) -> bool {
        let pid = std::fs::read_to_string(dir.lock()).ok();
        let pid = pid.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
        pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
    }
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
}
