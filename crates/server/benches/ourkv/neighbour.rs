//! (j) How long a client of one instance waits for SET and GET, at rest and while the tenant of
//! another one takes all that it can get: connections, memory, answers and messages that it never
//! reads. Both share the processors, also with whoever attacks: an engine has no part of its own.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use redis::Connection;

use crate::ground::{Ground, checkpoint};
use crate::pong;
use crate::sample::Sample;
use crate::server::{Created, PAIR, STANDALONE, Server, create};
use crate::table::{Row, Table};

/// From one request of the watched client to the next.
const BEAT: Duration = Duration::from_millis(1);
/// How long it is watched, each time.
const WATCHED: Duration = Duration::from_secs(5);
/// Connections that the other tenant holds.
const CONNECTIONS: usize = 1000;
/// How long it is silent on a connection before it drops that and opens another one.
const SILENT: Duration = Duration::from_millis(20);
/// What it asks for: values of 8 MB, more of them than it may owe.
const LARGE: usize = (8 << 20) - 1;
const TIMES: usize = 200;

/// Takes the figures.
pub(crate) fn measure(ground: &Ground, table: &mut Table) -> anyhow::Result<()> {
    let mut server = Server::new(ground.dir().join("neighbour"), &ground.ours)?;
    let mut client = server.start()?;
    let (greedy, watched) = (create(&mut client, STANDALONE)?, create(&mut client, PAIR)?);
    for created in [&greedy, &watched] {
        created.wait_until_normal(&mut client)?;
    }
    let mut tenant = pong::connect(watched.address, Some(&watched.login))?;
    let at_rest = Sample::of_ms(&beat(&mut tenant)?);
    let over = AtomicBool::new(false);
    let beside = scope(|scope| {
        let attacks: [fn(&Created, &AtomicBool) -> anyhow::Result<()>; 3] =
            [take_connections, take_memory, read_nothing];
        let (greedy, over) = (&greedy, &over);
        let attacks = attacks.map(|attack| scope.spawn(move || attack(greedy, over)));
        let times = beat(&mut tenant);
        over.store(true, Ordering::Relaxed);
        for attack in attacks {
            attack.join().unwrap_or_else(|_| Err(anyhow!("an attack panicked")))?;
        }
        times
    })?;
    table.add(Row::new("(j) SET and GET of a neighbour, at rest", "ms", at_rest.clone()));
    let beside = Row::new("(j) SET and GET of a neighbour, beside a greedy one", "ms", {
        Sample::of_ms(&beside)
    });
    table.add(beside.over(&at_rest));
    Ok(())
}

/// How long each request took. What should have been sent while nobody answered counts from when it
/// should have been.
fn beat(tenant: &mut Connection) -> anyhow::Result<Vec<Duration>> {
    let (began, mut due, mut times) = (Instant::now(), Instant::now(), Vec::new());
    while began.elapsed() < WATCHED {
        checkpoint()?;
        let late = due < Instant::now();
        sleep(due.saturating_duration_since(Instant::now()));
        // The time that the sleep took too long is not the server's.
        let asked = if late { due } else { Instant::now() };
        if times.len() % 2 == 0 {
            let () = redis::cmd("SET").arg("key").arg(times.len()).query(tenant)?;
        } else {
            let _: usize = redis::cmd("GET").arg("key").query(tenant)?;
        }
        times.push(asked.elapsed());
        due += BEAT;
    }
    Ok(times)
}

/// Connects again and again, and holds what it gets.
fn take_connections(greedy: &Created, over: &AtomicBool) -> anyhow::Result<()> {
    let mut held = Vec::new();
    while !over.load(Ordering::Relaxed) {
        held.push(TcpStream::connect(greedy.address)?);
        if held.len() > CONNECTIONS {
            held.clear();
        }
    }
    Ok(())
}

/// Writes more than there is room for, and removes it.
fn take_memory(greedy: &Created, over: &AtomicBool) -> anyhow::Result<()> {
    let mut tenant = pong::connect(greedy.address, Some(&greedy.login))?;
    for n in 0_usize.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("large:{}", n % TIMES);
        // It is refused where there is no room.
        let written: redis::RedisResult<()> =
            redis::cmd("SETRANGE").arg(&key).arg(LARGE).arg("x").query(&mut tenant);
        if written.is_err() {
            let all: Vec<_> = (0..TIMES).map(|n| format!("large:{n}")).collect();
            let () = redis::cmd("DEL").arg(all).query(&mut tenant)?;
        }
    }
    Ok(())
}

/// Asks for far more than it may owe, and listens to nobody.
fn read_nothing(greedy: &Created, over: &AtomicBool) -> anyhow::Result<()> {
    let (user, password) = (&greedy.login.user, greedy.login.password);
    let asked = format!("AUTH {user} {password}\r\n{}", "GET large:0\r\n".repeat(TIMES));
    while !over.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(SocketAddr::V4(greedy.address))?;
        stream.write_all(asked.as_bytes())?;
        sleep(SILENT);
    }
    Ok(())
}
