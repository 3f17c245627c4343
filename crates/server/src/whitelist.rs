//! Whitelists at the packet filter of this machine: whether they are put in force, and how.

use ourkv_control::guard::{self, Guard, Nft, NftError, NotEnforced, Rules, Trusted};
use ourkv_control::substrate::local::confine::{Confine, Confinement, USERS, abilities};
use ourkv_domain::ids::NodeId;
use ourkv_domain::network::block::LoopbackBlock;

use crate::config::Whitelist;
use crate::opening::Opened;

/// The packet filter, if it can put the whitelists of this node in force. Changes nothing.
pub(crate) async fn find(node: &NodeId, block: LoopbackBlock) -> Result<Nft, NotEnforced> {
    let trusted = Trusted { own: 0, engines: None, choose: true };
    Nft::find(&Rules::new(node, block.net(), trusted)).await
}

/// Starts what puts whitelists in force, where that is wanted and possible, and says in the log
/// whether it is. Where it is not wanted, rules of an earlier run are taken away.
pub(crate) async fn start(
    mode: Whitelist,
    opened: &Opened,
    confinement: Confinement,
) -> Result<Option<guard::Handle>, NotEnforced> {
    if mode == Whitelist::Off {
        lift_where_possible(opened).await;
        tracing::info!("whitelists are not in force: network.whitelist is off");
        return Ok(None);
    }
    match find(&opened.node, opened.block).await {
        Ok(nft) => {
            tracing::info!("whitelists are put in force by nftables");
            let guard = Guard {
                store: opened.store.clone(),
                nft,
                node: opened.node.clone(),
                block: opened.block.net(),
                trusted: trusted(confinement),
                settings: guard::Settings::default(),
            };
            Ok(Some(guard.spawn()))
        }
        Err(reason) if mode == Whitelist::Enforce => Err(reason),
        Err(reason) => {
            tracing::warn!(%reason, advice = reason.advice(), "whitelists are not in force");
            Ok(None)
        }
    }
}

/// Takes the rules of this node away, if there are any and this process may.
pub(crate) async fn lift(opened: &Opened) -> Result<(), NftError> {
    match Nft::open() {
        Ok(nft) => nft.remove(&opened.node).await,
        // Without the right to it, none were made.
        Err(_) => Ok(()),
    }
}

async fn lift_where_possible(opened: &Opened) {
    if let Err(error) = lift(opened).await {
        tracing::warn!(%error, "rules of an earlier run may still be in force");
    }
}

/// Under whom this process and its engines run.
fn trusted(confinement: Confinement) -> Trusted {
    let Confinement { confine, first_user } = confinement;
    let confined = confine != Confine::Off;
    Trusted {
        own: rustix::process::geteuid().as_raw(),
        // Nobody has these where engines do not, either.
        engines: confined.then(|| first_user..=first_user + (USERS - 1)),
        choose: !confined || abilities(first_user).users.is_ok(),
    }
}
