//! Since when an engine answers nobody, and how often it was asked in vain.
//!
//! It is told of one process: the next engine of the same member begins anew. It is written down
//! beside the data, too, so whoever takes over from a control plane that ended goes on counting
//! where that was, and a master that hangs is not replaced the later for it. What is torn, lost or
//! another process's is none. Whoever was not asked for a while may have answered meanwhile.

use std::io;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::member::Running;
use super::private::{read_private, replace_for_now};
use super::{Inner, Member, Unit, adopt, blocking, machine};
use crate::substrate::Silence;

/// Questions that lie further apart are not asked in a row.
const IN_A_ROW: Duration = Duration::from_secs(10);

/// What is known of an engine's silence.
#[derive(Debug, Default)]
pub(super) enum Account {
    /// Nothing: an earlier control plane may have asked it in vain.
    #[default]
    Unread,
    /// It answered.
    Answered,
    /// It is silent.
    Silent(Silent),
}

/// A process that answers nobody. Times are milliseconds since the machine began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Silent {
    pid: u32,
    start_ticks: u64,
    /// When it was first asked in vain.
    since: u64,
    /// When the last question was given up.
    last: u64,
    times: u32,
}

impl Inner {
    /// A member's engine was asked at that time, and did not answer.
    pub(super) async fn is_silent(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
        asked: u64,
    ) -> Silence {
        let (directory, name) = (self.layout.instance(unit), file(member));
        let known = match &*running.silence.lock().unwrap_or_else(PoisonError::into_inner) {
            Account::Unread => None,
            Account::Answered => Some(None),
            Account::Silent(silent) => Some(Some(*silent)),
        };
        let pid = running.process.pid();
        let noted = blocking(move || {
            let before = known.unwrap_or_else(|| read(&directory, name));
            let silent = Silent::after(before, pid, adopt::start_ticks(pid).unwrap_or(0), asked);
            // Where it can't be written, this control plane knows it all the same.
            if let Err(error) = write(&directory, name, &silent) {
                tracing::debug!(%error, "the silence of an engine can't be written down");
            }
            Ok(silent)
        });
        let silent = noted.await.unwrap_or_else(|_| Silent::after(None, pid, 0, asked));
        *running.silence.lock().unwrap_or_else(PoisonError::into_inner) = Account::Silent(silent);
        Silence {
            lasts: Duration::from_millis(silent.last.saturating_sub(silent.since)),
            times: silent.times,
        }
    }

    /// A member's engine gave a sign of life.
    pub(super) async fn gives_a_sign(&self, unit: &Unit, member: Member, running: &Running) {
        let before = std::mem::replace(
            &mut *running.silence.lock().unwrap_or_else(PoisonError::into_inner),
            Account::Answered,
        );
        if matches!(before, Account::Answered) {
            return;
        }
        let path = self.layout.instance(unit).join(file(member));
        let gone = blocking(move || match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(machine("removing what was noted of an engine's silence")),
        });
        if let Err(error) = gone.await {
            tracing::debug!(%error, "an engine that answers stands noted as silent");
        }
    }
}

impl Silent {
    /// It was asked once more.
    fn after(before: Option<Self>, pid: u32, start_ticks: u64, asked: u64) -> Self {
        let goes_on = |before: &Self| {
            let apart = asked.checked_sub(before.last).map(Duration::from_millis);
            (before.pid, before.start_ticks) == (pid, start_ticks)
                && before.since <= before.last
                && apart.is_some_and(|apart| apart <= IN_A_ROW)
        };
        let last = now().max(asked);
        match before.filter(goes_on) {
            Some(before) => Self { last, times: before.times.saturating_add(1), ..before },
            None => Self { pid, start_ticks, since: asked, last, times: 1 },
        }
    }
}

/// Milliseconds since the machine began, also while it slept.
pub(super) fn now() -> u64 {
    let since = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(since.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(since.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}

fn file(member: Member) -> &'static str {
    match member {
        Member::First => "silence-0.json",
        Member::Second => "silence-1.json",
    }
}

fn read(directory: &Path, name: &str) -> Option<Silent> {
    serde_json::from_slice(&read_private(&directory.join(name)).ok()?).ok()
}

fn write(directory: &Path, name: &str, silent: &Silent) -> io::Result<()> {
    replace_for_now(directory, name, &serde_json::to_vec(silent)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: u64 = 1_000;

    fn silent() -> Silent {
        Silent { pid: 7, start_ticks: 99, since: 500, last: 900, times: 2 }
    }

    #[test]
    fn one_process_that_is_asked_in_a_row_is_silent_for_ever_longer() {
        let next = Silent::after(Some(silent()), 7, 99, ASKED);
        assert_eq!((next.since, next.times), (500, 3));
        assert!(next.last >= ASKED);
        let first = Silent::after(None, 7, 99, ASKED);
        assert_eq!((first.since, first.times), (ASKED, 1));
    }

    #[test]
    fn another_process_and_one_that_nobody_asked_begin_anew() {
        let later = ASKED + 60_000;
        for (pid, ticks, asked) in [(8, 99, ASKED), (7, 98, ASKED), (7, 99, later), (7, 99, 800)] {
            let next = Silent::after(Some(silent()), pid, ticks, asked);
            assert_eq!((next.since, next.times), (asked, 1), "{pid} {ticks} {asked}");
        }
    }

    #[test]
    fn what_is_torn_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let name = file(Member::Second);
        assert_eq!(read(directory.path(), name), None);
        write(directory.path(), name, &silent()).unwrap();
        assert_eq!(read(directory.path(), name), Some(silent()));
        let path = directory.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(directory.path(), name), None, "cut at {length}");
        }
    }
}
