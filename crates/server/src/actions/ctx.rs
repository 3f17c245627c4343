//! What an action is given besides its parameters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use ourkv_domain::audit::AuditLine;
use ourkv_domain::backup::Backup;
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::{AccessKeyId, AccountId, NodeId};
use ourkv_domain::mint::Mint;
use ourkv_domain::network::HostAddresses;
use ourkv_store::{Store, Tx};
use tokio::sync::watch;

use super::Failure;
use crate::links::Links;

/// Wakes what makes intent true; takes no hint and returns at once.
pub type Nudge = Arc<dyn Fn() + Send + Sync>;

/// What is the same for every call.
#[derive(Clone)]
pub struct Platform {
    /// What is remembered.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids and secrets.
    pub mint: Arc<Mint>,
    /// Regions, zones and classes.
    pub catalogue: &'static Catalogue,
    /// The machine whose engines serve what is created here.
    pub node: NodeId,
    /// Which addresses of instances can serve themselves.
    pub serves: HostAddresses,
    /// What the names of endpoints end in.
    pub domain_suffix: String,
    /// Whether an hourly-paid Redis instance leaves a last backup when it is deleted.
    pub final_backup: bool,
    /// How many manual backups an instance may have taken in 24 hours.
    pub backups_per_day: i64,
    /// Makes the links under which backups can be downloaded.
    pub backup_links: Links,
    /// Whether every control plane of the database reaches the same backups; otherwise those of
    /// another machine are out of reach.
    pub shelf_shared: bool,
    /// Whether every instance was looked at since the start, or was waited for long enough.
    pub looked: watch::Receiver<bool>,
    /// Wakes what makes intent true.
    pub nudge: Nudge,
}

impl Platform {
    /// Whether what a backup holds can be fetched from here.
    pub fn reaches(&self, backup: &Backup) -> bool {
        self.shelf_shared || backup.node == self.node
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose key it is.
    pub account: AccountId,
    /// The key.
    pub access_key: AccessKeyId,
}

/// What one call is given.
pub struct Ctx {
    /// What is the same for every call.
    pub platform: Platform,
    /// Who calls.
    pub caller: Caller,
    /// When the call came in; every date that it writes counts from here.
    pub now: Timestamp,
    /// The audit line of the call, as it is if the call succeeds.
    pub audit: AuditLine,
    audited: Arc<AtomicBool>,
}

impl Ctx {
    /// The context of one call.
    pub fn new(platform: Platform, caller: Caller, now: Timestamp, audit: AuditLine) -> Self {
        Self { platform, caller, now, audit, audited: Arc::default() }
    }

    /// Reads from one consistent state of the store.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.platform.store.read(work).await
    }

    /// Waits until what is remembered of instances was seen since the start: an engine may have
    /// ended while nobody watched.
    pub async fn instances_are_seen(&self) {
        // A part that ended will look at nothing any more; the whole ends with it.
        let _ = self.platform.looked.clone().wait_for(|looked| *looked).await;
    }

    /// Reads by keys, or one page of an index: too little to hand to another thread.
    pub async fn look_up<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.platform.store.look_up(work).await
    }

    /// Does `work` and writes the audit line of the call in one transaction; on an error nothing
    /// of it remains. `work` may run more than once.
    pub async fn write<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let line = self.audit.clone();
        let done = self
            .platform
            .store
            .write(move |tx| {
                let done = work(tx)?;
                tx.append_audit(&line)?;
                Ok::<T, Failure>(done)
            })
            .await?;
        self.audited.store(true, Ordering::Relaxed);
        Ok(done)
    }

    /// Wakes what makes intent true, after a write.
    pub fn nudge(&self) {
        (self.platform.nudge)();
    }

    /// Whether the audit line is written already.
    pub fn is_audited(&self) -> bool {
        self.audited.load(Ordering::Relaxed)
    }
}
