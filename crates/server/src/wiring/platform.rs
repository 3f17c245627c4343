//! What actions and the gateway are given, out of the configuration.

use std::sync::Arc;

use ourkv_domain::catalogue::Catalogue;
use tokio::sync::watch;

use crate::actions::{Nudge, Platform};
use crate::config::{BackupPlace, Config};
use crate::gateway;
use crate::links::Links;
use crate::opening::Opened;

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
        connections: config.limits.connections.get(),
        header_timeout: config.limits.header_timeout(),
        body_timeout: config.limits.body_timeout(),
        stall_timeout: config.limits.stall_timeout(),
        drain_timeout: config.limits.shutdown_timeout(),
        ..gateway::Settings::default()
    }
}
