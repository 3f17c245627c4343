//! A fixed number of requests over kept connections, one in flight on each.
//!
//! One thread serves all connections, and a connection prepares its next request while it waits
//! for an answer: the machine's cores are shared with the server, and should be the server's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::ground::{PATIENCE, checkpoint};
use crate::http;

/// What makes the bytes of the next request.
pub(crate) type Make = Arc<dyn Fn() -> Vec<u8> + Send + Sync>;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Done {
    /// How long each request took.
    pub(crate) each: Vec<Duration>,
    /// How long all took.
    pub(crate) all: Duration,
}

/// Sends `requests` requests over `connections` connections; each must be answered with 200.
pub(crate) fn run(
    address: SocketAddr,
    connections: usize,
    requests: usize,
    make: &Make,
) -> anyhow::Result<Done> {
    checkpoint()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let all = all(address, connections, requests, make);
    let timed = async { tokio::time::timeout(PATIENCE, all).await };
    runtime.block_on(timed).context("requests took too long")?
}

async fn all(
    address: SocketAddr,
    connections: usize,
    requests: usize,
    make: &Make,
) -> anyhow::Result<Done> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let left = Arc::new(AtomicUsize::new(requests));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for stream in streams {
        tasks.spawn(one(stream, Arc::clone(&left), Arc::clone(make)));
    }
    let mut each = Vec::with_capacity(requests);
    while let Some(task) = tasks.join_next().await {
        each.extend(task??);
    }
    Ok(Done { each, all: began.elapsed() })
}

async fn one(
    mut stream: TcpStream,
    left: Arc<AtomicUsize>,
    make: Make,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut received = Vec::with_capacity(64 << 10);
    let mut request = make();
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        .is_ok()
    {
        let began = Instant::now();
        stream.write_all(&request).await?;
        request = make();
        answer(&mut stream, &mut received).await?;
        times.push(began.elapsed());
    }
    Ok(times)
}

async fn answer(stream: &mut TcpStream, received: &mut Vec<u8>) -> anyhow::Result<()> {
    received.clear();
    let head = loop {
        if stream.read_buf(received).await? == 0 {
            bail!("the server hung up");
        }
        if let Some(head) = http::head(received)? {
            break head;
        }
    };
    while received.len() < head.end {
        if stream.read_buf(received).await? == 0 {
            bail!("the server hung up");
        }
    }
    if head.status != 200 {
        bail!("{} {}", head.status, String::from_utf8_lossy(&received[head.body..head.end]));
    }
    Ok(())
}
