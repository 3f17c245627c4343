//! Instances: what was asked for, what state they are in, what may happen next.

mod kind;
pub mod name;
pub mod password;
pub mod phase;
mod role;
mod secrets;

use std::net::Ipv4Addr;

use jiff::Timestamp;

pub use kind::{ChargeType, EngineVersion, InstanceType, NetworkType, NodeType};
pub use phase::{Intent, Observed, Pending, Phase, Status};
pub use role::{Lead, Member, Role, SwitchWish};
pub use secrets::{PasswordChange, Secrets, Stride};

use self::name::InstanceName;
use crate::backup::BackupId;
use crate::billing::period::Months;
use crate::event::{Event, EventKind};
use crate::ids::{AccountId, InstanceId, NodeId, RegionId, VSwitchId, VpcId, ZoneId};
use crate::parameter::Parameters;

/// One instance, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id; also the name of its default login.
    pub id: InstanceId,
    /// Who owns and pays for it.
    pub account: AccountId,
    /// The machine whose control plane runs its engines.
    pub node: NodeId,
    /// Tells this instance's directory and engines from any other's, for its whole life.
    pub nonce: String,
    /// When its creation was acknowledged.
    pub created_at: Timestamp,
    /// The name that the caller gave, if any.
    pub name: Option<InstanceName>,
    /// Where it is.
    pub region: RegionId,
    /// Where in the region it is.
    pub zone: ZoneId,
    /// What was bought.
    pub spec: Spec,
    /// Where it can be reached.
    pub endpoint: Endpoint,
    /// The engine parameters that were asked for, over the defaults.
    pub parameters: Parameters,
    /// How it is paid for.
    pub charge: Charge,
    /// What it should be.
    pub intent: Intent,
    /// Raised by every change of what the instance should be.
    pub generation: i64,
    /// What it was last seen to be.
    pub observed: Observed,
    /// Which set of data is in force: the serial of the restore that put it there, 0 if it was
    /// started empty.
    pub dataset: i64,
    /// The restore that is to be done, if any.
    pub restore: Option<Restore>,
    /// Which of its engines is the master, and whether that is to change.
    pub role: Role,
}

impl Instance {
    /// The state shown to its owner; `None` when it is gone for them.
    pub fn status(&self) -> Option<Status> {
        Status::of(self.intent, &self.observed.phase, self.pending())
    }

    /// What is to be done about it while it serves.
    pub fn pending(&self) -> Pending {
        match (&self.restore, &self.role.switch) {
            (Some(_), _) => Pending::Restore,
            (None, Some(_)) => Pending::Switch,
            (None, None) => Pending::Nothing,
        }
    }

    /// Whether there are data that a backup can be taken of. An engine that is not running has
    /// some only where they are on the disk: one without a replica promises none. While other
    /// data are being put in their place, it can't be said which ones these would be.
    pub fn has_data(&self) -> bool {
        let kept = self.spec.node_type == NodeType::MasterSlave;
        self.spec.instance_type == InstanceType::Redis
            && self.restore.is_none()
            && match self.observed.phase {
                Phase::Normal => true,
                Phase::Unavailable { .. } | Phase::Inactive => kept,
                Phase::Creating { .. } => false,
            }
    }
}

/// An instance's data are to be replaced by those of a backup; a new instance begins with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// Names the set of data that will be in force; each restore of an instance has its own.
    pub serial: i64,
    /// Where the data come from.
    pub backup: BackupId,
    /// When it was acknowledged.
    pub requested_at: Timestamp,
}

impl Restore {
    /// The line of the journal with which it begins.
    pub fn begun(&self, instance: &InstanceId) -> Event {
        Event {
            instance: instance.clone(),
            at: self.requested_at,
            kind: EventKind::RestoreBegun,
            detail: format!("restore {} from backup {}", self.serial, self.backup),
        }
    }
}

/// What was bought. Frozen at creation: a later change of the catalogue changes no instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The code of the class, e.g. `redis.master.small.default`.
    pub class: String,
    /// Redis or Memcache.
    pub instance_type: InstanceType,
    /// One engine or a pair.
    pub node_type: NodeType,
    /// The level of compatibility asked for.
    pub version: EngineVersion,
    /// Memory in MB.
    pub capacity_mb: i64,
    /// Bandwidth in MB/s, each direction.
    pub bandwidth_mbps: i64,
    /// Client connections allowed.
    pub connections: i64,
    /// Operations per second, a reference value.
    pub qps: i64,
}

/// Where an instance can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The network it hangs on.
    pub network: Network,
    /// The address that the API reports, out of the vSwitch or the classic pool.
    pub private_ip: Ipv4Addr,
    /// The address that the engine listens on: the same, unless this machine can't serve it.
    pub serving_ip: Ipv4Addr,
    /// The documented service port.
    pub port: u16,
    /// The name that the built-in DNS server answers with the serving address.
    pub domain: String,
}

/// The network that an instance hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The shared classic network.
    Classic,
    /// A subnet of a virtual private cloud.
    Vpc {
        /// The cloud.
        vpc: VpcId,
        /// The subnet.
        vswitch: VSwitchId,
    },
}

impl Network {
    /// The word on the wire.
    pub fn kind(&self) -> NetworkType {
        match self {
            Self::Classic => NetworkType::Classic,
            Self::Vpc { .. } => NetworkType::Vpc,
        }
    }
}

/// How an instance is paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charge {
    /// By the hour; there is no end.
    PostPaid,
    /// Until `end`, in advance.
    PrePaid {
        /// When the paid time ends; at 16:00:00Z, midnight in China.
        end: Timestamp,
        /// Months to renew by, seven days before the end; `None` where renewal is off.
        auto_renew: Option<Months>,
    },
}

impl Charge {
    /// The word on the wire.
    pub fn kind(&self) -> ChargeType {
        match self {
            Self::PostPaid => ChargeType::PostPaid,
            Self::PrePaid { .. } => ChargeType::PrePaid,
        }
    }
}
