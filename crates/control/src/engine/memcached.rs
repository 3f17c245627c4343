//! memcached: how it is called, who may log in, and a login over its binary protocol.
//!
//! Guarantees: TCP only, and nothing but a login is answered before a login (SASL PLAIN, user =
//! instance id). Without a password nobody can log in. The password stands in the login database
//! of the member's directory, as SASL requires, and nowhere else.
//!
//! memcached knows no replication: it is one engine whatever the node type, and it comes back
//! empty.

use std::net::SocketAddrV4;

use ourkv_domain::secret::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Launch, RESERVED_CONNECTIONS};
use crate::substrate::Unit;

/// The login database, in the member's directory.
pub const LOGINS: &str = "sasldb";
/// Where it is written before it takes its place.
pub const FRESH_LOGINS: &str = "sasldb.new";
/// What the tool writes before it has that name. Where one is left, the tool waits for its writer,
/// for ever.
pub const UNFINISHED_LOGINS: &str = "__db.sasldb.new";
/// Where memcached looks for it.
pub const LOGIN_SETTINGS: &str = "memcached.conf";
/// Up to this size, in MB, one thread is enough and costs the least while idle.
const SMALL_MB: i64 = 1024;

/// How the engine is called in a member's directory. It refuses to run as root, unless it is told
/// so.
pub fn launch(unit: &Unit, as_root: bool) -> Launch {
    let threads = if unit.capacity_mb <= SMALL_MB { 1 } else { 4 };
    let mut arguments: Vec<String> = vec!["-S".into()];
    let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    add("-l", unit.address.ip().to_string());
    add("-p", unit.address.port().to_string());
    add("-U", "0".into());
    add("-m", unit.capacity_mb.to_string());
    add("-c", unit.connections.saturating_add(RESERVED_CONNECTIONS).to_string());
    add("-t", threads.to_string());
    add("-I", "1m".into());
    if as_root {
        add("-u", "root".into());
    }
    Launch {
        arguments,
        environment: vec![
            ("SASL_CONF_PATH", ".".into()),
            ("OURKV_INSTANCE", unit.id.as_str().into()),
        ],
        input: None,
    }
}

/// The text of [`LOGIN_SETTINGS`].
pub fn login_settings() -> String {
    format!(
        "mech_list: plain\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: ./{LOGINS}\n"
    )
}

/// How saslpasswd2 is called in a member's directory; it reads the password of the tenant.
pub fn login_tool(unit: &Unit) -> Launch {
    let fresh = format!("./{FRESH_LOGINS}");
    let words = ["-p", "-c", "-f", &fresh, "-a", "memcached", unit.id.as_str()];
    Launch { arguments: words.map(str::to_owned).to_vec(), environment: Vec::new(), input: None }
}

/// The answers of the binary protocol that are told apart here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Ok,
    /// A login is needed, or was refused.
    NotLoggedIn,
    /// All its connections are in use; it hangs up.
    Full,
    /// Any other status.
    Other(u16),
}

/// A connection that speaks the binary protocol.
#[derive(Debug)]
pub struct Client<S = TcpStream>(S);

impl Client {
    /// Connects, and sends nothing.
    pub async fn connect(address: SocketAddrV4) -> std::io::Result<Self> {
        Ok(Self(TcpStream::connect(address).await?))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Over a connection that is there.
    pub fn over(stream: S) -> Self {
        Self(stream)
    }

    /// Logs in by SASL PLAIN.
    pub async fn log_in(&mut self, user: &str, password: &Secret) -> std::io::Result<Answer> {
        let credentials = Secret::from(format!("\0{user}\0{}", password.expose()));
        self.ask(opcode::SASL_AUTH, b"PLAIN", credentials.expose().as_bytes()).await
    }

    /// Asks for nothing; answered only after a login.
    pub async fn no_op(&mut self) -> std::io::Result<Answer> {
        self.ask(opcode::NO_OP, b"", b"").await
    }

    /// Asks for the version; answered to anyone.
    pub async fn version(&mut self) -> std::io::Result<Answer> {
        self.ask(opcode::VERSION, b"", b"").await
    }

    /// One request of key and value, one answer. The layout is that of memcached's
    /// `protocol_binary.h`: a header of 24 bytes, then extras, key and value.
    async fn ask(&mut self, opcode: u8, key: &[u8], value: &[u8]) -> std::io::Result<Answer> {
        let too_long = |_| std::io::Error::from(std::io::ErrorKind::InvalidInput);
        let key_length = u16::try_from(key.len()).map_err(too_long)?;
        let body_length = u32::try_from(key.len() + value.len()).map_err(too_long)?;
        let mut request = vec![0u8; 24];
        request[0] = 0x80;
        request[1] = opcode;
        request[2..4].copy_from_slice(&key_length.to_be_bytes());
        request[8..12].copy_from_slice(&body_length.to_be_bytes());
        request.extend_from_slice(key);
        request.extend_from_slice(value);
        // One that is full may have hung up already; what it said before can still be read.
        let _ = self.0.write_all(&request).await;

        let mut header = [0u8; 24];
        self.0.read_exact(&mut header).await?;
        if header.starts_with(b"ERROR Too many open") {
            return Ok(Answer::Full);
        }
        if header[0] != 0x81 {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let length = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        let mut body = (&mut self.0).take(length.into());
        tokio::io::copy(&mut body, &mut tokio::io::sink()).await?;
        Ok(match u16::from_be_bytes([header[6], header[7]]) {
            0x00 => Answer::Ok,
            0x20 => Answer::NotLoggedIn,
            other => Answer::Other(other),
        })
    }
}

mod opcode {
    pub(super) const NO_OP: u8 = 0x0a;
    pub(super) const VERSION: u8 = 0x0b;
    pub(super) const SASL_AUTH: u8 = 0x21;
}
