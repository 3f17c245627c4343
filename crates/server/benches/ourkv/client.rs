//! A client that signs as current SDKs do (V3) and keeps its connection.

#![expect(clippy::disallowed_methods, reason = "a client signs with the real time")]

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use ourkv_wire::{Format, Outgoing, Params, Signer};
use serde_json::Value;

use crate::ground::PATIENCE;
use crate::http;

/// The key of every server of a run.
pub(crate) const KEY_ID: &str = "LTAI5tBenchBenchBench001";
/// Its secret.
pub(crate) const KEY_SECRET: &str = "secretForBenchmarks/0123456789";

static NONCES: AtomicU64 = AtomicU64::new(0);

/// Makes signed requests to one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Signing {
    signer: Signer,
    host: String,
}

impl Signing {
    /// For the endpoint at `address`.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { signer: Signer::new(KEY_ID, KEY_SECRET), host: address.to_string() }
    }

    /// The bytes of a call, with a nonce and a time of its own.
    pub(crate) fn call(&self, action: &str, params: &[(&str, &str)]) -> Vec<u8> {
        let now = Timestamp::now();
        let count = NONCES.fetch_add(1, Ordering::Relaxed);
        let nonce = format!("{:x}-{count:x}", now.as_nanosecond());
        let pairs = params.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        http::bytes(&self.signer.sign_v3(&Outgoing {
            action,
            version: "2015-01-01",
            params: &Params::from_pairs(pairs),
            format: Format::Json,
            timestamp: now,
            nonce: &nonce,
            host: &self.host,
        }))
    }
}

/// A connection that calls.
#[derive(Debug)]
pub(crate) struct Client {
    signing: Signing,
    stream: TcpStream,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { signing: Signing::new(address), stream })
    }

    /// Calls; anything but success is an error.
    pub(crate) fn call(&mut self, action: &str, params: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.stream.write_all(&self.signing.call(action, params))?;
        let mut received = Vec::with_capacity(4096);
        let mut buffer = [0; 4096];
        loop {
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                bail!("{action}: the server hung up");
            }
            received.extend_from_slice(&buffer[..count]);
            if let Some(head) = http::head(&received)?
                && received.len() >= head.end
            {
                let body = &received[head.body..head.end];
                if head.status != 200 {
                    bail!("{action}: {} {}", head.status, String::from_utf8_lossy(body));
                }
                return Ok(serde_json::from_slice(body)?);
            }
        }
    }
}

/// Where a created instance answers.
pub(crate) fn endpoint(created: &Value) -> anyhow::Result<SocketAddrV4> {
    let ip = created["PrivateIpAddr"].as_str().context("no PrivateIpAddr")?.parse()?;
    let port = created["Port"].as_u64().and_then(|port| u16::try_from(port).ok());
    Ok(SocketAddrV4::new(ip, port.context("no Port")?))
}
