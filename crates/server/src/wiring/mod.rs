//! A running control plane, put together from its parts: the one place that knows them all.
//!
//! It answers as soon as the store is open; what is said of the state of instances waits until they
//! were looked at, or for a second (`nudge.rs`). A part that fails later stops the whole.

mod error;
mod hands;
mod nudge;
mod platform;
mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use ourkv_control::dns::Dns;
use ourkv_control::substrate::local;
use ourkv_control::substrate::local::confine::abilities;
use ourkv_domain::clock::Clock as _;
use ourkv_domain::network::HostAddresses;
use ourkv_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::error::StartError;
pub use self::hands::Place;
use self::hands::{Hands, Making};
use self::nudge::{Sleepers, beat, look_first};
use self::platform::gateway_settings;
pub(crate) use self::platform::platform;
use self::upkeep::keep_up;
use crate::cli::url_of;
use crate::config::{self, Config, DnsListen, Whitelist};
use crate::gateway::Gateway;
use crate::opening::Opened;
use crate::{shelf, whitelist};

/// A control plane that answers.
pub struct Running {
    /// Where the API listens.
    pub address: SocketAddr,
    /// Where the DNS server listens, if there is one.
    pub dns_address: Option<SocketAddr>,
    opened: Opened,
    /// The store for whoever acts for this machine.
    acting: Store,
    stop: CancellationToken,
    gateway: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    heartbeat: JoinHandle<()>,
    hands: JoinHandle<Result<Hands, StartError>>,
    dns: Option<Dns>,
}

impl Running {
    /// Listens, answers, and begins to make everything what it should be.
    pub async fn start(
        config: &Config,
        opened: Opened,
        place: Place,
        metrics: PrometheusHandle,
    ) -> Result<Self, StartError> {
        if config.network.host_addresses == HostAddresses::Any && !local::may_add_addresses() {
            return Err(StartError::MayNotAddAddresses);
        }
        if config.engines.confine == config::Confine::Require
            && let Some(reason) = abilities(config.engines.first_user).missing()
        {
            return Err(StartError::Unconfined(reason.to_owned()));
        }
        if let Place::Local { whitelist: Whitelist::Enforce, .. } = &place {
            whitelist::find(&opened.node, opened.block).await?;
        }
        let listener = listen(config.listen).await?;
        let address = local_address(&listener, config.listen)?;
        let dns = start_dns(config, &opened).await?;
        let (dns, dns_address) = dns.unzip();
        let archive = shelf::archive(config, &opened).await?;

        let acting = claim(&opened).await?;
        let (stop, sleepers) = (CancellationToken::new(), Sleepers::default());
        let (looking, looked) = watch::channel(false);
        let nudge = sleepers.nudge();
        let platform = platform(config, &opened, url_of(address), looked, Arc::clone(&nudge));
        let gateway =
            Gateway::new(platform, archive.clone(), gateway_settings(config), metrics.clone());
        let gateway = tokio::spawn(gateway.serve(listener, stop.clone()));
        let acting_here = Opened { store: acting.clone(), ..opened.clone() };
        let making = Making { opened: acting_here, archive, backup: config.backup.clone() };
        let hands = making.start(place, sleepers.clone(), Arc::clone(&nudge), stop.clone());
        let hands = tokio::spawn(hands);
        tokio::spawn(look_first(opened.clone(), sleepers, looking));
        tokio::spawn(end_superseded(acting.clone(), stop.clone()));
        let upkeep = tokio::spawn(keep_up(metrics, opened.dir.clone()));
        let heartbeat = tokio::spawn(beat(nudge));
        Ok(Self {
            address,
            dns_address,
            opened,
            acting,
            stop,
            gateway,
            upkeep,
            heartbeat,
            hands,
            dns,
        })
    }

    /// Returns when the control plane stops by itself, because a part of it failed.
    pub async fn failed(&self) {
        self.stop.cancelled().await;
    }

    /// Answers what is under way, finishes the steps under way, and leaves every engine running.
    pub async fn shutdown(self) -> Result<(), StartError> {
        self.stop.cancel();
        let gateway = self.gateway.await;
        self.upkeep.abort();
        self.heartbeat.abort();
        let hands = self.hands.await;
        if let Ok(Ok(hands)) = &hands {
            hands.shutdown().await;
        }
        if let Some(dns) = self.dns {
            dns.shutdown().await?;
        }
        self.opened.store.close().await;
        gateway.map_err(|_| StartError::Panicked)?;
        hands.map_err(|_| StartError::Panicked)??;
        if self.acting.is_superseded() { Err(StartError::Superseded) } else { Ok(()) }
    }
}

/// Claims the machine: whoever acted for it before does so no more.
async fn claim(opened: &Opened) -> Result<Store, StoreError> {
    let (node, now) = (opened.node.clone(), opened.clock.now());
    let holder = format!("process {}", std::process::id());
    let claim = opened.store.write(move |tx| tx.claim_node(&node, &holder, now));
    Ok(opened.store.held_by(claim.await?))
}

/// Stops everything once another control plane acts for this machine.
async fn end_superseded(acting: Store, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = acting.superseded() => {
            tracing::error!("another control plane has taken this machine over: ending");
            stop.cancel();
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| StartError::CannotListen { address, source })
}

fn local_address(listener: &TcpListener, asked: SocketAddr) -> Result<SocketAddr, StartError> {
    let bound = listener.local_addr();
    bound.map_err(|source| StartError::CannotListen { address: asked, source })
}

async fn start_dns(
    config: &Config,
    opened: &Opened,
) -> Result<Option<(Dns, SocketAddr)>, StartError> {
    let suffix = &config.network.domain_suffix;
    let names = || Arc::new(opened.store.clone());
    match config.dns.listen {
        DnsListen::Off => Ok(None),
        DnsListen::At(address) => Ok(Some(Dns::bind(address, suffix, names()).await?)),
        DnsListen::IfFree(address) => match Dns::bind(address, suffix, names()).await {
            Ok(dns) => Ok(Some(dns)),
            Err(error) => {
                tracing::warn!(%error, "there is no DNS server: names of endpoints are not answered");
                Ok(None)
            }
        },
    }
}
