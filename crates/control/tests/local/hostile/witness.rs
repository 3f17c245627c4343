//! What must be the same after everything that a tenant tried.

use std::collections::BTreeMap;

use ourkv_control::engine::{Binary, rename};
use ourkv_control::substrate::local::Local;
use ourkv_control::substrate::{Health, Member, Substrate, Unit};
use redis::aio::MultiplexedConnection;

use super::super::ground::{ADMIN, Ground, PASSWORD, client, run};

/// Taken before an attack, asked after it.
pub(super) struct Witness {
    binary: Binary,
    pids: Vec<(Member, i32)>,
    settings: BTreeMap<String, String>,
    users: Vec<String>,
}

impl Witness {
    pub(super) async fn of(ground: &Ground, binary: &Binary, unit: &Unit) -> Self {
        let members = unit.members().iter();
        Self {
            binary: binary.clone(),
            pids: members.map(|member| (*member, ground.pid(unit, *member))).collect(),
            settings: settings(binary, unit).await,
            users: users(binary, unit).await,
        }
    }

    /// The same processes with the same settings and users; ourkv gets in, and so does the tenant;
    /// the replica follows.
    pub(super) async fn finds_nothing_changed(&self, ground: &Ground, local: &Local, unit: &Unit) {
        let binary = &self.binary;
        for (member, pid) in &self.pids {
            assert_eq!(ground.pid(unit, *member), *pid, "{binary}: {member}");
        }
        assert_eq!(settings(binary, unit).await, self.settings, "{binary}");
        assert_eq!(users(binary, unit).await, self.users, "{binary}");
        local.link(unit).await.unwrap();
        local.login(unit).await.unwrap();
        let seen = local.observe(unit).await.unwrap();
        assert_eq!(seen.running[&Member::First], Health::Answering, "{binary}");
        let second = seen.running.get(&Member::Second);
        assert!(second.is_none_or(|health| *health == Health::Linked), "{binary}");
    }
}

/// A connection that may run everything.
pub(super) async fn admin(binary: &Binary, unit: &Unit) -> MultiplexedConnection {
    let mut admin = client(unit, None).await.unwrap();
    let login = if binary.has_acl() {
        format!("AUTH cp_admin {ADMIN}")
    } else {
        format!("AUTH {PASSWORD}")
    };
    run(&mut admin, &login).await.unwrap();
    admin
}

async fn settings(binary: &Binary, unit: &Unit) -> BTreeMap<String, String> {
    let config = if binary.has_acl() {
        "CONFIG".to_owned()
    } else {
        rename::secret_name("config", &unit.secrets).expose().to_owned()
    };
    let mut admin = admin(binary, unit).await;
    redis::cmd(&config).arg("GET").arg("*").query_async(&mut admin).await.unwrap()
}

async fn users(binary: &Binary, unit: &Unit) -> Vec<String> {
    if !binary.has_acl() {
        return Vec::new();
    }
    let mut admin = admin(binary, unit).await;
    redis::cmd("ACL").arg("LIST").query_async(&mut admin).await.unwrap()
}
