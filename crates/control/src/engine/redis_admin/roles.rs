//! Orders and questions about an engine's role: master at an address, or replica without one.

use std::net::SocketAddrV4;
use std::time::Duration;

use redis::Pipeline;

use super::{Admin, AdminError};
use crate::engine::info::Info;

/// What an engine does for its instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// It follows nobody.
    pub is_master: bool,
    /// It follows its master over a live link.
    pub is_linked: bool,
    /// Section `persistence` of what it tells about itself.
    pub persistence: Info,
    port: u16,
    bind: String,
}

/// What an engine tells about all that a decision is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Section `replication`.
    pub replication: Info,
    /// Section `keyspace`.
    pub keyspace: Info,
    /// Section `persistence`.
    pub persistence: Info,
}

impl Post {
    /// Whether clients that connect there reach it.
    pub fn listens_on(&self, address: SocketAddrV4) -> bool {
        let ip = address.ip().to_string();
        self.port == address.port() && self.bind.split_whitespace().any(|bound| bound == ip)
    }

    /// Whether clients reach it anywhere.
    pub fn listens(&self) -> bool {
        self.port != 0
    }
}

impl Admin {
    /// What it does now.
    pub async fn post(&mut self) -> Result<Post, AdminError> {
        let config = self.names.of("config");
        let mut questions = Pipeline::new();
        questions.cmd("INFO").arg("replication").cmd("INFO").arg("persistence");
        for setting in ["port", "bind"] {
            questions.cmd(&config).arg("GET").arg(setting);
        }
        let (replication, persistence, port, bind): (String, String, Vec<String>, Vec<String>) =
            questions.query_async(&mut self.connection).await?;
        let replication = Info::of(replication);
        let value = |answer: Vec<String>| answer.into_iter().nth(1).unwrap_or_default();
        Ok(Post {
            is_master: replication.field("role") == Some("master"),
            is_linked: replication.field("master_link_status") == Some("up"),
            persistence: Info::of(persistence),
            port: value(port).parse().unwrap_or(0),
            bind: value(bind),
        })
    }

    /// What it tells of its history and its data; also while it reads them.
    pub async fn accounts(&mut self) -> Result<Accounts, AdminError> {
        let mut questions = Pipeline::new();
        for section in ["replication", "keyspace", "persistence"] {
            questions.cmd("INFO").arg(section);
        }
        let (replication, keyspace, persistence): (String, String, String) =
            questions.query_async(&mut self.connection).await?;
        Ok(Accounts {
            replication: Info::of(replication),
            keyspace: Info::of(keyspace),
            persistence: Info::of(persistence),
        })
    }

    /// Has it follow nobody.
    pub async fn lead(&mut self) -> Result<(), AdminError> {
        self.replicate("NO", "ONE").await
    }

    /// Has it follow the master at an address.
    pub async fn follow(&mut self, master: SocketAddrV4) -> Result<(), AdminError> {
        self.replicate(&master.ip().to_string(), &master.port().to_string()).await
    }

    /// Has it listen on an address (6.2 and later). An error where that is not free; it listens
    /// where it did before then.
    pub async fn listen_on(&mut self, address: SocketAddrV4) -> Result<(), AdminError> {
        // In this order and one by one: without an address of its own it would listen on all.
        self.configure("bind", &address.ip().to_string()).await?;
        self.configure("port", &address.port().to_string()).await
    }

    /// Has it listen nowhere (6.2 and later). Sessions stay.
    pub async fn listen_nowhere(&mut self) -> Result<(), AdminError> {
        self.configure("port", "0").await
    }

    /// Ends the sessions of all clients, other administrators included, and not those of replicas.
    pub async fn end_sessions(&mut self) -> Result<(), AdminError> {
        let client = self.names.of("client");
        let mut orders = Pipeline::new();
        for kind in ["normal", "pubsub"] {
            orders.cmd(&client).arg("KILL").arg("TYPE").arg(kind).ignore();
        }
        Ok(orders.query_async::<()>(&mut self.connection).await?)
    }

    /// Has clients wait that want to write (6.2 and later).
    pub async fn pause_writes(&mut self, limit: Duration) -> Result<(), AdminError> {
        let mut order = redis::cmd(&self.names.of("client"));
        order.arg("PAUSE").arg(milliseconds(limit)).arg("WRITE");
        Ok(order.query_async::<()>(&mut self.connection).await?)
    }

    /// Lets all clients go on (6.2 and later).
    pub async fn resume(&mut self) -> Result<(), AdminError> {
        let mut order = redis::cmd(&self.names.of("client"));
        Ok(order.arg("UNPAUSE").query_async::<()>(&mut self.connection).await?)
    }

    /// Has all clients wait, this one included (3.0 to 6.0): no way back before the time is over.
    /// Tells how its replication stands from then on.
    pub async fn pause_all(&mut self, limit: Duration) -> Result<Accounts, AdminError> {
        let mut both = Pipeline::new();
        both.atomic();
        both.cmd(&self.names.of("client")).arg("PAUSE").arg(milliseconds(limit)).ignore();
        for section in ["replication", "keyspace", "persistence"] {
            both.cmd("INFO").arg(section);
        }
        let (replication, keyspace, persistence): (String, String, String) =
            both.query_async(&mut self.connection).await?;
        Ok(Accounts {
            replication: Info::of(replication),
            keyspace: Info::of(keyspace),
            persistence: Info::of(persistence),
        })
    }

    /// Refuses writes until that many replicas follow; 0 refuses none. Scripts are not asked
    /// before 7.0.
    pub async fn write_only_with(&mut self, replicas: u32) -> Result<(), AdminError> {
        self.configure("min-slaves-to-write", &replicas.to_string()).await
    }

    /// Has clients wait that want to write, for that long at most, while it leaves the file that it
    /// appends to and begins another one (7.0 and later).
    pub async fn reopen(&mut self, limit: Duration) -> Result<(), AdminError> {
        let (client, config) = (self.names.of("client"), self.names.of("config"));
        let mut orders = Pipeline::new();
        orders.cmd(&client).arg("PAUSE").arg(milliseconds(limit)).arg("WRITE").ignore();
        for state in ["no", "yes"] {
            orders.cmd(&config).arg("SET").arg("appendonly").arg(state).ignore();
        }
        Ok(orders.query_async::<()>(&mut self.connection).await?)
    }

    /// Has it write the file that it appends to anew.
    pub async fn rewrite(&mut self) -> Result<(), AdminError> {
        let order = redis::cmd(&self.names.of("bgrewriteaof"));
        Ok(order.query_async::<()>(&mut self.connection).await?)
    }

    pub(super) async fn configure(&mut self, setting: &str, value: &str) -> Result<(), AdminError> {
        let mut order = redis::cmd(&self.names.of("config"));
        order.arg("SET").arg(setting).arg(value);
        Ok(order.query_async::<()>(&mut self.connection).await?)
    }

    /// Every version knows the command by its first name.
    async fn replicate(&mut self, host: &str, port: &str) -> Result<(), AdminError> {
        let mut order = redis::cmd(&self.names.of("slaveof"));
        Ok(order.arg(host).arg(port).query_async::<()>(&mut self.connection).await?)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_listens_elsewhere_is_not_at_its_address() {
        let post = |port, bind: &str| Post {
            is_master: true,
            is_linked: false,
            persistence: Info::default(),
            port,
            bind: bind.to_owned(),
        };
        let address = "127.9.8.7:6379".parse().unwrap();
        assert!(post(6379, "127.9.8.7").listens_on(address));
        assert!(post(6379, "127.0.0.1 127.9.8.7").listens_on(address));
        assert!(!post(6379, "127.9.8.77").listens_on(address));
        assert!(!post(6380, "127.9.8.7").listens_on(address));
        assert!(!post(0, "127.9.8.7").listens_on(address));
        assert!(!post(0, "127.9.8.7").listens());
    }
}
