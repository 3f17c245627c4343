//! What goes on beside all work: small histograms, room on the disk, and whether it takes anything.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use ourkv_control::substrate::local::try_writing;
use tokio::time::{MissedTickBehavior, interval};

use crate::opening::{DataDir, Room};

/// How often histograms are folded up, so that they stay small between two scrapes, and how often
/// the disk is looked at.
const UPKEEP: Duration = Duration::from_secs(5);

/// Goes on until it is aborted.
pub(super) async fn keep_up(metrics: PrometheusHandle, dir: DataDir) {
    tokio::join!(keep_small(metrics, dir.clone()), watch_disk(dir));
}

async fn keep_small(metrics: PrometheusHandle, dir: DataDir) {
    let (mut ticks, mut was_little) = (interval(UPKEEP), false);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
        if let Ok(room) = Room::of(dir.path()) {
            was_little = watch_room(room, was_little);
        }
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

/// Says that the data directory can't be written, and that it can again, once each time. A disk
/// that keeps one waiting keeps nobody else waiting here.
async fn watch_disk(dir: DataDir) {
    let (mut ticks, mut failed) = (interval(UPKEEP), false);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
