//! How much room a file system has left, and when that is little.
//!
//! What is full stops writes of engines, backups and the store. It is said before that.

use std::path::Path;

use rustix::fs::statvfs;

/// Below these many free bytes there is little room.
const LITTLE: u64 = 100 << 20;
/// Below one part in this many, too.
const LITTLE_OF: u64 = 20;

/// The room of a file system, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What this user may still write.
    pub free: u64,
    /// All of it.
    pub size: u64,
}

impl Room {
    /// That of the file system with this path.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let found = statvfs(path)?;
        Ok(Self {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            size: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    /// Whether it is time to make room.
    pub fn is_little(self) -> bool {
        self.free < LITTLE || self.free < self.size / LITTLE_OF
    }
}

impl std::fmt::Display for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} MB of {} MB free", self.free >> 20, self.size >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_a_twentieth_or_a_hundred_megabytes() {
        const GB: u64 = 1 << 30;
        assert!(!Room { free: 6 * GB, size: 100 * GB }.is_little());
        assert!(Room { free: 4 * GB, size: 100 * GB }.is_little());
        assert!(Room { free: 99 << 20, size: GB }.is_little());
        assert!(!Room { free: 101 << 20, size: GB }.is_little());
    }

    #[test]
    fn a_file_system_tells_its_room() {
        let room = Room::of(Path::new("/")).unwrap();
        assert!(room.free <= room.size && room.size > 0, "{room}");
    }
}
