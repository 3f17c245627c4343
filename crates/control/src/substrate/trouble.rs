//! Why a substrate could not do what it was told, in words that an operator can act on.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Why something could not be done. The text is shown in the instance's attributes: it names no
/// path and no secret.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Someone else listens on the instance's address; they are left alone.
    #[error("address {address} is in use by another process{}", by_whom(.holder.as_deref()))]
    AddressInUse {
        /// The address.
        address: SocketAddrV4,
        /// The process, where it can be told.
        holder: Option<String>,
    },
    /// Another interface of the machine has the instance's address; it is left alone.
    #[error("address {address} is on interface {interface} of this machine")]
    AddressOfInterface {
        /// The address.
        address: Ipv4Addr,
        /// The interface.
        interface: String,
    },
    /// The machine sends through the instance's address; it is left alone.
    #[error("address {address} is a gateway of this machine")]
    AddressOfGateway {
        /// The address.
        address: Ipv4Addr,
    },
    /// The machine does not have the instance's address, and must not be given it.
    #[error(
        "address {address} is not on this machine; run `ourkv serve --host-addresses` to have it \
         added"
    )]
    AddressNotAdded {
        /// The address.
        address: Ipv4Addr,
    },
    /// No installed engine serves the instance's type and version.
    #[error("no installed engine serves {wanted}; install one and run `ourkv engines`")]
    NoEngine {
        /// Type and version.
        wanted: String,
    },
    /// The engine ended instead of answering.
    #[error("the engine ended at its start: {last_words}")]
    Ended {
        /// The last lines of its log.
        last_words: String,
    },
    /// The engine did not answer in time.
    #[error("no answer from the engine within {seconds} s while {doing}")]
    Silent {
        /// What was waited for.
        doing: &'static str,
        /// How long, in seconds.
        seconds: u64,
    },
    /// The engine answered something else than expected.
    #[error("the engine answered unexpectedly while {doing}: {answer}")]
    Unexpected {
        /// What was asked.
        doing: &'static str,
        /// Its answer, without secrets.
        answer: String,
    },
    /// The machine refused.
    #[error("{doing}: {source}")]
    Machine {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Data that no attempt will make an instance of: damaged, cut off, too new, or gone.
    #[error("the data cannot be used: {reason}")]
    Dataset {
        /// What is wrong with it; where an engine refused it, the engine's last words.
        reason: String,
    },
    /// This process slept, and another one may act for the machine since.
    #[error("it is not certain that this control plane still acts for the machine: {answer}")]
    Slept {
        /// What the store said to that.
        answer: String,
    },
    /// A failpoint was set.
    #[error("failpoint {0}")]
    Failpoint(&'static str),
}

fn by_whom(holder: Option<&str>) -> String {
    holder.map(|holder| format!(" ({holder})")).unwrap_or_default()
}
