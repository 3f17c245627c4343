//! (c) 200 instances created by 8 clients, against 200 bare servers spawned 8 at a time, and (e)
//! what they and the control plane take of the memory meanwhile.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::bare::Bare;
use crate::client::Client;
use crate::ground::{Ground, until};
use crate::memory::{pss, pss_of_each};
use crate::pong;
use crate::sample::Sample;
use crate::server::{Created, STANDALONE, Server, create};
use crate::start;
use crate::table::{Row, Table, Target};

/// Servers of one round.
const CROWD: usize = 200;
/// Clients that create at a time.
const CLIENTS: usize = 8;
/// Rounds, each with the floor first.
const ROUNDS: usize = 3;
/// Between two tries of a client: 8 that hardly pause would take the processor from the servers.
const PAUSE: Duration = Duration::from_millis(1);
/// After this long nothing of a burst is under way any more.
const SETTLED: Duration = Duration::from_secs(2);

/// One round: what was made, how long each took, and how long all took.
struct Round<T> {
    made: Vec<T>,
    each: Vec<Duration>,
    all: Duration,
}

/// What is known of the memory, MiB.
struct Memory {
    empty: Vec<f64>,
    full: Vec<f64>,
    bare: Vec<f64>,
    instance: Vec<f64>,
}

/// Takes the figures.
pub(crate) fn measure(ground: &Ground, table: &mut Table) -> anyhow::Result<()> {
    let mut server = Server::new(ground.dir().join("crowd"), &ground.ours)?;
    let mut admin = server.start()?;
    std::thread::sleep(SETTLED);
    let mut memory =
        Memory { empty: vec![pss(server.pid()?)?], full: vec![], bare: vec![], instance: vec![] };
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let last = round + 1 == ROUNDS;
        let bare = crowd(|index| Bare::start(ground.floor.address(index), ground.dir(), PAUSE))?;
        if last {
            let pids: Vec<u32> = bare.made.iter().map(Bare::pid).collect();
            memory.bare = pss_of_each(&pids)?;
        }
        floor.push((bare.all, bare.each));
        bare.made.into_iter().try_for_each(Bare::stop)?;

        let created = create_crowd(ground, &server)?;
        ours.push((created.all, created.each));
        if last {
            memory.measure(&server, &created.made)?;
        } else {
            delete(&server, &mut admin, &created.made)?;
        }
    }
    report_speed(table, &floor, &ours);
    memory.report(table);
    drop(admin);
    start::with_instances(&mut server, CROWD, table)
}

/// Makes 200 things, 8 at a time.
fn crowd<T: Send>(
    begin_one: impl Fn(usize) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Round<T>> {
    let waiting: Mutex<VecDeque<usize>> = Mutex::new((0..CROWD).collect());
    let began = Instant::now();
    let made = std::thread::scope(|scope| {
        let worker = || {
            let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let timed = |index| {
                let began = Instant::now();
                Ok((begin_one(index)?, began.elapsed()))
            };
            std::iter::from_fn(next).map(timed).collect::<anyhow::Result<Vec<_>>>()
        };
        let workers: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .map(|worker| {
                worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked")))
            })
            .collect::<anyhow::Result<Vec<_>>>()
    });
    let all = began.elapsed();
    let (made, each) = made?.into_iter().flatten().unzip();
    Ok(Round { made, each, all })
}

/// Each client keeps its connection, as an SDK does.
fn create_crowd(ground: &Ground, server: &Server<'_>) -> anyhow::Result<Round<Created>> {
    server.pid()?;
    let address = (ground.ours.own(), 2015).into();
    let idle: Mutex<Vec<Client>> = Mutex::default();
    crowd(|_| {
        let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut client = kept.map_or_else(|| Client::connect(address), Ok)?;
        let created = create(&mut client, STANDALONE)?;
        pong::wait(created.address, Some(&created.login), PAUSE)?;
        idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        Ok(created)
    })
}

fn delete(server: &Server<'_>, client: &mut Client, made: &[Created]) -> anyhow::Result<()> {
    made.iter().try_for_each(|created| created.delete(client))?;
    until("all instances are gone", Duration::from_millis(10), || {
        Ok((server.left()? == 0).then_some(()))
    })
}

fn report_speed(
    table: &mut Table,
    floor: &[(Duration, Vec<Duration>)],
    ours: &[(Duration, Vec<Duration>)],
) {
    let rate = |rounds: &[(Duration, Vec<Duration>)]| {
        Sample::of(rounds.iter().map(|(all, each)| rate(each.len(), *all)))
    };
    let each = |rounds: &[(Duration, Vec<Duration>)]| {
        Sample::of_ms(rounds.iter().flat_map(|(_, each)| each))
    };
    table.add(Row::new("(c) bare servers, 8 at a time", "per s", rate(floor)));
    table.add(
        Row::new("(c) instances created by 8 clients", "per s", rate(ours))
            .over(&rate(floor))
            .target(Target::RatioAtLeast(0.6)),
    );
    table.add(Row::new("(c) each bare server to PONG", "ms", each(floor)));
    table.add(Row::new("(c) each CreateInstance to PONG", "ms", each(ours)).over(&each(floor)));
}

/// How many of something there are in a second.
pub(crate) fn rate(count: usize, took: Duration) -> f64 {
    // Counts of a benchmark are far below 2^32.
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64()
}

impl Memory {
    fn measure(&mut self, server: &Server<'_>, made: &[Created]) -> anyhow::Result<()> {
        std::thread::sleep(SETTLED);
        self.full.push(pss(server.pid()?)?);
        let pids: Vec<u32> = made
            .iter()
            .map(|created| pong::pid(created.address, Some(&created.login)))
            .collect::<anyhow::Result<_>>()?;
        self.instance = pss_of_each(&pids)?;
        Ok(())
    }

    fn report(&self, table: &mut Table) {
        let sample = |values: &[f64]| Sample::of(values.iter().copied());
        let control =
            |name, values| Row::new(name, "MiB", sample(values)).target(Target::AtMost(20.0));
        table.add(control("(e) control plane, no instances", &self.empty));
        table.add(control("(e) control plane, 200 instances", &self.full));
        let bare = sample(&self.bare);
        table.add(Row::new("(e) each of 200 bare servers", "MiB", bare.clone()));
        table.add(Row::new("(e) each of 200 instances", "MiB", sample(&self.instance)).over(&bare));
    }
}
