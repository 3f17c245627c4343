//! Disks of a test's own: a file in memory, a loop device over it, and a journaling file system
//! there. Their power can be cut, and they can fail in the ways in which disks do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::backup_faults::run;
use crate::common::{Ourkv, PATIENCE};
use crate::tenant::id;

/// A file system's own switch, by which those who make file systems test them: from then on
/// nothing reaches the device, and everybody who asks for something is told of an error. What it
/// had not written is gone with its cache; the next mount finds the journal as it was.
const SHUT_DOWN: &str = r#"open(F, "<", $ARGV[0]) or die "$!"; $how = pack("L", $ARGV[1]);
                           ioctl(F, 0x8004587d, $how) or die "$!""#;
/// What names this run of the machine.
const RUN: &str = "/proc/sys/kernel/random/boot_id";

/// What an end of the file system leaves of what it has in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing.
    AtOnce = 2,
    /// The journal as if it had just been written, and not the data.
    AfterJournal = 1,
}

/// A disk that is mounted at a directory.
pub(crate) struct Disk {
    /// Where the image lies, in memory.
    room: tempfile::TempDir,
    at: PathBuf,
}

impl Disk {
    /// A disk of so many megabytes, all of which the machine has.
    pub(crate) fn mounted(at: &Path, megabytes: u64) -> Self {
        let room = tempfile::tempdir().unwrap();
        // With some room beside the image, which a test can take away.
        let size = format!("size={}m", megabytes + 4);
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", room.path().to_str().unwrap()]);
        let disk = Self { room, at: at.to_owned() };
        let image = std::fs::File::create(disk.image()).unwrap();
        image.set_len(megabytes << 20).unwrap();
        let eagerly = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
        run("/sbin/mkfs.ext4", &["-q", "-F", "-b", "4096", "-E", eagerly, &disk.image()]);
        // Afterwards: what is made of zeroes only is not written by it.
        let all = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&image, all, 0, megabytes << 20).unwrap();
        std::fs::create_dir_all(at).unwrap();
        disk.mount();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(at, private).unwrap();
        disk
    }

    fn image(&self) -> String {
        self.room.path().join("image").to_str().unwrap().to_owned()
    }

    /// Without the care that ext4 takes of programs that don't ask for what they need: a file that
    /// takes another's name may be empty after a cut unless it was forced to the disk.
    fn mount(&self) {
        let options = "loop,noauto_da_alloc,errors=remount-ro";
        run("mount", &["-o", options, &self.image(), self.at.to_str().unwrap()]);
    }

    /// The end of the file system, with what it has in memory.
    pub(crate) fn cut(&self, cut: Cut) {
        let how = (cut as u32).to_string();
        run("perl", &["-e", SHUT_DOWN, self.at.to_str().unwrap(), &how]);
    }

    /// An error that the file system finds, whereupon it lets nobody write any more.
    pub(crate) fn turn_read_only(&self) {
        let device = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(&self.at).unwrap());
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let device = std::fs::read_link(format!("/sys/dev/block/{major}:{minor}")).unwrap();
        let device = device.file_name().unwrap().to_str().unwrap().to_owned();
        std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "found by a test")
            .unwrap();
    }

    /// From here on the disk takes nothing where nothing is yet: writes succeed, and forcing them
    /// to the disk fails.
    pub(crate) fn take_nothing_more(&self) {
        run("/sbin/fstrim", &[self.at.to_str().unwrap()]);
        let mut filler = std::fs::File::create(self.room.path().join("filler")).unwrap();
        while std::io::Write::write_all(&mut filler, &[0; 4096]).is_ok() {}
    }

    /// The end of that.
    pub(crate) fn take_everything(&self) {
        std::fs::remove_file(self.room.path().join("filler")).unwrap();
    }

    /// Takes the disk off once nobody uses it, and mounts it again: the journal is replayed.
    pub(crate) fn replace(&self) {
        let at = self.at.to_str().unwrap();
        let began = Instant::now();
        loop {
            let tried = Command::new("umount").arg(at).output().unwrap();
            if tried.status.success() {
                return self.mount();
            }
            assert!(began.elapsed() < PATIENCE, "{at} is in use: {tried:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Gives the machine another run, as a start of it would; `run` is any number.
pub(crate) fn begin_run(disk: &Disk, number: u32) {
    let file = disk.room.path().join("run");
    let is_first = !file.exists();
    std::fs::write(&file, format!("{:032x}\n", u128::from(number))).unwrap();
    if is_first {
        run("mount", &["--bind", file.to_str().unwrap(), RUN]);
    }
}

/// Ends everything that works below a directory, by pid. The directory may answer nothing any more.
pub(crate) fn end_all_below(dir: &Path) {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (Some(pid), Ok(home)) = (pid, std::fs::read_link(entry.path().join("cwd")))
            && home.starts_with(dir)
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// The end of the machine, and its next start: every process is gone, and what the disk has of
/// the data directory is there again.
pub(crate) fn lose_power(server: &mut Ourkv, disk: &Disk, run: u32) {
    server.kill();
    end_all_below(&server.dir);
    disk.replace();
    begin_run(disk, run);
}

/// Whether a directory is of this instance.
pub(crate) fn is_of(dir: &Path, created: &Value) -> bool {
    dir.display().to_string().contains(&format!("/{}.", id(created)))
}
