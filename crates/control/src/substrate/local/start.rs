//! Starting an engine, up to the moment when it answers its admin login with what was asked for.

use std::fs::File;
use std::io::{self, PipeReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::confine::{Cell, Confiner, Streams, hand_over};
use super::manifest::Manifest;
use super::mark::{Form, Mark};
use super::member::{Known, Place, Running};
use super::process::{End, Process};
use super::{
    Inner, Kind, Member, Trouble, Unit, address, adopt, blocking, host_address, log, logins,
    machine, swap, temporary,
};
use crate::engine::trial::DUMP;
use crate::engine::{Binary, Engines, Launch, memcached, redis_conf};

/// How long a directory may stay taken after its engine was seen to be gone: a process that is
/// being made elsewhere holds every open file for an instant.
const TAKEN_AT_MOST: Duration = Duration::from_secs(2);
/// What an engine says that does not understand a setting; it has not read any data then.
const BAD_CONFIGURATION: &str = "CONFIG FILE ERROR";

impl Inner {
    /// Starts a member unless it runs, and returns when it answers as it should. An engine that
    /// was started here and does not come to answer is ended again.
    pub(super) async fn start(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        let turn = self.slot(unit, member).turn;
        let _turn = turn.lock().await;
        self.start_now(unit, member).await
    }

    /// The same, where it is its turn.
    pub(super) async fn start_now(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        // Only here: the decision may have been made while this waited for its turn.
        let unit = &self.in_force(unit)?;
        if member == unit.lead.master {
            if let Some(gate) = &self.gate {
                gate.stands_before(*unit.address.ip()).await?;
            }
            host_address::hold(*unit.address.ip(), self.serves).await?;
        }
        if let Some(running) = self.look(unit, member).await?
            && self.is_at_post(unit, member, &running).await?
        {
            return self.force(unit, member).await;
        }
        let slot = self.slot(unit, member);
        let mut known = slot.known.lock().await;
        let spawned = self.spawn(&mut known, unit, member).await?;
        drop(known);
        let Some((running, before)) = spawned else {
            let running = self.must_run(unit, member).await?;
            return self.serves(unit, member, &running).await;
        };
        let written = self.write_down(unit, member, &running, before);
        let (serves, written) = tokio::join!(self.serves(unit, member, &running), written);
        match serves.and(written) {
            Ok(()) => {
                running.process.miss(true);
                // It may have ended before it was missed.
                if running.process.is_over() { Err(self.ended(unit, member)) } else { Ok(()) }
            }
            // What it does since is not what was asked of it here, and not judged here.
            Err(trouble) if self.in_force(unit)?.lead != unit.lead => Err(trouble),
            Err(trouble) => {
                let end = running.process.reap();
                self.end(unit, member, &running).await?;
                Err(self.or_refused(unit, member, end, or_in_use(unit, member, trouble)))
            }
        }
    }

    /// Returns when it answers as it should, and the disk has what it starts from.
    async fn serves(&self, unit: &Unit, member: Member, running: &Running) -> Result<(), Trouble> {
        let (answers, forced) =
            tokio::join!(self.answers(unit, member, running), self.force(unit, member));
        answers.and(forced)
    }

    /// What an engine that ended said last.
    pub(super) fn ended(&self, unit: &Unit, member: Member) -> Trouble {
        let directory = self.layout.member(unit, member);
        Trouble::Ended { last_words: log::last_words(&directory, &log::all(&unit.secrets)) }
    }

    /// An engine that ends by itself over data that was just put there does not read it.
    fn or_refused(
        &self,
        unit: &Unit,
        member: Member,
        end: Option<End>,
        trouble: Trouble,
    ) -> Trouble {
        let pending = || self.pending(unit, member).is_ok_and(|mark| mark.is_some());
        match trouble {
            Trouble::Ended { last_words }
                if end == Some(End::Itself)
                    && !last_words.contains(BAD_CONFIGURATION)
                    && pending() =>
            {
                Trouble::Dataset { reason: last_words }
            }
            other => other,
        }
    }

    /// `None` where an engine has come to run meanwhile.
    async fn spawn(
        &self,
        known: &mut Known,
        unit: &Unit,
        member: Member,
    ) -> Result<Option<(Running, Option<Manifest>)>, Trouble> {
        let place = self.place(unit, member);
        let before = Manifest::read(&place.directory);
        let binary = self.choose(unit, member, before.as_ref())?.clone();
        self.layout.prepare(unit).map_err(machine("making the instance's directory"))?;
        let pending = self.pending(unit, member)?;
        let launch = self.launch(unit, member, &binary, pending.as_ref())?;
        let volatile = !unit.is_pair() && pending.is_none();
        let address = (member == unit.lead.master).then_some(unit.address);
        let (path, engines) = (binary.path.clone(), self.engines.clone());
        let (confiner, own, logs_in) =
            (self.confiner.clone(), unit.clone(), binary.kind == Kind::Memcached);
        let process = blocking(move || {
            let Some(log) = take(&place, &engines)? else {
                return Ok(None);
            };
            address.map_or(Ok(()), address::must_be_free)?;
            clear(&place.directory, volatile).map_err(machine("removing what a save left"))?;
            let user = confiner.user_at(*own.address.ip());
            hand_over(&place.directory, user)
                .map_err(machine("giving the directory to the engine's user"))?;
            let port = Some(own.address.port());
            let cell = Cell { directory: &place.directory, user, port, priority: None };
            if logs_in {
                logins::write(&own, &confiner, cell)
                    .map_err(machine("writing the login database (saslpasswd2)"))?;
            }
            let spawned = spawn(&confiner, &path, cell, log, &launch);
            spawned.map(Some).map_err(machine("starting the engine"))
        })
        .await?;
        let Some(process) = process else {
            return Ok(None);
        };
        let running = Running::new(process, binary);
        self.bound(unit, &running);
        self.watch(unit, &running);
        known.running = Some(running.clone());
        fail::fail_point!("local-spawned", |_| Err(Trouble::Failpoint("local-spawned")));
        Ok(Some((running, before)))
    }

    /// How the engine is called, given what it finds in its directory.
    fn launch(
        &self,
        unit: &Unit,
        member: Member,
        binary: &Binary,
        pending: Option<&Mark>,
    ) -> Result<Launch, Trouble> {
        if binary.kind == Kind::Memcached {
            let as_root = self.confiner.user_at(*unit.address.ip()).is_none()
                && rustix::process::geteuid().is_root();
            return Ok(memcached::launch(unit, as_root));
        }
        let launch = redis_conf::launch(unit, member, binary);
        let launch = launch.map_err(|unwritable| Trouble::Unexpected {
            doing: "drawing up the configuration",
            answer: unwritable.to_string(),
        })?;
        match pending {
            Some(mark) if !mark.form.is_found(redis_conf::keeps_data(unit), binary.level()) => {
                let answer = format!("{binary} does not find the data that was put there");
                Err(Trouble::Unexpected { doing: "starting the engine", answer })
            }
            Some(mark) if mark.form == Form::Dump => Ok(redis_conf::loading_a_dump(launch)),
            _ => Ok(launch),
        }
    }

    /// Writes down what was started, while it gets ready.
    async fn write_down(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
        before: Option<Manifest>,
    ) -> Result<(), Trouble> {
        let place = self.place(unit, member);
        let (pid, binary) = (running.process.pid(), running.binary.clone());
        let keeps_data = redis_conf::keeps_data(unit) && binary.kind != Kind::Memcached;
        let durable = keeps_data && !before.is_some_and(|manifest| manifest.is_of(&binary));
        let process = Arc::clone(&running.process);
        blocking(move || match adopt::start_ticks(pid) {
            Ok(start_ticks) => {
                let executable = binary.path.canonicalize().unwrap_or_else(|_| binary.path.clone());
                let (kind, version, nonce) = (binary.kind, binary.version, place.nonce);
                let manifest = Manifest { pid, start_ticks, executable, kind, version, nonce };
                manifest.write(&place.directory, durable).map_err(machine("writing the manifest"))
            }
            // It ended already, which is told elsewhere with what it said.
            Err(_) if process.is_over() => Ok(()),
            Err(source) => Err(Trouble::Machine { doing: "reading the engine's start", source }),
        })
        .await
    }
}

/// Somebody may have taken the address between the test and the engine's own attempt.
fn or_in_use(unit: &Unit, member: Member, trouble: Trouble) -> Trouble {
    match &trouble {
        Trouble::Ended { .. } if member == unit.lead.master => {
            address::must_be_free(unit.address).err().unwrap_or(trouble)
        }
        _ => trouble,
    }
}

/// The log with the lock on the directory; `None` where an engine runs. What an earlier engine
/// left behind is ended first.
fn take(place: &Place, engines: &Engines) -> Result<Option<File>, Trouble> {
    let taking = machine("taking the engine's directory");
    let until = Instant::now() + TAKEN_AT_MOST;
    loop {
        if let Some(log) = log::take(&place.directory).map_err(&taking)? {
            return Ok(Some(log));
        }
        if adopt::find(&place.directory, &place.nonce, engines).is_some() {
            return Ok(None);
        }
        let swept = adopt::sweep(&place.directory, &place.nonce, engines).map_err(&taking)?;
        if !swept && Instant::now() > until {
            return Err(taking(io::Error::other("another process holds it")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Removes what an engine that was killed was writing aside. An engine that keeps no data must not find a dump: it
/// would bring back what its tenant may have deleted long ago.
fn clear(directory: &Path, volatile: bool) -> io::Result<()> {
    temporary::remove_temporary(directory)?;
    if volatile {
        std::fs::remove_file(directory.join(DUMP)).or_else(swap::ignore_missing)?;
    }
    Ok(())
}

/// Starts the program in a process group of its own, so that what is typed at the control
/// plane's terminal does not reach it. What it is to read is there before it is: an engine that
/// found nothing would run with its defaults, open to all.
fn spawn(
    confiner: &Confiner,
    path: &Path,
    cell: Cell<'_>,
    log: File,
    launch: &Launch,
) -> io::Result<Process> {
    let input = launch.input.as_ref().map(|input| ready_to_read(input.expose())).transpose()?;
    let streams = Streams {
        input: input.map_or_else(Stdio::null, Stdio::from),
        output: log.try_clone()?.into(),
        error: log.into(),
    };
    let mut child = confiner.spawn(path, launch, cell, streams)?;
    // A child keeps its number until it is reaped, which only the holder does.
    Process::hold(child.id()).or_else(|error| {
        child.kill()?;
        child.wait()?;
        Err(error)
    })
}

/// A pipe that holds a whole text and nobody writes to any more. Never waits for a reader: there
/// is none yet.
fn ready_to_read(text: &str) -> io::Result<PipeReader> {
    let (reader, mut writer) = io::pipe()?;
    rustix::fs::fcntl_setfl(&writer, OFlags::WRONLY | OFlags::NONBLOCK)?;
    match writer.write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::other("its configuration does not fit into a pipe"))
        }
        written => written.map(|()| reader),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn an_engine_finds_its_whole_configuration() {
        let text = "maxmemory 1\n".repeat(600);
        let mut reader = ready_to_read(&text).unwrap();
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
    }

    #[test]
    fn a_configuration_that_is_too_long_hangs_nobody() {
        assert!(ready_to_read(&"x".repeat(4 << 20)).is_err());
    }
}
