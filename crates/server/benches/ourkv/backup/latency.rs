//! (i) How long a client waits for SET and GET, at rest and while a backup is taken; beside it the
//! same on a bare server and its BGSAVE.
//!
//! One request each millisecond, whether or not the last one was answered in time: a client that
//! only asks after it was answered would hardly see the time in which nobody was. What should have
//! been sent meanwhile counts from when it should have been.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use redis::Connection;

use super::Cast;
use super::data::Data;
use super::save::{back_up, remove, save};
use crate::pong;
use crate::sample::Sample;
use crate::server::Created;
use crate::table::{Row, Table};

/// From one request to the next.
const BEAT: Duration = Duration::from_millis(1);
/// How long a client is watched at rest.
const REST: Duration = Duration::from_secs(5);
/// What it sets.
const VALUE: [u8; 1024] = [b'v'; 1024];

/// Takes the figures.
pub(super) fn measure(cast: &Cast<'_>, table: &mut Table) -> anyhow::Result<()> {
    let mut tenant = pong::connect(cast.bare.address(), None)?;
    beside(table, "bare server", "BGSAVE", cast.data, &mut tenant, || save(&cast.bare).map(drop))?;
    for (kind, created) in [("standalone", &cast.alone), ("pair", &cast.pair)] {
        let mut tenant = pong::connect(created.address, Some(&created.login))?;
        beside(table, kind, "a backup", cast.data, &mut tenant, || passing_backup(cast, created))?;
    }
    Ok(())
}

fn passing_backup(cast: &Cast<'_>, of: &Created) -> anyhow::Result<()> {
    let (listed, _) = back_up(cast, of)?;
    remove(cast, of, &listed)
}

/// Watches a client at rest, then during `work`.
fn beside(
    table: &mut Table,
    who: &str,
    what: &str,
    data: Data,
    tenant: &mut Connection,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let at_rest = Sample::of_ms(&watch(data, tenant, || {
        sleep(REST);
        Ok(())
    })?);
    let busy = Sample::of_ms(&watch(data, tenant, work)?);
    table.add(Row::new(format!("(i) SET and GET, {who}, at rest"), "ms", at_rest.clone()));
    table
        .add(Row::new(format!("(i) SET and GET, {who}, during {what}"), "ms", busy).over(&at_rest));
    Ok(())
}

/// How long the requests took that a client sent during `work`.
fn watch(
    data: Data,
    tenant: &mut Connection,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Duration>> {
    let done = AtomicBool::new(false);
    scope(|scope| {
        let client = scope.spawn(|| beat(data, tenant, &done));
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let times = client.join().unwrap_or_else(|_| Err(anyhow!("a client panicked")))?;
        worked.map(|()| times)
    })
}

fn beat(data: Data, tenant: &mut Connection, done: &AtomicBool) -> anyhow::Result<Vec<Duration>> {
    let mut random = SmallRng::seed_from_u64(6379);
    let mut times = Vec::new();
    let mut due = Instant::now();
    while !done.load(Ordering::Relaxed) {
        let late = due < Instant::now();
        sleep(due.saturating_duration_since(Instant::now()));
        // The time that the sleep took too long is not the server's.
        let began = if late { due } else { Instant::now() };
        let key = data.any(&mut random);
        if times.len() % 2 == 0 {
            let () = redis::cmd("SET").arg(key).arg(&VALUE).query(tenant)?;
        } else {
            let _: Vec<u8> = redis::cmd("GET").arg(key).query(tenant)?;
        }
        times.push(began.elapsed());
        due += BEAT;
    }
    Ok(times)
}
