//! The section `dns`: the server that answers the names of endpoints.

use std::net::SocketAddr;

use serde::Deserialize;

/// The DNS server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// Where it listens, UDP and TCP, or `off`.
    #[serde(default)]
    pub listen: DnsListen,
}

/// An address or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum DnsListen {
    /// There is no DNS server.
    Off,
    /// Here, UDP and TCP.
    At(SocketAddr),
    /// Here, unless someone else is: what is not asked for stops nobody.
    IfFree(SocketAddr),
}

/// Neither `off` nor an address.
#[derive(Debug, thiserror::Error)]
#[error("must be `off` or ADDRESS:PORT, such as 127.0.0.1:2053")]
pub struct NotAListener;

impl Default for DnsListen {
    fn default() -> Self {
        Self::IfFree(SocketAddr::from(([127, 0, 0, 1], 2053)))
    }
}

impl TryFrom<String> for DnsListen {
    type Error = NotAListener;

    fn try_from(text: String) -> Result<Self, NotAListener> {
        match text.as_str() {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At).map_err(|_| NotAListener),
        }
    }
}
