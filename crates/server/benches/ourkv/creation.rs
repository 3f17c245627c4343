//! (a) Spawn of a bare redis-server to its first PONG, and (b) CreateInstance to the first PONG at
//! the address that it returned. Taken in turns, so that what else the machine does hits all.

use std::time::{Duration, Instant};

use crate::bare::Bare;
use crate::client::Client;
use crate::ground::{Ground, TIGHT, until};
use crate::pong;
use crate::sample::Sample;
use crate::server::{PAIR, STANDALONE, Server, create};
use crate::table::{Row, Table, Target};

/// Runs of each that count.
const RUNS: usize = 40;
/// Runs before, which fill caches.
const WARM_UP: usize = 3;

/// Takes the figures.
pub(crate) fn measure(ground: &Ground, table: &mut Table) -> anyhow::Result<()> {
    let mut server = Server::new(ground.dir().join("creation"), &ground.ours)?;
    let mut client = server.start()?;
    let (mut bare, mut alone, mut pair) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..WARM_UP + RUNS {
        bare.push(spawn_bare(ground)?);
        alone.push(create_one(&server, &mut client, STANDALONE)?);
        pair.push(create_one(&server, &mut client, PAIR)?);
    }
    let counted = |times: &[Duration]| Sample::of_ms(&times[WARM_UP..]);
    let floor = counted(&bare);
    let ours = |name, times: &[Duration]| {
        Row::new(name, "ms", counted(times)).over(&floor).target(Target::RatioAtMost(2.0))
    };
    table.add(Row::new("(a) bare redis-server to PONG", "ms", floor.clone()));
    table.add(ours("(b) CreateInstance to PONG, standalone", &alone));
    table.add(ours("(b) CreateInstance to PONG, pair", &pair));
    Ok(())
}

fn spawn_bare(ground: &Ground) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let bare = Bare::start(ground.floor.address(0), ground.dir(), TIGHT)?;
    let took = began.elapsed();
    bare.stop()?;
    Ok(took)
}

/// Returns once everything of the instance is gone again, so that the next run is alone.
fn create_one(server: &Server<'_>, client: &mut Client, class: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let created = create(client, class)?;
    pong::wait(created.address, Some(&created.login), TIGHT)?;
    let took = began.elapsed();
    created.delete(client)?;
    until("an instance is gone", Duration::from_millis(1), || {
        Ok((server.left()? == 0).then_some(()))
    })?;
    Ok(took)
}
