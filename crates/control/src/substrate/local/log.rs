//! An engine's log: its standard output, and the lock on its directory.
//!
//! The lock (`flock`) belongs to the open file, which the engine and its children inherit. So it
//! is held exactly as long as anything of that engine runs, whoever started it and whatever
//! became of them: two engines never run on one directory, and an empty lock proves that none
//! does.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use ourkv_domain::instance::Secrets;
use ourkv_domain::secret::Secret;
use rustix::fs::FlockOperation;

use super::private;

const LOG: &str = "engine.log";
const PREVIOUS: &str = "engine.log.1";
/// A log that grew longer is cut, and this much of its end is kept.
const LONGEST: u64 = 4 << 20;
const KEPT: u64 = 64 << 10;
/// How much of the end is looked through for the last words.
const LAST_WORDS: u64 = 4 << 10;
const LAST_LINES: usize = 3;

/// The log with the lock on it, ready to be an engine's output; `None` while an engine has it.
/// The end of what an earlier engine wrote is kept beside it.
pub(super) fn take(directory: &Path) -> io::Result<Option<File>> {
    let log = open(directory)?;
    if !lock(&log)? {
        return Ok(None);
    }
    if log.metadata()?.len() > 0 {
        set_aside(directory, &log)?;
    }
    Ok(Some(log))
}

/// Whether anything holds the directory.
pub(super) fn is_taken(directory: &Path) -> io::Result<bool> {
    match private().read(true).open(directory.join(LOG)) {
        Ok(log) => Ok(!lock(&log)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Cuts a log that a running engine filled.
pub(super) fn bound(directory: &Path) -> io::Result<()> {
    let path = directory.join(LOG);
    if std::fs::metadata(&path)?.len() <= LONGEST {
        return Ok(());
    }
    set_aside(directory, &open(directory)?)
}

/// The end of the log, without secrets and paths, for people. Where an engine quoted a secret (it
/// repeats a line of configuration that it does not understand), the log itself is cleaned too.
pub(super) fn last_words(directory: &Path, secrets: &[&Secret]) -> String {
    let log = open(directory).and_then(|log| tail(&log, LAST_WORDS)).unwrap_or_default();
    let clean = without_secrets(&log, secrets);
    if clean != log
        && let Err(error) = overwrite(directory, &clean)
    {
        tracing::warn!(%error, "cannot clean an engine's log");
    }
    let lines: Vec<&str> = clean.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ");
    if last.is_empty() { "it said nothing".into() } else { without_paths(&last) }
}

/// What an engine complained of once it had begun, for people; `None` where it did not.
pub(super) fn complaint(directory: &Path) -> Option<String> {
    let log = open(directory).and_then(|log| tail(&log, KEPT)).unwrap_or_default();
    let begun =
        |line: &&str| line.contains("Server initialized") || line.contains("Server started");
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.iter().rposition(begun).map_or(0, |at| at + 1);
    let warnings = lines[from..].iter().filter_map(|line| line.split_once(" # "));
    let complaints = warnings.map(|(_, text)| text.trim()).filter(|text| !text.contains("WARNING"));
    let first = complaints.take(LAST_LINES - 1).collect::<Vec<_>>().join(" | ");
    (!first.is_empty()).then(|| without_paths(&first))
}

/// Every secret of an instance that its engine may quote.
pub(super) fn all(secrets: &Secrets) -> Vec<&Secret> {
    secrets.known().chain([&secrets.admin, &secrets.replication]).collect()
}

/// The log as it is, without the lock.
pub(super) fn open(directory: &Path) -> io::Result<File> {
    private().read(true).append(true).create(true).open(directory.join(LOG))
}

fn overwrite(directory: &Path, text: &str) -> io::Result<()> {
    let mut log = private().write(true).create(true).truncate(true).open(directory.join(LOG))?;
    io::Write::write_all(&mut log, text.as_bytes())
}

fn lock(log: &File) -> io::Result<bool> {
    match rustix::fs::flock(log, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Moves the end of the log aside and empties it; the file itself stays, as the lock is on it.
fn set_aside(directory: &Path, log: &File) -> io::Result<()> {
    let aside = directory.join(PREVIOUS);
    let mut aside = private().write(true).create(true).truncate(true).open(aside)?;
    io::Write::write_all(&mut aside, tail(log, KEPT)?.as_bytes())?;
    log.set_len(0)
}

fn tail(mut log: &File, length: u64) -> io::Result<String> {
    let start = log.metadata()?.len().saturating_sub(length);
    log.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    log.take(length).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Quoted configuration lines (`>>> '…'`) go whole; secrets elsewhere become stars.
fn without_secrets(text: &str, secrets: &[&Secret]) -> String {
    let mut clean: String =
        text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with(">>>")).collect();
    for secret in secrets {
        clean = clean.replace(secret.expose(), "***");
    }
    clean
}

/// A path is of no use to the owner of an instance.
fn without_paths(text: &str) -> String {
    let word = |word: &str| match word.find('/') {
        Some(at) if word.len() > at + 1 => format!("{}…", &word[..at]),
        _ => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets {
            password: Some("Passw0rd!".into()),
            admin: "admin-secret".into(),
            replication: "link-secret".into(),
            change: None,
        }
    }

    #[test]
    fn a_directory_is_taken_as_long_as_an_inherited_log_is_open() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_taken(directory.path()).unwrap());
        let log = take(directory.path()).unwrap().unwrap();
        let inherited = log.try_clone().unwrap();
        drop(log);
        assert!(is_taken(directory.path()).unwrap());
        assert!(take(directory.path()).unwrap().is_none());
        drop(inherited);
        assert!(take(directory.path()).unwrap().is_some());
    }

    #[test]
    fn a_new_start_keeps_the_end_of_the_last_log() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(LOG), "fatal\n").unwrap();
        take(directory.path()).unwrap().unwrap();
        assert_eq!(std::fs::read(directory.path().join(LOG)).unwrap(), b"");
        assert_eq!(std::fs::read(directory.path().join(PREVIOUS)).unwrap(), b"fatal\n");
    }

    #[test]
    fn a_complaint_is_what_comes_after_the_start_and_quotes_no_key() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(complaint(directory.path()), None);
        let log = "1:M 23 Nov 2026 16:36:12.107 # Server initialized\n\
            1:M 23 Nov 2026 16:36:12.107 # WARNING overcommit_memory is set to 0!\n\
            1:M 23 Nov 2026 16:36:12.107 # Short read or OOM loading DB.\n\
            [additional info] Reading key 'name'\n[info] 4 keys read\n";
        std::fs::write(directory.path().join(LOG), log).unwrap();
        assert_eq!(complaint(directory.path()).unwrap(), "Short read or OOM loading DB.");
    }

    #[test]
    fn a_long_log_is_cut_while_its_engine_writes() {
        let directory = tempfile::tempdir().unwrap();
        let log = take(directory.path()).unwrap().unwrap();
        log.set_len(LONGEST + 1).unwrap();
        bound(directory.path()).unwrap();
        assert_eq!(log.metadata().unwrap().len(), 0);
        io::Write::write_all(&mut &log, b"next\n").unwrap();
        assert_eq!(std::fs::read(directory.path().join(LOG)).unwrap(), b"next\n");
        assert!(is_taken(directory.path()).unwrap());
    }

    #[test]
    fn last_words_name_no_secret_and_no_path() {
        let directory = tempfile::tempdir().unwrap();
        let said = "\n*** FATAL CONFIG FILE ERROR ***\n>>> 'rename-command x abc'\n\
                    Bad Passw0rd! in /var/lib/x/admin.sock\nlink-secret\n";
        std::fs::write(directory.path().join(LOG), said).unwrap();
        let words = last_words(directory.path(), &all(&secrets()));
        assert_eq!(words, "*** FATAL CONFIG FILE ERROR *** | Bad *** in … | ***");
        let kept = std::fs::read_to_string(directory.path().join(LOG)).unwrap();
        assert!(!kept.contains("Passw0rd!") && !kept.contains("abc"), "{kept}");
    }
}
