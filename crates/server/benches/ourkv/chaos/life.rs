//! The life of one pair: it is created, written to, goes through faults, and is deleted.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use rustix::process::Signal;

use super::Stage;
use super::check::{Pair, signal, wait_until_whole};
use super::fault::Fault;
use super::ledger::{Ledger, Writer};
use crate::ground::until;
use crate::server::{Created, PAIR, Server, create};

/// Faults of one life. More of them that move the master, and the pair is damped.
const FAULTS: usize = 3;
/// Tries of one switch.
const SWITCHES: usize = 20;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);
/// How long a switch may take on a busy machine; after that it was given up.
const SWITCHED_WITHIN: Duration = Duration::from_secs(10);
/// For how long a master stops that is not replaced.
const MOMENT: Duration = Duration::from_secs(1);
/// The longest that clients write before the next fault.
const CALM: Duration = Duration::from_millis(150);

/// Lives it.
pub(super) fn live(stage: &Stage<'_>, random: &mut SmallRng) -> anyhow::Result<()> {
    let created = stage.calling(|server| {
        let mut client = server.client()?;
        let created = create(&mut client, PAIR)?;
        created.wait_until_normal(&mut client)?;
        Ok(created)
    })?;
    let ledger = Ledger::default();
    let survived = std::thread::scope(|scope| {
        for writer in [Writer::Plain, Writer::Waiting] {
            let (ledger, created) = (&ledger, &created);
            scope.spawn(move || ledger.write(writer, created));
        }
        let survived = (0..FAULTS).try_for_each(|_| {
            std::thread::sleep(random.random_range(Duration::ZERO..CALM));
            suffer(stage, &created, &ledger, Fault::draw(random))
        });
        ledger.close();
        survived
    });
    survived.with_context(|| created.id.clone())?;
    stage.report().lived(ledger.acknowledged());
    stage.calling(|server| created.delete(&mut server.client()?))
}

/// One fault, up to the moment when everything is as before, and what it cost.
fn suffer(
    stage: &Stage<'_>,
    created: &Created,
    ledger: &Ledger,
    fault: Fault,
) -> anyhow::Result<()> {
    wait_until_whole(created)?;
    let (errors, reigns) = (ledger.errors(), ledger.reigns());
    if fault.ends_serve() {
        let mut server = stage.server.write().unwrap_or_else(PoisonError::into_inner);
        let pair = Pair::find(&server.engines(), created)?;
        ledger.watch();
        server.kill()?;
        if fault == Fault::KillServeAndMaster {
            signal(pair.master, Signal::KILL)?;
        }
        server.start()?;
    } else {
        stage.calling(|server| {
            let pair = Pair::find(&server.engines(), created)?;
            befall(server, created, ledger, pair, fault)
        })?;
    }
    until("a write is acknowledged again", PAUSE, || Ok(ledger.waits().map(drop)))?;
    stage.calling(|server| created.wait_until_normal(&mut server.client()?))?;
    wait_until_whole(created)?;
    let waits = ledger.waits().context("nobody watched")?;
    let losses = ledger.compare(created)?;
    let errors = ledger.errors() - errors;
    // From the engine on that reigned when it began.
    let reigned = ledger.reigns().split_off(reigns.len().saturating_sub(1));
    let mut report = stage.report();
    report.survived(fault, waits, losses);
    if fault.is_silent() && errors > 0 {
        report.violated(format!("{}: {fault} showed in {errors} errors", created.id));
    }
    if fault.is_silent() && reigned.len() > 1 {
        report.violated(format!("{}: another engine reigned after {fault}", created.id));
    }
    if reigned.iter().collect::<BTreeSet<_>>().len() < reigned.len() {
        report.violated(format!("{}: a former master took writes after {fault}", created.id));
    }
    Ok(())
}

/// What may happen while others call the API.
fn befall(
    server: &Server<'_>,
    created: &Created,
    ledger: &Ledger,
    pair: Pair,
    fault: Fault,
) -> anyhow::Result<()> {
    ledger.watch();
    match fault {
        Fault::KillMaster => signal(pair.master, Signal::KILL),
        Fault::KillReplica => signal(pair.replica, Signal::KILL),
        Fault::KillBoth => {
            signal(pair.replica, Signal::KILL)?;
            signal(pair.master, Signal::KILL)
        }
        Fault::HangMaster => signal(pair.master, Signal::STOP),
        Fault::HaltMaster => {
            signal(pair.master, Signal::STOP)?;
            std::thread::sleep(MOMENT);
            signal(pair.master, Signal::CONT)
        }
        Fault::Switch => switch(server, created, pair),
        Fault::KillServe | Fault::KillServeAndMaster => Ok(()),
    }
}

/// A switch that a busy machine does not get done in time is given up, and asked for again.
fn switch(server: &Server<'_>, created: &Created, pair: Pair) -> anyhow::Result<()> {
    for _ in 0..SWITCHES {
        let call = [("InstanceId", created.id.as_str())];
        let answer = server.client()?.call("SwitchInstanceHA", &call)?;
        ensure!(answer["TaskId"].is_string(), "{answer}");
        created.wait_until_normal(&mut server.client()?)?;
        let until = Instant::now() + SWITCHED_WITHIN;
        while Instant::now() < until {
            if Pair::find(&server.engines(), created)?.master == pair.replica {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        wait_until_whole(created)?;
    }
    bail!("{SWITCHES} times a switch was given up")
}

impl Stage<'_> {
    /// Does what needs the API.
    fn calling<T>(&self, call: impl FnOnce(&Server<'_>) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let server = self.server.read().unwrap_or_else(PoisonError::into_inner);
        call(&server)
    }
}
