//! What goes on beside all work: small histograms, and room on the disk.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::opening::{DataDir, Room};

/// How often histograms are folded up, so that they stay small between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

pub(super) async fn keep_up(metrics: PrometheusHandle, dir: DataDir) {
    let (mut ticks, mut was_little) = (tokio::time::interval(UPKEEP), false);
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
