//! What the clients of one pair were told, and what of it is there.
//!
//! Two clients write: one takes every acknowledgement for an answer, the other only one that the
//! replica has, too (`WAIT 1`). Both connect again at once, as clients do.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use redis::{Connection, RedisResult};

use super::report::Losses;
use crate::pong;
use crate::server::Created;

/// Between two writes of one client.
const BEAT: Duration = Duration::from_micros(300);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_micros(500);
/// How long an engine may be silent to a client.
const SILENCE: Duration = Duration::from_secs(30);
/// Of so many writes of the first client one is removed again.
const REMOVED_OF: u64 = 10;
/// Keys that are looked at at once.
const AT_ONCE: usize = 500;

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// Believes the master.
    Plain,
    /// Believes what the replica has.
    Waiting,
}

/// The ledger of one pair.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    told: Mutex<Told>,
    done: AtomicBool,
}

#[derive(Debug, Default)]
struct Told {
    plain: BTreeSet<u64>,
    removed: BTreeSet<u64>,
    waited: BTreeSet<u64>,
    /// The fault that is being watched.
    watch: Option<Watch>,
    /// The engines that acknowledged writes, one after the other, and when each began to.
    reigns: Vec<(String, Instant)>,
    /// Failures that clients saw.
    errors: u64,
}

/// How a fault shows to the first client.
#[derive(Debug, Clone, Copy)]
struct Watch {
    began: Instant,
    last: Instant,
    gap: Option<Duration>,
    longest: Duration,
}

/// How long clients waited because of a fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// From the fault to the first acknowledgement of a write that was sent after it.
    pub(super) first: Duration,
    /// The longest time without an acknowledgement.
    pub(super) longest: Duration,
}

/// A connection, and which engine is behind it.
struct Session {
    connection: Connection,
    engine: String,
}

impl Ledger {
    /// Ends the writers.
    pub(super) fn close(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    /// A fault begins.
    pub(super) fn watch(&self) {
        let now = Instant::now();
        let watch = Watch { began: now, last: now, gap: None, longest: Duration::ZERO };
        self.told().watch = Some(watch);
    }

    /// What it showed so far, once a write was acknowledged again.
    pub(super) fn waits(&self) -> Option<Waits> {
        let Watch { gap, longest, .. } = self.told().watch?;
        Some(Waits { first: gap?, longest })
    }

    /// How many failures clients saw so far.
    pub(super) fn errors(&self) -> u64 {
        self.told().errors
    }

    /// The engines that acknowledged writes so far, one after the other.
    pub(super) fn reigns(&self) -> Vec<String> {
        self.told().reigns.iter().map(|(engine, _)| engine.clone()).collect()
    }

    /// Writes until the ledger is closed.
    pub(super) fn write(&self, writer: Writer, to: &Created) {
        let mut session: Option<Session> = None;
        let mut number = 0;
        while !self.done.load(Ordering::Relaxed) {
            let Some(open) = &mut session else {
                session = Session::open(to).ok();
                std::thread::sleep(PAUSE);
                continue;
            };
            number += 1;
            let sent = Instant::now();
            match open.write(writer, number) {
                Ok(true) => self.acknowledge(writer, number, sent, &open.engine),
                // The replica has it not yet: nothing was promised.
                Ok(false) => {}
                Err(_) => {
                    self.told().errors += 1;
                    session = None;
                    continue;
                }
            }
            std::thread::sleep(BEAT);
        }
    }

    fn acknowledge(&self, writer: Writer, number: u64, sent: Instant, engine: &str) {
        let mut told = self.told();
        let (now, last) = (Instant::now(), told.reigns.last());
        // What was sent before the other one reigned says nothing: its answer came late.
        if last.is_none_or(|(reigning, since)| reigning != engine && sent > *since) {
            told.reigns.push((engine.to_owned(), now));
        }
        if let Some(watch) = &mut told.watch
            && writer == Writer::Plain
        {
            watch.longest = watch.longest.max(now - watch.last);
            watch.last = now;
            if sent > watch.began {
                watch.gap.get_or_insert(now - watch.began);
            }
        }
        match writer {
            Writer::Waiting => told.waited.insert(number),
            Writer::Plain if number.is_multiple_of(REMOVED_OF) => told.removed.insert(number),
            Writer::Plain => told.plain.insert(number),
        };
    }

    /// Compares what was told with what is there, and forgets what is lost, so that each loss is
    /// counted once.
    pub(super) fn compare(&self, with: &Created) -> anyhow::Result<Losses> {
        let mut session = Session::open(with).context("a pair that is served takes no client")?;
        let (plain, removed, waited) = {
            let told = self.told();
            (told.plain.clone(), told.removed.clone(), told.waited.clone())
        };
        let plain = session.missing(Writer::Plain, &plain)?;
        let waited = session.missing(Writer::Waiting, &waited)?;
        let absent = session.missing(Writer::Plain, &removed)?;
        let resurrected: Vec<u64> = removed.difference(&absent).copied().collect();
        let mut told = self.told();
        for number in &plain {
            told.plain.remove(number);
        }
        for number in &waited {
            told.waited.remove(number);
        }
        for number in &resurrected {
            told.removed.remove(number);
        }
        Ok(Losses {
            plain: plain.len() as u64,
            waited: waited.len() as u64,
            resurrected: resurrected.len() as u64,
        })
    }

    /// How many writes were acknowledged: to the one client, and to the other.
    pub(super) fn acknowledged(&self) -> (u64, u64) {
        let told = self.told();
        ((told.plain.len() + told.removed.len()) as u64, told.waited.len() as u64)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn open(to: &Created) -> anyhow::Result<Self> {
        let mut connection = pong::connect(to.address, Some(&to.login))?;
        connection.set_read_timeout(Some(SILENCE))?;
        let info: String = redis::cmd("INFO").arg("server").query(&mut connection)?;
        let engine = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        let engine = engine.context("INFO names no run_id")?.trim().to_owned();
        Ok(Self { connection, engine })
    }

    /// Whether it counts.
    fn write(&mut self, writer: Writer, number: u64) -> RedisResult<bool> {
        let set = |number| redis::cmd("SET").arg(key(writer, number)).arg(number).to_owned();
        match writer {
            Writer::Plain if number.is_multiple_of(REMOVED_OF) => {
                let () = set(number).query(&mut self.connection)?;
                let removal = redis::cmd("DEL").arg(key(writer, number)).to_owned();
                let () = removal.query(&mut self.connection)?;
                Ok(true)
            }
            Writer::Plain => set(number).query(&mut self.connection).map(|()| true),
            Writer::Waiting => {
                let () = set(number).query(&mut self.connection)?;
                let copies: u32 = redis::cmd("WAIT").arg(&[1, 100]).query(&mut self.connection)?;
                Ok(copies >= 1)
            }
        }
    }

    fn missing(
        &mut self,
        writer: Writer,
        numbers: &BTreeSet<u64>,
    ) -> anyhow::Result<BTreeSet<u64>> {
        let mut missing = BTreeSet::new();
        let numbers: Vec<u64> = numbers.iter().copied().collect();
        for part in numbers.chunks(AT_ONCE) {
            let mut get = redis::cmd("MGET");
            for number in part {
                get.arg(key(writer, *number));
            }
            let values: Vec<Option<u64>> = get.query(&mut self.connection)?;
            let lost = part.iter().zip(values).filter(|(number, value)| *value != Some(**number));
            missing.extend(lost.map(|(number, _)| *number));
        }
        Ok(missing)
    }
}

fn key(writer: Writer, number: u64) -> String {
    match writer {
        Writer::Plain => format!("plain:{number}"),
        Writer::Waiting => format!("waited:{number}"),
    }
}
