//! Landlock: which files and ports a process reaches, whoever it runs as.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope, make_bitflags,
};

/// What is asked for; an older kernel gives what it has of it.
const ASKED: ABI = ABI::V7;
/// Without this one a file can't be moved between an engine's own directories, which engines do.
const NEEDED: ABI = ABI::V2;
/// From this one on, nobody outside can be signalled.
const SCOPES_SIGNALS: ABI = ABI::V6;

/// What programs need to begin: libraries, the time zone.
const LIBRARIES: &[&str] = &["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64"];
const READ: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/etc/ssl/openssl.cnf",
    "/sys/kernel/mm/transparent_hugepage",
    "/sys/devices/system/clocksource",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/dev/urandom",
    "/dev/random",
];
const WRITTEN: &[&str] = &["/dev/null"];
/// An engine tells its memory from its own part of it, which can't be named before it runs. Nobody
/// can list it, and what only the owner of a process may see needs more than this.
const PROCESSES: &str = "/proc";

/// Closes this thread in, and what it starts from now on.
pub(super) fn close(
    directory: &Path,
    program: &Path,
    port: Option<u16>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let own = make_bitflags!(AccessFs::{
        ReadFile | WriteFile | Truncate | ReadDir | MakeReg | RemoveFile | MakeSock | MakeDir
            | RemoveDir | Refer
    });
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let program = program.canonicalize()?;
    let mut rules = ruleset()?.add_rule(PathBeneath::new(PathFd::new(directory)?, own))?;
    let execute = AccessFs::Execute | AccessFs::ReadFile;
    for file in loader(&program)?.iter().chain([&program]) {
        rules = allow(rules, file, execute)?;
    }
    for path in LIBRARIES.iter().chain(READ) {
        rules = allow(rules, path.as_ref(), read)?;
    }
    for path in WRITTEN {
        rules = allow(rules, path.as_ref(), AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    rules = allow(rules, PROCESSES.as_ref(), AccessFs::ReadFile.into())?;
    if let Some(port) = port {
        let both = AccessNet::BindTcp | AccessNet::ConnectTcp;
        rules = rules.add_rule(NetPort::new(port, both))?;
    }
    rules.restrict_self()?;
    Ok(())
}

/// Which version of Landlock there is, as far as it is used; if it can't be, why.
pub(super) fn version() -> Result<i32, String> {
    let closed = std::thread::spawn(|| -> Result<RestrictionStatus, RulesetError> {
        ruleset()?.restrict_self()
    });
    match closed.join() {
        Ok(Ok(RestrictionStatus {
            landlock: LandlockStatus::Available { effective_abi, .. },
            ..
        })) if effective_abi >= NEEDED => Ok(effective_abi as i32),
        Ok(Ok(RestrictionStatus { landlock: LandlockStatus::Available { .. }, .. })) => {
            Err("its Landlock is that of a kernel before 5.19".into())
        }
        Ok(Ok(RestrictionStatus { landlock: LandlockStatus::NotEnabled, .. })) => {
            Err("its Landlock was not enabled when it began".into())
        }
        Ok(Ok(_)) => Err("its kernel has no Landlock".into()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("Landlock can't be tried".into()),
    }
}

/// Whether this version keeps an engine from signalling anybody else.
pub(super) fn scopes_signals(version: i32) -> bool {
    version >= SCOPES_SIGNALS as i32
}

/// Everything is closed, as far as the kernel knows how to.
fn ruleset() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ASKED))?
        .handle_access(AccessNet::from_all(ASKED))?
        .scope(Scope::from_all(ASKED))?
        .create()
}

/// Opens one way, where it leads anywhere.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(path) => rules.add_rule(PathBeneath::new(path, access)),
        Err(_) => Ok(rules),
    }
}

/// The program that the kernel has a program loaded by (`PT_INTERP` of the ELF format, 64 bits, in
/// the machine's byte order); none where it loads itself.
fn loader(program: &Path) -> io::Result<Option<PathBuf>> {
    const INTERPRETER: u32 = 3;
    let mut file = File::open(program)?;
    let mut head = Vec::new();
    file.by_ref().take(64).read_to_end(&mut head)?;
    if !head.starts_with(b"\x7fELF\x02") {
        return Err(io::Error::other("an engine that is no 64-bit program can't be confined"));
    }
    let (at, size, count) = (word(&head, 32), half(&head, 54), half(&head, 56));
    file.seek(SeekFrom::Start(at))?;
    let mut table = vec![0; usize::from(size) * usize::from(count)];
    file.read_exact(&mut table)?;
    let mut entries = table.chunks_exact(usize::from(size).max(56));
    let is_loader = |entry: &&[u8]| entry[..4] == INTERPRETER.to_ne_bytes();
    let Some(entry) = entries.find(is_loader) else {
        return Ok(None);
    };
    file.seek(SeekFrom::Start(word(entry, 8)))?;
    let mut name = Vec::new();
    file.take(word(entry, 32).min(4096)).read_to_end(&mut name)?;
    let name = String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
    Ok(Some(name.into()))
}

/// Eight bytes of a table that is longer.
fn word(bytes: &[u8], at: usize) -> u64 {
    let part = bytes.get(at..at + 8).and_then(|part| part.try_into().ok());
    part.map_or(0, u64::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    let part = bytes.get(at..at + 2).and_then(|part| part.try_into().ok());
    part.map_or(0, u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_loads_a_program() {
        let own = std::env::current_exe().unwrap();
        let loader = loader(&own).unwrap().unwrap();
        assert!(loader.is_absolute() && loader.exists(), "{}", loader.display());
    }

    #[test]
    fn a_script_is_no_engine() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("redis-server");
        for text in ["", "#!/bin/sh\nexec redis-server\n", &"x".repeat(100)] {
            std::fs::write(&script, text).unwrap();
            loader(&script).unwrap_err();
        }
    }
}
