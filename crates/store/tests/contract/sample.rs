//! Things to store.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use ourkv_domain::access_key::AccessKey;
use ourkv_domain::account::Account;
use ourkv_domain::billing::Money;
use ourkv_domain::ids::{
    AccessKeyId, AccountId, InstanceId, NodeId, RegionId, VSwitchId, VpcId, ZoneId,
};
use ourkv_domain::instance::name::InstanceName;
use ourkv_domain::instance::{
    Charge, Endpoint, EngineVersion, Instance, InstanceType, Intent, Network, NodeType, Observed,
    Phase, Role, Secrets, Spec,
};
use ourkv_domain::network::{VSwitch, Vpc};
use ourkv_domain::parameter::Parameters;
use ourkv_domain::secret::Secret;
use ourkv_store::{StoreError, Tx};

/// Seconds after an arbitrary beginning.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_600_000_000 + seconds).unwrap()
}

pub(crate) fn account_id() -> AccountId {
    AccountId::parse("1000000000000001").unwrap()
}

pub(crate) fn account() -> Account {
    Account {
        id: account_id(),
        name: "root".into(),
        balance: Money::from_micros(5_000_000),
        real_name: true,
        payment_method: false,
        finance: true,
        postpaid_quota: 30,
        postpaid_quota_per_region: 10,
        arrears_since: None,
        created_at: at(0),
    }
}

pub(crate) fn access_key() -> AccessKey {
    AccessKey {
        id: AccessKeyId::parse("LTAItest").unwrap(),
        secret: Secret::from("a-very-secret-key"),
        account: account_id(),
        active: true,
        calls_per_second: Some(100),
        created_at: at(1),
    }
}

pub(crate) fn vpc() -> Vpc {
    Vpc {
        id: VpcId::parse("vpc-a").unwrap(),
        account: account_id(),
        region: region(),
        cidr: "172.16.0.0/12".parse().unwrap(),
        name: "office".into(),
    }
}

pub(crate) fn vswitch() -> VSwitch {
    VSwitch {
        id: VSwitchId::parse("vsw-a").unwrap(),
        vpc: vpc().id,
        account: account_id(),
        zone: zone(),
        cidr: "172.16.1.0/24".parse().unwrap(),
        name: "floor".into(),
    }
}

pub(crate) fn region() -> RegionId {
    RegionId::parse("cn-hongkong").unwrap()
}

pub(crate) fn zone() -> ZoneId {
    ZoneId::parse("cn-hongkong-b").unwrap()
}

pub(crate) fn node() -> NodeId {
    NodeId::parse("node-a").unwrap()
}

pub(crate) fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

/// An hourly-paid Redis on the classic network that was just acknowledged.
pub(crate) fn instance(name: &str) -> Instance {
    Instance {
        id: id(name),
        account: account_id(),
        node: node(),
        nonce: format!("nonce-{name}"),
        created_at: at(10),
        name: None,
        region: region(),
        zone: zone(),
        spec: Spec {
            class: "redis.master.small.default".into(),
            instance_type: InstanceType::Redis,
            node_type: NodeType::MasterSlave,
            version: EngineVersion::V4_0,
            capacity_mb: 1024,
            bandwidth_mbps: 10,
            connections: 10_000,
            qps: 100_000,
        },
        endpoint: Endpoint {
            network: Network::Classic,
            private_ip: Ipv4Addr::new(10, 0, 0, 1),
            serving_ip: Ipv4Addr::new(127, 20, 0, 1),
            port: 6379,
            domain: format!("{name}.redis.rds.aliyuncs.com"),
        },
        parameters: Parameters::parse_config(
            r#"{"EvictionPolicy":"allkeys-lru"}"#,
            InstanceType::Redis,
            EngineVersion::V4_0,
        )
        .unwrap(),
        charge: Charge::PostPaid,
        intent: Intent::Run,
        generation: 1,
        observed: Observed {
            phase: Phase::Creating { trouble: None },
            generation: 0,
            since: at(10),
        },
        dataset: 0,
        restore: None,
        role: Role::default(),
    }
}

/// The same on a VPC, as a named, prepaid Memcache.
pub(crate) fn prepaid(name: &str) -> Instance {
    let base = instance(name);
    Instance {
        name: Some(InstanceName::parse("Ab_100%测试").unwrap()),
        spec: Spec {
            class: "memcache.master.small.default".into(),
            instance_type: InstanceType::Memcache,
            node_type: NodeType::StandAlone,
            version: EngineVersion::V2_8,
            ..base.spec
        },
        endpoint: Endpoint {
            network: Network::Vpc { vpc: vpc().id, vswitch: vswitch().id },
            private_ip: Ipv4Addr::new(172, 16, 1, 1),
            ..base.endpoint
        },
        parameters: Parameters::defaults(InstanceType::Memcache, EngineVersion::V2_8),
        charge: Charge::PrePaid {
            end: at(1_000),
            auto_renew: Some(ourkv_domain::billing::Period::parse("3").unwrap().months()),
        },
        ..base
    }
}

pub(crate) fn secrets() -> Secrets {
    Secrets {
        password: Some(Secret::from("tenant-Passw0rd")),
        admin: Secret::from("admin-secret-text"),
        replication: Secret::from("replication-secret-text"),
        change: None,
    }
}

/// Stores an account and a network for instances to hang on.
pub(crate) fn lay_ground(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.insert_account(&account())?;
    tx.insert_vpc(&vpc())?;
    tx.insert_vswitch(&vswitch())
}
