//! (d) From the exec of `ourkv serve` to its first signed answer: on an empty directory, on one
//! that is there, and on one whose instances run. The floor is a command that starts and says its
//! version.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::ground::Ground;
use crate::sample::Sample;
use crate::server::{OURKV, Server};
use crate::table::{Row, Table, Target};

/// Runs of each.
const RUNS: usize = 25;

/// Takes the figures.
pub(crate) fn measure(ground: &Ground, table: &mut Table) -> anyhow::Result<()> {
    let floor = Sample::of_ms(&repeat(say_version)?);
    table.add(Row::new("(d) ourkv --version", "ms", floor.clone()));

    let mut count = 0;
    let first = repeat(|| {
        count += 1;
        let mut server = Server::new(ground.dir().join(format!("first-{count}")), &ground.ours)?;
        start_and_stop(&mut server)
    })?;
    table.add(row("(d) serve to first answer, first start", &first, &floor));

    let mut server = Server::new(ground.dir().join("again"), &ground.ours)?;
    start_and_stop(&mut server)?;
    let again = repeat(|| start_and_stop(&mut server))?;
    table.add(row("(d) serve to first answer, later start", &again, &floor));
    Ok(())
}

/// The same on a server whose instances run and are adopted.
pub(crate) fn with_instances(
    server: &mut Server<'_>,
    instances: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    let floor = Sample::of_ms(&repeat(say_version)?);
    server.stop()?;
    let times = repeat(|| start_and_stop(server))?;
    table.add(row(&format!("(d) serve to first answer, {instances} run"), &times, &floor));
    Ok(())
}

fn row(name: &str, times: &[Duration], floor: &Sample) -> Row {
    Row::new(name, "ms", Sample::of_ms(times)).over(floor).target(Target::AtMost(100.0))
}

fn repeat(run: impl FnMut() -> anyhow::Result<Duration>) -> anyhow::Result<Vec<Duration>> {
    std::iter::repeat_with(run).take(RUNS).collect()
}

fn start_and_stop(server: &mut Server<'_>) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let client = server.start()?;
    let took = began.elapsed();
    // A connection that is kept open would be waited for.
    drop(client);
    server.stop()?;
    Ok(took)
}

fn say_version() -> anyhow::Result<Duration> {
    let began = Instant::now();
    let status = Command::new(OURKV).arg("--version").stdout(Stdio::null()).status()?;
    ensure!(status.success(), "`ourkv --version`: {status}");
    Ok(began.elapsed())
}
