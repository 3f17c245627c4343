//! Which control plane acts for a machine.
//!
//! Each claim gets a higher epoch than those before it, and only the latest holds. Whoever works
//! through [`Store::held_by`] has its claim checked in each of its transactions: a control plane
//! that slept while another took its place finds that out before it has any effect.

use std::sync::Arc;

use jiff::Timestamp;
use ourkv_domain::ids::NodeId;
use tokio::sync::watch;

use crate::column::values;
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::Tx;

/// A claim to act for a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The machine.
    pub node: NodeId,
    /// The number of the claim.
    pub epoch: i64,
}

/// A lease that is checked, and who is told when it is lost.
#[derive(Debug)]
pub(crate) struct Hold {
    lease: Lease,
    lost: watch::Sender<bool>,
}

impl Hold {
    /// Refuses to go on where the lease is another's. One that is `kept` stays until the end of
    /// the transaction.
    pub(crate) fn check(&self, tx: &mut Tx<'_>, kept: bool) -> Result<(), StoreError> {
        if tx.holds_node(&self.lease, kept)? {
            return Ok(());
        }
        self.lost.send_replace(true);
        Err(StoreError::Superseded)
    }
}

impl Tx<'_> {
    /// Claims a machine for a run of a control plane, which ends every earlier claim.
    pub fn claim_node(
        &mut self,
        node: &NodeId,
        holder: &str,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        let sql = "INSERT INTO nodes (id, epoch, holder, claimed_at) VALUES ($1, 1, $2, $3) \
                   ON CONFLICT (id) DO UPDATE SET epoch = nodes.epoch + 1, \
                   holder = excluded.holder, claimed_at = excluded.claimed_at \
                   RETURNING epoch";
        let row = self.select_one("nodes", sql, &values![node, holder, now])?;
        let inconsistent = StoreError::Inconsistent { table: "nodes", column: "epoch" };
        Ok(Lease { node: node.clone(), epoch: row.ok_or(inconsistent)?.take("epoch")? })
    }

    fn holds_node(&mut self, lease: &Lease, kept: bool) -> Result<bool, StoreError> {
        let keep = if kept { self.for_share() } else { "" };
        let sql = format!("SELECT epoch FROM nodes WHERE id = $1{keep}");
        let row = self.select_one("nodes", &sql, &values![lease.node])?;
        let latest: Option<i64> = row.map(|mut row| row.take("epoch")).transpose()?;
        Ok(latest == Some(lease.epoch))
    }
}

impl Store {
    /// The same store for whoever acts under a lease. Once that is another's, everything but
    /// [`Store::write_later`] fails with [`StoreError::Superseded`].
    #[must_use]
    pub fn held_by(&self, lease: Lease) -> Self {
        self.with_hold(Arc::new(Hold { lease, lost: watch::Sender::new(false) }))
    }

    /// Whether a transaction found the lease lost.
    pub fn is_superseded(&self) -> bool {
        self.hold().is_some_and(|hold| *hold.lost.borrow())
    }

    /// Returns when a transaction found the lease lost; never where there is none.
    pub async fn superseded(&self) {
        match self.hold() {
            Some(hold) => {
                // The sender lives as long as the hold.
                let _ = hold.lost.subscribe().wait_for(|lost| *lost).await;
            }
            None => std::future::pending().await,
        }
    }
}
