//! The first PONG: the moment from which a server is of use.

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::Context as _;

use crate::ground::until;

/// How long one connection may be silent.
const SILENCE: Duration = Duration::from_secs(2);

/// A login as its tenant does it.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    /// The instance id.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: &'static str,
}

/// Waits until a fresh connection is logged in and answered with PONG; tries again after `pause`.
pub(crate) fn wait(
    address: SocketAddrV4,
    login: Option<&Login>,
    pause: Duration,
) -> anyhow::Result<()> {
    until(&format!("PONG at {address}"), pause, || Ok(try_once(address, login).then_some(())))
}

/// A connection that is logged in, for whatever else is asked.
pub(crate) fn connect(
    address: SocketAddrV4,
    login: Option<&Login>,
) -> anyhow::Result<redis::Connection> {
    let client = redis::Client::open(format!("redis://{address}/"))?;
    let mut connection = client.get_connection()?;
    if let Some(login) = login {
        let () = redis::cmd("AUTH").arg(&login.user).arg(login.password).query(&mut connection)?;
    }
    Ok(connection)
}

/// Whether nobody listens there.
pub(crate) fn is_silent(address: SocketAddrV4) -> bool {
    TcpStream::connect_timeout(&SocketAddr::V4(address), SILENCE).is_err()
}

/// The pid that the server behind an address gives as its own.
pub(crate) fn pid(address: SocketAddrV4, login: Option<&Login>) -> anyhow::Result<u32> {
    let text = ask(address, login, "INFO server", "tcp_port").context("INFO did not answer")?;
    let line = text.lines().find_map(|line| line.strip_prefix("process_id:"));
    Ok(line.context("INFO names no process_id")?.trim().parse()?)
}

fn try_once(address: SocketAddrV4, login: Option<&Login>) -> bool {
    ask(address, login, "PING", "+PONG\r\n").is_some()
}

/// Sends a command on a connection of its own and reads until `wanted` is part of the answer; an
/// error, or anything that ends too early, is none.
fn ask(
    address: SocketAddrV4,
    login: Option<&Login>,
    command: &str,
    wanted: &str,
) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(address), SILENCE).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(SILENCE)).ok()?;
    let auth = login.map(|login| format!("AUTH {} {}\r\n", login.user, login.password));
    stream.write_all(format!("{}{command}\r\n", auth.unwrap_or_default()).as_bytes()).ok()?;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        text.extend_from_slice(&buffer[..count]);
        let answer = String::from_utf8_lossy(&text);
        if answer.starts_with('-') || answer.contains("\n-") {
            return None;
        }
        if answer.contains(wanted) {
            return Some(answer.into_owned());
        }
    }
}
