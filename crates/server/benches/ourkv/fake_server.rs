//! The control plane on the in-memory substrate, as a process of its own: this program again.
//!
//! Gateway, actions, store and reconciler are the real ones, with the settings and the logging of
//! `ourkv serve`; only engines are left out, so that what is measured is the control plane.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use metrics_exporter_prometheus::PrometheusBuilder;
use ourkv::config::{Config, Environment, Flags};
use ourkv::opening::{FirstKey, Opened};
use ourkv::wiring::{Place, Running};
use ourkv_control::substrate::fake::Fake;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::client::{Client, KEY_ID, KEY_SECRET};
use crate::ground::{Block, TIGHT, until};
use crate::process::Process;
use crate::server::{OURKV, log_file};

/// What makes this program such a server; the data directory and the address follow.
pub(crate) const ARGUMENT: &str = "serve-in-memory";

/// Serves until SIGTERM.
pub(crate) fn run(dir: &Path, listen: &str) -> anyhow::Result<()> {
    let environment = Environment::of(&[
        ("OURKV_ACCESS_KEY_ID", KEY_ID),
        ("OURKV_ACCESS_KEY_SECRET", KEY_SECRET),
        ("HOME", "/nonexistent"),
    ]);
    let flags = Flags {
        listen: Some(listen.into()),
        data_dir: Some(dir.into()),
        dns: Some("off".into()),
        ..Flags::default()
    };
    let config = Config::load(None, environment.clone(), flags)?;
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.log.level))
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(&config, &environment))
}

async fn serve(config: &Config, environment: &Environment) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| anyhow::anyhow!("metrics are set up twice"))?;
    let opened = Opened::create(config).await?;
    opened.furnish(FirstKey::of(environment)?).await?;
    let place = Place::Given(Arc::new(Fake::default()));
    let running = Running::start(config, opened, place, metrics).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        () = running.failed() => {}
    }
    Ok(running.shutdown().await?)
}

/// Such a server, seen from the process that measures.
#[derive(Debug)]
pub(crate) struct FakeServer {
    pub(crate) address: SocketAddr,
    process: Process,
}

impl FakeServer {
    /// Starts one in a directory, with an account that may have as many instances as are made.
    pub(crate) fn start(dir: &Path, block: &Block) -> anyhow::Result<Self> {
        std::fs::create_dir(dir)?;
        let (data, listen) = (dir.join("data"), format!("{}:2015", block.own()));
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(ARGUMENT)
            .args([data.as_os_str(), listen.as_ref()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file(dir)?);
        let mut process = Process::spawn(&mut command)?;
        let address: SocketAddr = listen.parse()?;
        until("the server in memory answers", TIGHT, || match Client::connect(address) {
            Ok(mut client) => client.call("DescribeRegions", &[]).map(Some),
            Err(_) => match process.ended()? {
                None => Ok(None),
                Some(status) => {
                    bail!("{status}: {}", std::fs::read_to_string(dir.join("log"))?)
                }
            },
        })?;
        lift_quota(&data).context("lifting the quota")?;
        Ok(Self { address, process })
    }

    /// How long processors have worked for it.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        self.process.processor_time()
    }
}

fn lift_quota(data: &Path) -> anyhow::Result<()> {
    let quotas = ["--postpaid-quota", "1000000", "--postpaid-quota-per-region", "1000000"];
    let output = Command::new(OURKV)
        .args(["account", "set"])
        .args(quotas)
        .arg("--data-dir")
        .arg(data)
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        bail!("{}", String::from_utf8_lossy(&output.stderr))
    }
}
