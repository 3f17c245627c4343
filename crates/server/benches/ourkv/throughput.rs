//! (f) Signed calls per second over 32 kept connections, signing included, on cores that client
//! and server share. The floor is the same gateway's unsigned `/healthz`: HTTP and nothing else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::client::{Client, Signing};
use crate::crowd::rate;
use crate::fake_server::FakeServer;
use crate::ground::{Ground, TIGHT, until};
use crate::load::{self, Done, Make};
use crate::sample::Sample;
use crate::server::{PASSWORD, STANDALONE, create};
use crate::table::{Row, Table, Target};

/// Connections, one request in flight on each.
const CONNECTIONS: usize = 32;
/// Rounds of each figure that count; one more goes before.
const ROUNDS: usize = 5;
/// Requests of one round.
const READS: usize = 10_000;
/// Creations of one round: all rounds together fit into the classic network.
const CREATIONS: usize = 2_000;
/// Instances that are there to be described: one page.
const PAGE: usize = 30;

/// One round of requests.
struct Round {
    done: Done,
    /// How long processors worked for the server.
    worked: Duration,
}

/// Takes the figures.
pub(crate) fn measure(ground: &Ground, table: &mut Table) -> anyhow::Result<()> {
    let server = FakeServer::start(&ground.dir().join("throughput"), &ground.ours)?;
    let id = furnish(&server)?;
    let host = server.address;
    let signing = Signing::new(host);

    let plain = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes();
    let floor = rounds(&server, READS, &(Arc::new(move || plain.clone()) as Make))?;
    let floor = rates(&floor);
    table.add(Row::new("(f) unsigned /healthz", "per s", floor.clone()));

    let sign = signing.clone();
    let one = call(move || sign.call("DescribeInstances", &[("InstanceIds", &id)]));
    let one = rounds(&server, READS, &one)?;
    add(table, "(f) DescribeInstances, one", &one, &floor, Some(10_000.0));

    let sign = signing.clone();
    let page = call(move || sign.call("DescribeInstances", &[]));
    let page = rounds(&server, READS / 2, &page)?;
    add(table, "(f) DescribeInstances, page of 30", &page, &floor, None);

    let creation = call(move || {
        let size = [("RegionId", "cn-hongkong"), ("InstanceClass", STANDALONE)];
        signing.call("CreateInstance", &[size[0], size[1], ("Password", PASSWORD)])
    });
    let creations = rounds(&server, CREATIONS, &creation)?;
    add(table, "(f) CreateInstance", &creations, &floor, Some(2_000.0));
    Ok(())
}

/// Creates what is described, and returns the id of one.
fn furnish(server: &FakeServer) -> anyhow::Result<String> {
    let mut client = Client::connect(server.address)?;
    let created: Vec<_> =
        (0..PAGE).map(|_| create(&mut client, STANDALONE)).collect::<anyhow::Result<_>>()?;
    until("all instances are Normal", 10 * TIGHT, || {
        let found = client.call("DescribeInstances", &[("InstanceStatus", "Normal")])?;
        Ok((found["TotalCount"] == PAGE).then_some(()))
    })?;
    Ok(created.into_iter().next().context("nothing was created")?.id)
}

fn call(make: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Make {
    Arc::new(make)
}

fn rounds(server: &FakeServer, requests: usize, make: &Make) -> anyhow::Result<Vec<Round>> {
    load::run(server.address, CONNECTIONS, requests / 4, make)?;
    let round = || {
        let before = server.processor_time()?;
        let done = load::run(server.address, CONNECTIONS, requests, make)?;
        Ok(Round { done, worked: server.processor_time()?.saturating_sub(before) })
    };
    std::iter::repeat_with(round).take(ROUNDS).collect()
}

fn rates(rounds: &[Round]) -> Sample {
    Sample::of(rounds.iter().map(|round| rate(round.done.each.len(), round.done.all)))
}

fn add(table: &mut Table, name: &str, rounds: &[Round], floor: &Sample, target: Option<f64>) {
    let latency = Sample::of_ms(rounds.iter().flat_map(|round| &round.done.each));
    // What a call costs in microseconds, whoever else uses the processors.
    let cost = rounds.iter().map(|round| 1e6 / rate(round.done.each.len(), round.worked));
    let row = Row::new(name, "per s", rates(rounds)).over(floor);
    table.add(match target {
        Some(least) => row.target(Target::AtLeast(least)),
        None => row,
    });
    table.add(Row::new(format!("{name}, each"), "ms", latency));
    table.add(Row::new(format!("{name}, server's processor time"), "us", Sample::of(cost)));
}
