//! A running control plane, put together from its parts: the one place that knows them all.
//!
//! It answers as soon as the store is open; what is said of the state of instances waits until they
//! were looked at, or for [`FIRST_LOOK`]. A part that fails later stops the whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use ourkv_control::dns::{Dns, DnsError};
use ourkv_control::engine::Engines;
use ourkv_control::jobs::{self, Jobs};
use ourkv_control::reconciler::{self, Reconciler};
use ourkv_control::substrate::local::{self, Local};
use ourkv_control::substrate::{Substrate, Trouble};
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::network::HostAddresses;
use tokio::net::TcpListener;
use tokio::sync::{SetOnce, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::actions::{Nudge, Platform};
use crate::config::{BackupPlace, Config, DnsListen};
use crate::gateway::{self, Gateway};
use crate::links::Links;
use crate::opening::Opened;

/// How often histograms are folded up, so that they stay small between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long what is said of instances waits for the first look at them.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// A control plane that answers.
pub struct Running {
    /// Where the API listens.
    pub address: SocketAddr,
    /// Where the DNS server listens, if there is one.
    pub dns_address: Option<SocketAddr>,
    opened: Opened,
    stop: CancellationToken,
    gateway: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    hands: JoinHandle<Result<Hands, StartError>>,
    dns: Option<Dns>,
}

/// What makes intent true.
struct Hands {
    reconciler: reconciler::Handle,
    jobs: jobs::Handle,
}

/// Why a control plane does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The API's address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    CannotListen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The DNS server can't run.
    #[error("{0}; --dns names another address, `--dns off` does without")]
    Dns(#[from] DnsError),
    /// Addresses are to be added to the machine, and may not be.
    #[error(
        "network.host_addresses is on, and adding addresses to this machine takes CAP_NET_ADMIN; \
         give it to the program (`setcap cap_net_admin=ep FILE`, or AmbientCapabilities= of a \
         systemd unit), run it as root, or turn the setting off"
    )]
    MayNotAddAddresses,
    /// Engines can't be run here.
    #[error("engines can't be run: {0}")]
    Substrate(#[from] Trouble),
    /// A defect: a part of the program panicked.
    #[error("a part of the program panicked")]
    Panicked,
}

/// Where engines run: the machine itself, unless a test brings a place of its own.
pub enum Place {
    /// Processes of this machine.
    Local {
        /// Where engines are kept beside those on the `PATH`.
        engines: PathBuf,
        /// Which addresses it serves.
        serves: HostAddresses,
    },
    /// This one.
    Given(Arc<dyn Substrate>),
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
        let listener = listen(config.listen).await?;
        let address = local_address(&listener, config.listen)?;
        let dns = start_dns(config, &opened).await?;
        let (dns, dns_address) = dns.unzip();

        let stop = CancellationToken::new();
        let late = Arc::new(SetOnce::new());
        let (looking, looked) = watch::channel(false);
        let platform = platform(config, &opened, address, &late, looked);
        let nudge = Arc::clone(&platform.nudge);
        let hands = start_hands(opened.clone(), place, Arc::clone(&late), nudge, stop.clone());
        let hands = tokio::spawn(hands);
        tokio::spawn(look_first(opened.clone(), late, looking));
        let gateway = Gateway::new(platform, gateway_settings(config), metrics.clone());
        let gateway = tokio::spawn(gateway.serve(listener, stop.clone()));
        let upkeep = tokio::spawn(keep_up(metrics));
        Ok(Self { address, dns_address, opened, stop, gateway, upkeep, hands, dns })
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
        let hands = self.hands.await;
        if let Ok(Ok(hands)) = &hands {
            hands.jobs.shutdown().await;
            hands.reconciler.shutdown().await;
        }
        if let Some(dns) = self.dns {
            dns.shutdown().await?;
        }
        self.opened.store.close().await;
        gateway.map_err(|_| StartError::Panicked)?;
        hands.map_err(|_| StartError::Panicked)??;
        Ok(())
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

/// What actions are given. Until the reconciler is there a nudge does nothing: it begins by
/// looking at everything.
fn platform(
    config: &Config,
    opened: &Opened,
    address: SocketAddr,
    late: &Arc<SetOnce<reconciler::Handle>>,
    looked: watch::Receiver<bool>,
) -> Platform {
    let late = Arc::clone(late);
    let backup = &config.backup;
    let base = backup.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    Platform {
        store: opened.store.clone(),
        clock: opened.clock.clone(),
        mint: Arc::clone(&opened.mint),
        catalogue: Catalogue::builtin(),
        node: opened.node.clone(),
        serves: config.network.host_addresses,
        domain_suffix: config.network.domain_suffix.clone(),
        final_backup: backup.last,
        backups_per_day: i64::from(backup.per_day),
        backup_links: Links::new(opened.link_key.clone(), base, backup.link_lifetime()),
        shelf_shared: matches!(backup.place, BackupPlace::Bucket(_)),
        looked,
        nudge: Arc::new(move || {
            if let Some(reconciler) = late.get() {
                reconciler.nudge();
            }
        }),
    }
}

fn gateway_settings(config: &Config) -> gateway::Settings {
    gateway::Settings {
        connections: config.limits.connections.get(),
        header_timeout: config.limits.header_timeout(),
        body_timeout: config.limits.body_timeout(),
        drain_timeout: config.limits.shutdown_timeout(),
        ..gateway::Settings::default()
    }
}

/// Tells when every instance was looked at: an engine may have ended while nobody watched. One
/// that is slow to come back is told as it was.
async fn look_first(
    opened: Opened,
    late: Arc<SetOnce<reconciler::Handle>>,
    looking: watch::Sender<bool>,
) {
    let node = opened.node;
    let here = opened.store.read(move |tx| tx.instance_ids_of_node(&node)).await;
    if here.is_ok_and(|here| !here.is_empty()) {
        let look = async { late.wait().await.looked().await };
        if tokio::time::timeout(FIRST_LOOK, look).await.is_err() {
            tracing::warn!("instances are told of before every one was looked at");
        }
    }
    looking.send_replace(true);
}

/// Finds the engines and starts the reconciler and the jobs. If that fails, nothing here can
/// become what it should be: the whole stops.
async fn start_hands(
    opened: Opened,
    place: Place,
    late: Arc<SetOnce<reconciler::Handle>>,
    nudge: Nudge,
    stop: CancellationToken,
) -> Result<Hands, StartError> {
    let substrate = match substrate(&opened, place).await {
        Ok(substrate) => substrate,
        Err(error) => {
            tracing::error!(%error, "engines can't be run");
            stop.cancel();
            return Err(error);
        }
    };
    let reconciler = Reconciler {
        store: opened.store.clone(),
        substrate,
        clock: opened.clock.clone(),
        node: opened.node.clone(),
        settings: reconciler::Settings::default(),
    };
    let reconciler = reconciler.spawn();
    // Nobody else sets it. What was nudged before was lost.
    let _ = late.set(reconciler.clone());
    reconciler.nudge();
    let jobs = Jobs {
        store: opened.store,
        clock: opened.clock,
        mint: opened.mint,
        node: opened.node,
        nudge,
        settings: jobs::Settings::default(),
    };
    Ok(Hands { reconciler, jobs: jobs.spawn() })
}

async fn substrate(opened: &Opened, place: Place) -> Result<Arc<dyn Substrate>, StartError> {
    match place {
        Place::Given(substrate) => Ok(substrate),
        Place::Local { engines, serves } => {
            let engines = Engines::discover(&[engines]).await;
            Ok(Arc::new(Local::new(opened.dir.path(), engines, serves)?))
        }
    }
}

async fn keep_up(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}
