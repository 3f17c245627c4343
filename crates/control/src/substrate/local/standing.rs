//! What the engines of a pair have, asked for in a fraction of a second.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use tokio::net::UnixStream;

use super::member::Running;
use super::{Inner, Kind, Member, Trouble, Unit, blocking, kept, machine};
use crate::engine::redis_admin::{Accounts, Admin, dial};
use crate::engine::redis_conf;
use crate::substrate::{Link, Replication, Standing};

/// How long an answer may take. Somebody waits for the decision that it is asked for.
const ANSWER: Duration = Duration::from_millis(200);
/// A link that was never up counts the seconds since 1970 before 6.2.
const NEVER: u64 = 1_000_000_000;

impl Inner {
    /// The standing of each engine.
    pub(super) async fn standing(
        &self,
        unit: &Unit,
    ) -> Result<BTreeMap<Member, Standing>, Trouble> {
        let members = unit.members().iter();
        let all = members.clone().map(|member| self.standing_of(unit, *member));
        members.copied().zip(join_all(all).await).map(|(member, it)| Ok((member, it?))).collect()
    }

    async fn standing_of(&self, unit: &Unit, member: Member) -> Result<Standing, Trouble> {
        let directory = self.layout.member(unit, member);
        let loads_dump = !redis_conf::keeps_data(unit)
            || self.pending(unit, member)?.is_some_and(|mark| mark.form == super::mark::Form::Dump);
        let disk = blocking(move || {
            kept::in_directory(&directory, loads_dump).map_err(machine("looking at its data"))
        });
        let (disk, running) = tokio::join!(disk, self.look(unit, member));
        let replication = match running? {
            Some(running) => self.replication(unit, member, &running).await,
            None => None,
        };
        Ok(Standing { replication, disk: disk? })
    }

    /// What it says; `None` where it does not in time.
    async fn replication(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
    ) -> Option<Replication> {
        if running.binary.kind == Kind::Memcached {
            return None;
        }
        if let Some(accounts) = running.silenced() {
            return Some(replication(&accounts));
        }
        let asked = self.accounts(unit, member, running);
        let accounts = tokio::time::timeout(ANSWER, asked).await.ok()??;
        Some(replication(&accounts))
    }

    /// What a running engine tells, without any patience.
    pub(super) async fn accounts(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
    ) -> Option<Accounts> {
        let stream = dial(&self.layout.member(unit, member), running.process.pid()).ok()?;
        let stream = UnixStream::from_std(stream).ok()?;
        let mut admin = Admin::over(stream, &unit.secrets, &running.binary).await.ok()?;
        admin.ping().await.ok()?;
        admin.accounts().await.ok()
    }
}

/// What an engine's answers mean.
pub(super) fn replication(accounts: &Accounts) -> Replication {
    let told = &accounts.replication;
    let is_master = told.field("role") == Some("master");
    let link = if is_master {
        Link::Master
    } else if told.number("master_sync_in_progress") != 0 {
        Link::Syncing
    } else if told.field("master_link_status") == Some("up") {
        Link::Up
    } else {
        // -1 is no number here.
        let down = told.field("master_link_down_since_seconds");
        match down.and_then(|seconds| seconds.parse::<u64>().ok()) {
            Some(seconds) if seconds < NEVER => Link::Down(Duration::from_secs(seconds)),
            _ => Link::Never,
        }
    };
    let offset = told.field(if is_master { "master_repl_offset" } else { "slave_repl_offset" });
    Replication {
        history: told.field("master_replid").unwrap_or_default().to_owned(),
        offset: offset.and_then(|offset| offset.parse().ok()).unwrap_or(0),
        link,
        keys: accounts.keyspace.keyspace().keys,
        loading: accounts.persistence.is_loading(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::info::Info;

    fn link(told: &str) -> Link {
        let replication = Info::of(told.replace(' ', "\r\n"));
        super::replication(&Accounts { replication, ..Accounts::default() }).link
    }

    #[test]
    fn a_link_that_was_never_up_is_told_from_one_that_broke() {
        let replica = |more: &str| link(&format!("role:slave master_link_status:down {more}"));
        assert_eq!(link("role:master"), Link::Master);
        assert_eq!(link("role:slave master_link_status:up master_sync_in_progress:0"), Link::Up);
        assert_eq!(replica("master_sync_in_progress:1"), Link::Syncing);
        assert_eq!(replica("master_link_down_since_seconds:3"), Link::Down(Duration::from_secs(3)));
        assert_eq!(replica("master_link_down_since_seconds:-1"), Link::Never);
        assert_eq!(replica("master_link_down_since_seconds:1795453302"), Link::Never);
        assert_eq!(replica(""), Link::Never);
    }

    #[test]
    fn each_role_has_its_own_offset() {
        let told = |role| Accounts {
            replication: Info::of(format!(
                "role:{role}\r\nmaster_replid:abc\r\nslave_repl_offset:5\r\nmaster_repl_offset:9\r\n"
            )),
            keyspace: Info::of("db0:keys=3,expires=0\r\n".into()),
            persistence: Info::of("loading:0\r\n".into()),
        };
        assert_eq!(replication(&told("slave")).offset, 5);
        let master = replication(&told("master"));
        assert_eq!((master.offset, master.keys, master.loading), (9, 3, false));
        assert_eq!(master.history, "abc");
    }
}
