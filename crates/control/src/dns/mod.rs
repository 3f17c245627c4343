//! A DNS server that answers the names of endpoints.
//!
//! Authoritative for one suffix: every `ConnectionDomain` under it has the address at which its
//! engine really listens. Other zones are refused, nothing is looked up elsewhere. It speaks UDP
//! and TCP on one port and holds no state of its own: each question is put to [`Names`].

mod answer;
mod names;
mod tcp;
mod zone;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_server::Server;
use hickory_server::net::NetError;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use self::answer::Answerer;
pub use self::names::Names;
use self::zone::Zone;

/// Tries to find a port that is free for both protocols, where any will do.
const PORT_TRIES: usize = 16;

/// A running DNS server.
pub struct Dns {
    udp: Server<Answerer>,
    tcp: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

/// Why the DNS server does not run.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The suffix can't be the name of a zone.
    #[error("`{0}` is not a domain name")]
    BadSuffix(String),
    /// The address can't be listened on.
    #[error("can't answer DNS on {address}: {source}")]
    CannotListen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A listener ended in a way that it should not have.
    #[error("the DNS server ended: {0}")]
    Ended(#[from] NetError),
}

impl Dns {
    /// Listens on `address` for UDP and TCP, on one port; port 0 takes a free one.
    pub async fn bind(
        address: SocketAddr,
        suffix: &str,
        names: Arc<dyn Names>,
    ) -> Result<(Self, SocketAddr), DnsError> {
        let (udp, tcp, bound) =
            listen(address).await.map_err(|source| DnsError::CannotListen { address, source })?;
        let own = match bound.ip() {
            IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        };
        let zone = Zone::new(suffix, own).ok_or_else(|| DnsError::BadSuffix(suffix.to_owned()))?;
        let answerer = Answerer::new(zone, names);
        let stop = CancellationToken::new();
        let mut server = Server::new(answerer.clone());
        server.register_socket(udp);
        let tcp = tokio::spawn(tcp::serve(tcp, answerer, stop.clone()));
        Ok((Self { udp: server, tcp, stop }, bound))
    }

    /// Stops answering.
    pub async fn shutdown(mut self) -> Result<(), DnsError> {
        self.stop.cancel();
        self.udp.shutdown_gracefully().await?;
        // The listener ends on the token; a panic of it has been printed already.
        let _ = self.tcp.await;
        Ok(())
    }
}

/// A socket and a listener on the same port.
async fn listen(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener, SocketAddr)> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let udp = UdpSocket::bind(address).await?;
        let bound = udp.local_addr()?;
        match TcpListener::bind(bound).await {
            Ok(tcp) => return Ok((udp, tcp, bound)),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
