//! Proof of which process is whose.
//!
//! A process is the engine of a directory when it executes an engine's file and that directory is
//! its working directory. The directory is 0700 and its name carries the instance's nonce, so
//! nothing else comes to be there by chance or by another user's will. Whatever fails the proof
//! is foreign: it is not adopted, not spoken to, not signalled.

use std::io;
use std::path::Path;

use rustix::process::Signal;

use super::manifest::Manifest;
use super::process::Process;
use crate::engine::{Binary, Engines};

/// An engine that runs, found by its directory.
#[derive(Debug)]
pub(super) struct Found {
    /// It.
    pub(super) process: Process,
    /// What it executes.
    pub(super) binary: Binary,
    /// What is to be written down about it.
    pub(super) manifest: Manifest,
    /// Whether it is the engine itself and no child of one that writes a file: an engine leads
    /// the process group that it was started in.
    leads: bool,
}

/// What holds a member's directory.
#[derive(Debug)]
pub(super) enum Holder {
    /// An engine.
    Engine(Found),
    /// What an engine left running that ended, such as a child that writes a file.
    Child,
    /// Nothing that is known: somebody else, or a process that is about to become an engine.
    Unknown,
}

/// The engine that runs in a member's directory.
pub(super) fn find(directory: &Path, nonce: &str, engines: &Engines) -> Option<Found> {
    match holder(directory, nonce, engines) {
        Holder::Engine(found) => Some(found),
        Holder::Child | Holder::Unknown => None,
    }
}

/// What runs in a member's directory. The manifest says where to look first; if that is not it,
/// every process is looked at.
pub(super) fn holder(directory: &Path, nonce: &str, engines: &Engines) -> Holder {
    let manifest = Manifest::read(directory).filter(|manifest| manifest.nonce == nonce);
    let written = manifest.as_ref().and_then(|manifest| {
        let found = prove(manifest.pid, directory, nonce, engines, Some(manifest))?;
        (found.leads && found.manifest.start_ticks == manifest.start_ticks).then_some(found)
    });
    if let Some(found) = written {
        return Holder::Engine(found);
    }
    let all = everything_in(directory, nonce, engines, manifest.as_ref());
    let rest = if all.is_empty() { Holder::Unknown } else { Holder::Child };
    all.into_iter().find(|found| found.leads).map_or(rest, Holder::Engine)
}

/// Ends whatever of an engine is left in a directory, such as a child that writes a file, and
/// blocks until it is gone. Says whether there was anything.
pub(super) fn sweep(directory: &Path, nonce: &str, engines: &Engines) -> io::Result<bool> {
    let manifest = Manifest::read(directory);
    let left = everything_in(directory, nonce, engines, manifest.as_ref());
    for found in &left {
        found.process.signal(Signal::KILL)?;
    }
    for found in &left {
        found.process.ends_within(rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 });
        found.process.reap();
    }
    Ok(!left.is_empty())
}

/// When a process began, in clock ticks since the machine did.
pub(super) fn start_ticks(pid: u32) -> io::Result<u64> {
    let process = i32::try_from(pid).map_err(io::Error::other)?;
    let stat = procfs::process::Process::new(process).and_then(|process| process.stat());
    Ok(stat.map_err(io::Error::other)?.starttime)
}

fn everything_in(
    directory: &Path,
    nonce: &str,
    engines: &Engines,
    manifest: Option<&Manifest>,
) -> Vec<Found> {
    let Ok(processes) = procfs::process::all_processes() else {
        return Vec::new();
    };
    processes
        .filter_map(Result::ok)
        .filter(|process| process.cwd().is_ok_and(|cwd| cwd == directory))
        .filter_map(|process| u32::try_from(process.pid()).ok())
        .filter_map(|pid| prove(pid, directory, nonce, engines, manifest))
        .collect()
}

/// The proof. The process is held first, so what is read about the number is about it.
fn prove(
    pid: u32,
    directory: &Path,
    nonce: &str,
    engines: &Engines,
    manifest: Option<&Manifest>,
) -> Option<Found> {
    let process = Process::hold(pid).ok()?;
    let seen = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
    if seen.cwd().ok()? != directory {
        return None;
    }
    let executable = crate::engine::without_deleted(&seen.exe().ok()?);
    let binary = known(&executable, engines, manifest)?;
    let stat = seen.stat().ok()?;
    let (start_ticks, leads) = (stat.starttime, stat.pgrp == stat.pid);
    let (kind, version) = (binary.kind, binary.version);
    let manifest =
        Manifest { pid, start_ticks, executable, kind, version, nonce: nonce.to_owned() };
    (!process.is_over()).then_some(Found { process, binary, manifest, leads })
}

/// The engine behind an executable. An upgrade may have put another version in its place, or
/// nothing: then what was written down at its start holds.
fn known(executable: &Path, engines: &Engines, manifest: Option<&Manifest>) -> Option<Binary> {
    let written = manifest.filter(|manifest| manifest.executable == executable);
    let installed = engines.by_executable(executable);
    match (written, installed) {
        (Some(manifest), installed) => Some(Binary {
            path: executable.to_path_buf(),
            kind: manifest.kind,
            version: manifest.version,
            from_distribution: installed.is_some_and(|binary| binary.from_distribution),
        }),
        (None, installed) => installed.cloned(),
    }
}
