//! How an engine does, at a glance: whatever does not answer soon is taken to be starting.

use std::time::Duration;

use tokio::net::UnixStream;

use super::member::Running;
use super::{Health, Inner, Kind, Member, Trouble, Unit, log};
use crate::engine::full;
use crate::engine::memcached::{Answer, Client};
use crate::engine::redis_admin::{Admin, Pong, Post, dial};

/// How long an answer may take.
const GLANCE: Duration = Duration::from_secs(2);

impl Inner {
    /// How a member's engine does; `None` when it does not run.
    pub(super) async fn health(
        &self,
        unit: &Unit,
        member: Member,
    ) -> Result<Option<Health>, Trouble> {
        let Some(running) = self.look(unit, member).await? else {
            return Ok(None);
        };
        if let Err(error) = log::bound(&self.layout.member(unit, member)) {
            tracing::warn!(instance = %unit.id, %error, "cannot cut an engine's log");
        }
        let glance = async {
            match running.binary.kind {
                Kind::Memcached => glance_at_memcached(unit, &running).await,
                Kind::Redis | Kind::Valkey => self.glance_at_redis(unit, member, &running).await,
            }
        };
        let health = tokio::time::timeout(GLANCE, glance).await.ok().flatten();
        Ok((!running.process.is_over()).then_some(health.unwrap_or(Health::Starting)))
    }

    async fn glance_at_redis(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
    ) -> Option<Health> {
        let stream = dial(&self.layout.member(unit, member), running.process.pid()).ok()?;
        let mut stream = UnixStream::from_std(stream).ok()?;
        if full::is_full(&mut stream).await.ok()? {
            return Some(Health::Answering);
        }
        let mut admin = Admin::over(stream, &unit.secrets, &running.binary).await.ok()?;
        match admin.ping().await.ok()? {
            Pong::Loading => None,
            // It is alive and will go on.
            Pong::Busy => Some(Health::Answering),
            // It serves only once it also keeps what it is told.
            Pong::Ready if self.is_unsettled(unit, member).ok()? => None,
            Pong::Ready => {
                let post = admin.post().await.ok()?;
                self.see_to_disk(unit, member, running, &post, &mut admin).await;
                Some(health(&post, unit, member))
            }
        }
    }
}

/// How an engine that answers does what the lead in force wants of it.
pub(super) fn health(post: &Post, unit: &Unit, member: Member) -> Health {
    if member == unit.lead.master {
        let at_post = post.is_master && post.listens_on(unit.address);
        return if at_post { Health::Answering } else { Health::Astray };
    }
    match post {
        Post { is_master: true, .. } => Health::Astray,
        replica if replica.listens() => Health::Astray,
        Post { is_linked: true, .. } => Health::Linked,
        _ => Health::Answering,
    }
}

async fn glance_at_memcached(unit: &Unit, running: &Running) -> Option<Health> {
    let stream = running.connect(unit.address).await.ok()??;
    let version = Client::over(stream).version().await.ok()?;
    matches!(version, Answer::Ok | Answer::Full).then_some(Health::Answering)
}
