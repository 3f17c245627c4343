//! What actions and the gateway are given, out of the configuration.

use std::sync::Arc;

use ourkv_domain::catalogue::Catalogue;
use tokio::sync::watch;

use crate::actions::{Nudge, Platform};
use crate::config::{BackupPlace, Config};
use crate::gateway;
use crate::links::Links;
use crate::opening::Opened;

/// Descriptors that connections of the API leave to everything else; half of all where that is
/// fewer. An engine takes about three.
const KEPT_FILES: usize = 4096;

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

pub(super) fn gateway_settings(config: &Config) -> gateway::Settings {
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
