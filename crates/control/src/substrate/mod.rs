//! Where engines run: one trait, an implementation per kind of place.
//!
//! A substrate is told what to do about one instance and reports what it sees. Every method is
//! idempotent: done twice, it leaves what it leaves when done once. None of them decides
//! anything; that is the reconciler's `plan`.

#[cfg(any(test, feature = "testing"))]
pub mod contract;
mod dataset;
pub mod fake;
mod gate;
pub mod local;
mod standing;
mod trouble;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use async_trait::async_trait;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{EngineVersion, Instance, InstanceType, NodeType, Secrets};
pub use ourkv_domain::instance::{Lead, Member};
use ourkv_domain::parameter::Parameters;
use tokio::sync::broadcast;

pub use dataset::{ByteStream, Loaded, Saving, Specimen, Staging};
pub use gate::Gate;
pub use standing::{Kept, Link, Pulse, Replication, Silence, Standing};
pub use trouble::Trouble;

/// All that a substrate is told about one instance.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its id, and the name of its tenant's login.
    pub id: InstanceId,
    /// Marks its directory and engines as this instance's.
    pub nonce: String,
    /// Redis or Memcache.
    pub instance_type: InstanceType,
    /// One engine or a pair.
    pub node_type: NodeType,
    /// The level of compatibility asked for.
    pub version: EngineVersion,
    /// Memory in MB.
    pub capacity_mb: i64,
    /// Client connections allowed.
    pub connections: i64,
    /// Where its clients connect.
    pub address: SocketAddrV4,
    /// The engine parameters.
    pub parameters: Parameters,
    /// Its passwords.
    pub secrets: Secrets,
    /// Who is the master; where the place knows a later decision, that one holds.
    pub lead: Lead,
}

impl Unit {
    /// What a substrate needs to know of an instance.
    pub fn new(instance: &Instance, secrets: Secrets) -> Self {
        Self {
            id: instance.id.clone(),
            nonce: instance.nonce.clone(),
            instance_type: instance.spec.instance_type,
            node_type: instance.spec.node_type,
            version: instance.spec.version,
            capacity_mb: instance.spec.capacity_mb,
            connections: instance.spec.connections,
            address: SocketAddrV4::new(instance.endpoint.serving_ip, instance.endpoint.port),
            parameters: instance.parameters.clone(),
            lead: instance.role.lead,
            secrets,
        }
    }

    /// The engines that it consists of. A cache has no replica: memcached knows no replication,
    /// so a Memcache pair is one engine that is restarted when it dies.
    pub fn members(&self) -> &'static [Member] {
        match (self.instance_type, self.node_type) {
            (InstanceType::Redis, NodeType::MasterSlave) => &[Member::First, Member::Second],
            (InstanceType::Redis, NodeType::StandAlone) | (InstanceType::Memcache, _) => {
                &[Member::First]
            }
        }
    }

    /// Whether it consists of two engines.
    pub fn is_pair(&self) -> bool {
        self.members().len() == 2
    }

    /// The engine that follows the master, where there are two.
    pub fn replica(&self) -> Option<Member> {
        self.is_pair().then(|| self.lead.master.other())
    }
}

/// What a substrate sees of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether anything of it is kept: a directory, a claim.
    pub prepared: bool,
    /// The engines that run, proven to be this instance's own.
    pub running: BTreeMap<Member, Health>,
    /// Which restore the data in force came from; 0 where it began empty.
    pub dataset: i64,
    /// Which restore the data is for that lies beside it, whole.
    pub staged: Option<i64>,
    /// Whether there is something for [`Substrate::tidy`] to remove.
    pub untidy: bool,
    /// The last decision about its master that was written down here.
    pub lead: Lead,
}

/// How a running engine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It runs and does not answer its admin login yet.
    Starting,
    /// It answers its admin login.
    Answering,
    /// It answers and follows its master over a live link.
    Linked,
    /// It answers and is not at its post, by the latest decision that the unit or the place knows:
    /// the master that is nobody's address or follows somebody, the replica that holds the address
    /// or calls itself a master.
    Astray,
}

/// A place where engines run.
#[async_trait]
pub trait Substrate: Send + Sync + 'static {
    /// What there is of an instance. Adopts engines that outlived an earlier control plane, after
    /// proof that they are its own; never touches anything else.
    async fn observe(&self, unit: &Unit) -> Result<Seen, Trouble>;

    /// Makes the place for its data.
    async fn prepare(&self, unit: &Unit) -> Result<(), Trouble>;

    /// Starts one engine at its post, as the master at the address or as a replica, and returns
    /// when it answers its admin login with the limits and parameters that were asked for, read
    /// back.
    async fn start(&self, unit: &Unit, member: Member) -> Result<(), Trouble>;

    /// Returns when the replica follows the master over a live link.
    async fn link(&self, unit: &Unit) -> Result<(), Trouble>;

    /// Logs in at the returned address exactly as the tenant would and gets a PONG; without a
    /// password, proves that the engine is there and lets nobody in.
    async fn login(&self, unit: &Unit) -> Result<(), Trouble>;

    /// Stops one engine and returns when it is gone for certain. `Stop::Keep` lets it write its
    /// data first.
    async fn stop(&self, unit: &Unit, member: Member, stop: Stop) -> Result<(), Trouble>;

    /// Has an engine save its data while it serves: the replica where it follows the master, else
    /// the master. Returns when the save has begun.
    async fn save(&self, unit: &Unit) -> Result<Saving, Trouble>;

    /// Removes what a save left that was interrupted, and ends it where it still runs.
    async fn forget_save(&self, unit: &Unit) -> Result<(), Trouble>;

    /// Puts data beside the data in force, as a whole or not at all, whatever ends in between.
    /// Engines may run meanwhile. Replaces what was staged before. Where it replaces no data, a
    /// machine that ends before an engine has started on it may leave nothing of it.
    async fn stage(&self, unit: &Unit, staging: Staging) -> Result<(), Trouble>;

    /// Has a throw-away engine load what is staged.
    async fn prove_staged(&self, unit: &Unit, serial: i64) -> Result<Loaded, Trouble>;

    /// Has a throw-away engine load data, which leaves no trace.
    async fn prove(&self, specimen: Specimen) -> Result<Loaded, Trouble>;

    /// Makes the staged data the data in force, at one instant, and sets aside what was. The
    /// engines are stopped.
    async fn swap(&self, unit: &Unit, serial: i64) -> Result<(), Trouble>;

    /// Removes data that is staged or was set aside. Of an instance whose engine keeps no data,
    /// also the file that it loaded: what is over must not come back after a crash.
    async fn tidy(&self, unit: &Unit) -> Result<(), Trouble>;

    /// What was last kept by [`Self::keep_manifest`], if anything.
    async fn manifest(&self, unit: &Unit) -> Result<Option<Vec<u8>>, Trouble>;

    /// Keeps a text beside the instance's data, as a whole and durably, in place of the one before.
    /// False, and it is not kept, where nothing is kept of the instance.
    async fn keep_manifest(&self, unit: &Unit, text: &[u8]) -> Result<bool, Trouble>;

    /// Removes all that is kept of an instance whose engines are stopped.
    async fn remove(&self, unit: &Unit) -> Result<(), Trouble>;

    /// Every instance that something is kept or running of, known to the store or not.
    async fn inventory(&self) -> Result<Vec<InstanceId>, Trouble>;

    /// What the engines know of each other, and what they have. Quick: a decision waits for it.
    /// An engine that does not answer within a fraction of a second has no replication.
    async fn standing(&self, unit: &Unit) -> Result<BTreeMap<Member, Standing>, Trouble>;

    /// The sign of life that an engine gives, by two independent ways at once where it holds the
    /// address: its admin socket and the address itself. Takes about a second at most.
    async fn pulse(&self, unit: &Unit, member: Member) -> Result<Pulse, Trouble>;

    /// Ends one engine at once, also one that hangs, and returns when it is proven to be gone and
    /// with it whatever it held. Nothing is reported by [`Self::deaths`].
    async fn fence(&self, unit: &Unit, member: Member) -> Result<(), Trouble>;

    /// Writes the unit's lead down, durably. Never replaces a later decision with an earlier one:
    /// that is an error.
    async fn declare(&self, unit: &Unit) -> Result<(), Trouble>;

    /// Has the engine of the unit's master, which runs, follow nobody and then hold the address.
    /// Nobody else does when this is called.
    async fn promote(&self, unit: &Unit) -> Result<(), Trouble>;

    /// Has the former master, which runs, leave the address, close the sessions of clients and
    /// follow the unit's master. It may be ended instead.
    async fn demote(&self, unit: &Unit, member: Member) -> Result<(), Trouble>;

    /// Has an engine make clients wait that want to write, until that time is over or
    /// [`Self::resume_writes`] is called.
    async fn pause_writes(
        &self,
        unit: &Unit,
        member: Member,
        limit: Duration,
    ) -> Result<(), Trouble>;

    /// Lets clients write again.
    async fn resume_writes(&self, unit: &Unit, member: Member) -> Result<(), Trouble>;

    /// Has every engine that runs take the tenant's wanted password, and proves it by a login to
    /// each. Former ones stay good where an engine knows several. Nobody is disconnected.
    async fn admit_password(&self, unit: &Unit) -> Result<(), Trouble>;

    /// Has every engine that runs refuse all passwords of the tenant but the wanted one. Nobody is
    /// disconnected.
    async fn dismiss_passwords(&self, unit: &Unit) -> Result<(), Trouble>;

    /// Instances of which an engine ended, as it happens.
    fn deaths(&self) -> broadcast::Receiver<InstanceId>;
}

/// What an engine is stopped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its data stays.
    Keep,
    /// Its data goes.
    Discard,
}
