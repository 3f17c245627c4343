//! The door: listens, reads, authenticates, dispatches, renders.
//!
//! It knows the protocol and no action by name; the one list of actions tells it what exists.
//! Backups are downloaded here too, by link and without a signed call.

mod api;
mod authenticate;
mod call_log;
mod connections;
mod download;
mod download_slots;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use ourkv_control::backup::Archive;
use ourkv_wire::Limits;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::actions::Platform;

use download_slots::DownloadSlots;
use throttle::Throttle;

/// Where a test can break a call: before its action runs, and between its commit and its answer.
pub const FAILPOINTS: [&str; 2] = ["action.before", "action.after"];

/// How much the gateway takes from its callers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Sizes and counts of one request.
    pub limits: Limits,
    /// Connections served at a time; further ones wait.
    pub connections: usize,
    /// Time for the headers of a request, also counted while a kept connection is idle.
    pub header_timeout: Duration,
    /// Time for the body of a request.
    pub body_timeout: Duration,
    /// Time for a client to take what it is sent: one that takes nothing for so long is left.
    pub stall_timeout: Duration,
    /// Time for requests in flight once the gateway is told to stop.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            connections: 16_384,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// The API of one control plane.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    platform: Platform,
    settings: Settings,
    throttle: Throttle,
    metrics: PrometheusHandle,
    /// Where backups lie, for those who have a link to one.
    archive: Archive,
    downloads: DownloadSlots,
}

impl Gateway {
    /// A gateway to `platform`.
    pub fn new(
        platform: Platform,
        archive: Archive,
        settings: Settings,
        metrics: PrometheusHandle,
    ) -> Self {
        let downloads = DownloadSlots::default();
        let throttle = Throttle::default();
        Self(Arc::new(Inner { platform, settings, throttle, metrics, archive, downloads }))
    }

    /// Serves until `shutdown`, then finishes the requests in flight.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let settings = self.0.settings.clone();
        connections::serve(self.router(), listener, &settings, shutdown).await;
    }

    fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/metrics", get(render_metrics))
            .route("/backups/{id}", get(download::answer))
            .fallback(api::answer)
            .with_state(self)
    }
}

async fn render_metrics(State(gateway): State<Gateway>) -> String {
    gateway.0.metrics.render()
}
