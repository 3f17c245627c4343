//! `ourkv serve`: the control plane.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use ourkv_control::failpoint;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::env::url_of;
use super::{Context, output};
use crate::config::{Confine, Flags, Log, LogFormat};
use crate::opening::{Credentials, DataDir, FirstKey, Opened, RootKey, ServeLock, credentials};
use crate::wiring::{Place, Running};

/// Serve the API and bring up what is created through it
///
/// Writes `listening on http://ADDRESS:PORT` to standard output once the API answers, and logs to
/// standard error. SIGTERM and SIGINT end it after the requests under way; engines go on, and the
/// next start adopts them. A second signal ends it at once.
///
/// The first start makes a root account. Its AccessKey is `OURKV_ACCESS_KEY_ID` and
/// `OURKV_ACCESS_KEY_SECRET` if both are set, else a random one that is shown once; either way it
/// is kept in the file `credentials` of the data directory. Setting both later adds that key.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Where the API listens; port 0 takes a free one [default: 127.0.0.1:2015]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where engines run: `local` [default: local]
    #[arg(long, value_name = "KIND")]
    substrate: Option<String>,
    /// Where the DNS server listens, or `off` [default: 127.0.0.1:2053 if that is free]
    #[arg(long, value_name = "ADDRESS:PORT|off")]
    dns: Option<String>,
    /// The /16 of 127.0.0.0/8 that instances are put into [default: by the node's id]
    #[arg(long, value_name = "CIDR")]
    address_block: Option<String>,
    /// Also serve addresses outside 127.0.0.0/8, by adding them to `lo`: takes `CAP_NET_ADMIN`, and
    /// takes over what the vSwitches hold, so they must hold no address that is in use elsewhere
    #[arg(long)]
    host_addresses: bool,
    /// How much engines are confined [default: auto]
    #[arg(long, value_enum, value_name = "HOW")]
    confine: Option<Confine>,
    /// Whether whitelists are put in force: `auto` where `nft` and `CAP_NET_ADMIN` allow it,
    /// `enforce` to serve only then, or `off` [default: auto]
    #[arg(long, value_name = "MODE")]
    whitelist: Option<String>,
    /// Where backups are kept: a folder, or `s3://BUCKET/PREFIX`; its key belongs into the
    /// environment or the file [default: `backups` in the data directory]
    #[arg(long, value_name = "URL")]
    backup_url: Option<String>,
    /// Delete instances that are paid by the hour without backing them up once more
    #[arg(long)]
    no_final_backup: bool,
    /// How log lines look [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Serve {
    /// Hands the flags of this command to the settings.
    pub(super) fn add_flags(&self, flags: &mut Flags) {
        flags.listen.clone_from(&self.listen);
        flags.substrate.clone_from(&self.substrate);
        flags.dns.clone_from(&self.dns);
        flags.address_block.clone_from(&self.address_block);
        flags.host_addresses = self.host_addresses;
        flags.confine = self.confine;
        flags.whitelist.clone_from(&self.whitelist);
        flags.backup_url.clone_from(&self.backup_url);
        flags.no_final_backup = self.no_final_backup;
        flags.log_format = self.log_format;
    }

    pub(super) fn run(context: &Context) -> anyhow::Result<ExitCode> {
        start_logging(&context.config.log);
        failpoint::arm();
        if let Err(error) = raise_file_limit() {
            tracing::warn!(%error, "the limit on open files stays as it is");
        }
        if let Err(error) = leave_no_core() {
            tracing::warn!(%error, "a crash may leave the memory of this process on the disk");
        }
        // What this process may do, its engines need not: they are started without it. The threads
        // of the runtime begin with what this one has.
        if let Err(error) = rustix::thread::clear_ambient_capability_set() {
            tracing::warn!(%error, "engines get the capabilities of this process");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let ended = runtime.block_on(serve(context));
        runtime.shutdown_background();
        ended.map(|()| ExitCode::SUCCESS)
    }
}

async fn serve(context: &Context) -> anyhow::Result<()> {
    let config = &context.config;
    let first_key = FirstKey::of(&context.environment)?;
    let lock = ServeLock::take(&DataDir::open_or_create(&config.data_dir)?)?;
    let mut signals = Signals::listen()?;
    let metrics = install_metrics()?;

    let opened = Opened::create(config).await?;
    opened.examine().await?;
    let dir = opened.dir.clone();
    if let RootKey::Fresh(key) = opened.furnish(first_key).await? {
        show(&key, &dir);
    }
    let engines = config.engines.dir.clone();
    let (serves, whitelist) = (config.network.host_addresses, config.network.whitelist);
    let confinement = config.engines.confinement();
    let place = Place::Local { engines, serves, confinement, whitelist };
    let running = Running::start(config, opened, place, metrics).await?;
    dir.note_endpoint(&url_of(running.address)).context("the file `endpoint`")?;
    announce(&running)?;

    tokio::select! {
        () = signals.next() => tracing::info!("ending: requests under way are finished, engines go on"),
        () = running.failed() => {}
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    tokio::select! {
        ended = running.shutdown() => ended?,
        () = signals.next() => tracing::warn!("ending at once, as told by a second signal"),
    }
    drop(lock);
    Ok(())
}

/// The only time that a secret is shown.
fn show(key: &Credentials, dir: &DataDir) {
    output::say(&format!(
        "made the root account; its AccessKey, also in {}:\n  {}={}\n  {}={}",
        dir.credentials().display(),
        credentials::ID,
        key.id,
        credentials::SECRET,
        key.secret.expose(),
    ));
}

fn announce(running: &Running) -> anyhow::Result<()> {
    if let Some(address) = running.dns_address {
        tracing::info!(%address, "answering DNS");
    }
    output::print(&format!("listening on http://{}", running.address))?;
    // Not being run by systemd is no error.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    Ok(())
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn start_logging(log: &Log) {
    // The tool for migrations tells what the store says itself where it matters.
    let filter = EnvFilter::new(format!("refinery_core=warn,{}", log.level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| anyhow::anyhow!("metrics are set up twice"))?;
    Ok(handle)
}

/// What is in memory here, or in an engine, are secrets and data of tenants: it stays there.
fn leave_no_core() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// Each connection and each engine under watch takes a descriptor: takes all that the machine
/// lets this user have. Engines begin with the same limit, before they get their own: they run as
/// users who can't raise it.
fn raise_file_limit() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let all = std::fs::read_to_string("/proc/sys/fs/nr_open")?.trim().parse().ok();
    let ours = getrlimit(Resource::Nofile).maximum;
    let raise = |to| setrlimit(Resource::Nofile, Rlimit { current: to, maximum: to });
    // Who may not exceed the hard limit takes that.
    Ok(raise(all.max(ours)).or_else(|_| raise(ours))?)
}
