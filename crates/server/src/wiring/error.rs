//! Why a control plane does not run, in words that say what to do about it.

use std::net::SocketAddr;

use ourkv_control::backup::ShelfError;
use ourkv_control::dns::DnsError;
use ourkv_control::guard::NotEnforced;
use ourkv_control::substrate::Trouble;
use ourkv_store::StoreError;

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
