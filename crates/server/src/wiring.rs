//! A running control plane, put together from its parts: the one place that knows them all.
//!
//! It answers as soon as the store is open; what is said of the state of instances waits until they
//! were looked at, or for [`FIRST_LOOK`]. A part that fails later stops the whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use ourkv_control::backup::{self, Archive, Backups, Fetcher, ShelfError};
use ourkv_control::dns::{Dns, DnsError};
use ourkv_control::engine::Engines;
use ourkv_control::guard::{self, NotEnforced};
use ourkv_control::jobs::{self, Jobs};
use ourkv_control::reconciler::{self, Reconciler};
use ourkv_control::substrate::local::confine::{Confinement, abilities};
use ourkv_control::substrate::local::{self, Local, try_writing};
use ourkv_control::substrate::{Gate, Substrate, Trouble};
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::clock::Clock as _;
use ourkv_domain::network::HostAddresses;
use ourkv_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{SetOnce, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::actions::{Nudge, Platform};
use crate::cli::url_of;
use crate::config::{self, BackupPlace, Config, DnsListen, Whitelist};
use crate::gateway::{self, Gateway};
use crate::links::Links;
use crate::opening::{DataDir, Opened, Room};
use crate::{shelf, whitelist};

/// How often histograms are folded up, so that they stay small between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long what is said of instances waits for the first look at them.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Descriptors that connections of the API leave to everything else; half of all where that is
/// fewer. An engine takes about three.
const KEPT_FILES: usize = 4096;

/// How long what another process wrote waits.
const HEARTBEAT: Duration = Duration::from_secs(1);

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
    upkeep: JoinHandle<((), ())>,
    heartbeat: JoinHandle<()>,
    hands: JoinHandle<Result<Hands, StartError>>,
    dns: Option<Dns>,
}

/// What makes intent true.
struct Hands {
    reconciler: reconciler::Handle,
    backups: backup::Handle,
    jobs: jobs::Handle,
    guard: Option<guard::Handle>,
}

/// Who is woken when something is wanted; nobody before they are there: they begin by looking at
/// everything.
#[derive(Clone, Default)]
struct Sleepers(
    Arc<(SetOnce<reconciler::Handle>, SetOnce<backup::Handle>, SetOnce<guard::Handle>)>,
);

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
    /// Engines are to be confined in full, and can't be.
    #[error(
        "engines.confine is `require`, and {0}; see Confinement in docs/operations.md, or set it \
         to `auto`"
    )]
    Unconfined(String),
    /// Whitelists are to be put in force, and can't be.
    #[error("network.whitelist is `enforce`, and {0}; {advice}, or use `auto`", advice = .0.advice())]
    NotEnforced(#[from] NotEnforced),
    /// Backups can't be kept where they should be.
    #[error("backups can't be kept: {0}")]
    Shelf(#[from] ShelfError),
    /// Engines can't be run here.
    #[error("engines can't be run: {0}")]
    Substrate(#[from] Trouble),
    /// The store did not say who acts for this machine.
    #[error("the store can't be used: {0}")]
    Store(#[from] StoreError),
    /// Another control plane acts for this machine since.
    #[error("another control plane has taken this machine over; this one acts no more")]
    Superseded,
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
        /// How engines are confined.
        confinement: Confinement,
        /// Whether whitelists are put in force.
        whitelist: Whitelist,
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
        let dir = opened.dir.clone();
        let upkeep =
            tokio::spawn(async { tokio::join!(keep_up(metrics, dir.clone()), watch_disk(dir)) });
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
            // Who asks for work ends before those who do it; a deletion may wait for a backup.
            hands.jobs.shutdown().await;
            tokio::join!(hands.backups.shutdown(), hands.reconciler.shutdown());
            if let Some(guard) = &hands.guard {
                guard.shutdown().await;
            }
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

/// What actions are given; `links` is what links to backups begin with, where nothing else is set.
pub(crate) fn platform(
    config: &Config,
    opened: &Opened,
    links: String,
    looked: watch::Receiver<bool>,
    nudge: Nudge,
) -> Platform {
    let backup = &config.backup;
    let base = backup.public_url.clone().unwrap_or(links);
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
        nudge,
    }
}

impl Sleepers {
    /// Wakes whoever is there.
    fn nudge(&self) -> Nudge {
        let sleepers = self.clone();
        Arc::new(move || {
            if let Some(reconciler) = sleepers.0.0.get() {
                reconciler.nudge();
            }
            if let Some(backups) = sleepers.0.1.get() {
                backups.nudge();
            }
            if let Some(guard) = sleepers.0.2.get() {
                guard.nudge();
            }
        })
    }
}

fn gateway_settings(config: &Config) -> gateway::Settings {
    gateway::Settings {
        connections: connections(config),
        header_timeout: config.limits.header_timeout(),
        body_timeout: config.limits.body_timeout(),
        stall_timeout: config.limits.stall_timeout(),
        drain_timeout: config.limits.shutdown_timeout(),
        ..gateway::Settings::default()
    }
}

/// Connections of the API: as many as the settings say, but for the descriptors that are left to
/// everything else. Whoever takes all connections takes none from the engines.
fn connections(config: &Config) -> usize {
    let wanted = config.limits.connections.get();
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let most = files.saturating_sub(KEPT_FILES.min(files / 2)).max(1);
    if most < wanted {
        tracing::warn!(wanted, most, "the limit on open files allows fewer connections");
    }
    wanted.min(most)
}

/// Tells when every instance was looked at: an engine may have ended while nobody watched. One
/// that is slow to come back is told as it was.
async fn look_first(opened: Opened, sleepers: Sleepers, looking: watch::Sender<bool>) {
    let node = opened.node;
    let here = opened.store.read(move |tx| tx.instance_ids_of_node(&node)).await;
    if here.is_ok_and(|here| !here.is_empty()) {
        let look = async { sleepers.0.0.wait().await.looked().await };
        if tokio::time::timeout(FIRST_LOOK, look).await.is_err() {
            tracing::warn!("instances are told of before every one was looked at");
        }
    }
    looking.send_replace(true);
}

/// What the hands are made of.
struct Making {
    opened: Opened,
    archive: Archive,
    backup: config::Backup,
}

impl Making {
    /// Finds the engines and starts reconciler, keeper of backups and jobs. If that fails, nothing
    /// here can become what it should be: the whole stops.
    async fn start(
        self,
        place: Place,
        sleepers: Sleepers,
        nudge: Nudge,
        stop: CancellationToken,
    ) -> Result<Hands, StartError> {
        let (substrate, guard) = match substrate(&self.opened, place).await {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(%error, "engines can't be run");
                stop.cancel();
                return Err(error);
            }
        };
        // Nobody else sets them. What was nudged before was lost.
        if let Some(guard) = &guard {
            let _ = sleepers.0.2.set(guard.clone());
        }
        let reconciler = self.reconciler(Arc::clone(&substrate)).spawn();
        let _ = sleepers.0.0.set(reconciler.clone());
        let backups = self.backups(substrate, Arc::clone(&nudge)).spawn();
        let _ = sleepers.0.1.set(backups.clone());
        nudge();
        Ok(Hands { reconciler, backups, jobs: self.jobs(nudge).spawn(), guard })
    }

    fn reconciler(&self, substrate: Arc<dyn Substrate>) -> Reconciler {
        let (store, archive) = (self.opened.store.clone(), self.archive.clone());
        Reconciler {
            store: store.clone(),
            substrate,
            datasets: Arc::new(Fetcher { store, archive }),
            clock: self.opened.clock.clone(),
            node: self.opened.node.clone(),
            settings: reconciler::Settings::default(),
        }
    }

    fn backups(&self, substrate: Arc<dyn Substrate>, wake: Nudge) -> Backups {
        let (saves, prove) = (self.backup.saves.get(), self.backup.prove);
        Backups {
            store: self.opened.store.clone(),
            substrate,
            archive: self.archive.clone(),
            clock: self.opened.clock.clone(),
            node: self.opened.node.clone(),
            wake,
            settings: backup::Settings { saves, prove, ..backup::Settings::default() },
        }
    }

    fn jobs(self, nudge: Nudge) -> Jobs {
        Jobs {
            store: self.opened.store,
            clock: self.opened.clock,
            mint: self.opened.mint,
            node: self.opened.node,
            nudge,
            settings: jobs::Settings {
                final_backup: self.backup.last,
                ..jobs::Settings::default()
            },
        }
    }
}

/// Where engines run, and what stands before them.
async fn substrate(
    opened: &Opened,
    place: Place,
) -> Result<(Arc<dyn Substrate>, Option<guard::Handle>), StartError> {
    match place {
        Place::Given(substrate) => Ok((substrate, None)),
        Place::Local { engines, serves, confinement, whitelist } => {
            let guard = whitelist::start(whitelist, opened, confinement).await?;
            let engines = Engines::discover(&[engines]).await;
            let gate = guard.clone().map(|guard| Arc::new(guard) as Arc<dyn Gate>);
            let local = Local::confined(opened.dir.path(), engines, serves, confinement, gate)?;
            Ok((Arc::new(local), guard))
        }
    }
}

/// Operators' commands and other nodes write into the same store and can't wake anybody here: what
/// they wrote is found at the next beat.
async fn beat(nudge: Nudge) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        nudge();
    }
}

async fn keep_up(metrics: PrometheusHandle, dir: DataDir) {
    let (mut ticks, mut was_little) = (tokio::time::interval(UPKEEP), false);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
        if let Ok(room) = Room::of(dir.path()) {
            was_little = watch_room(room, was_little);
        }
    }
}

/// Says that the data directory can't be written, and that it can again, once each time. A disk
/// that keeps one waiting keeps nobody else waiting here.
async fn watch_disk(dir: DataDir) {
    let (mut ticks, mut failed) = (tokio::time::interval(UPKEEP), false);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let path = dir.path().to_owned();
        let tried = tokio::task::spawn_blocking(move || try_writing(&path)).await;
        let tried = tried.unwrap_or_else(|lost| Err(std::io::Error::other(lost)));
        metrics::gauge!("ourkv_disk_writable").set(if tried.is_ok() { 1.0 } else { 0.0 });
        match (&tried, failed) {
            (Err(error), false) => tracing::error!(%error, "the data directory can't be written: \
                calls are refused and engines refuse writes until the disk is mended"),
            (Ok(()), true) => tracing::info!("the data directory can be written again"),
            _ => {}
        }
        failed = tried.is_err();
    }
}

/// Says that room gets short, once each time, before it is gone.
fn watch_room(room: Room, was_little: bool) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is about right")]
    metrics::gauge!("ourkv_disk_free_bytes").set(room.free as f64);
    match (was_little, room.is_little()) {
        (false, true) => tracing::warn!(%room, "the disk of the data directory is nearly full"),
        (true, false) => tracing::info!(%room, "the disk of the data directory has room again"),
        _ => {}
    }
    room.is_little()
}
