//! The sign of life of one engine: two questions that have nothing in common but the engine.
//!
//! An engine that works is not dead, however long it takes: where neither is answered, its
//! processor time tells. One that is stopped by a signal does not work, whatever it did before.

use std::net::SocketAddrV4;
use std::time::Duration;

use procfs::process::ProcState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::member::Running;
use super::standing::replication;
use super::{Inner, Kind, Member, Pulse, Trouble, Unit, silence};
use crate::engine::full;
use crate::engine::memcached::Client;
use crate::engine::redis_admin::{Admin, Pong, dial};
use crate::substrate::Link;

/// How long an answer may take.
const BEAT: Duration = Duration::from_secs(1);

/// What an admin connection told.
enum Told {
    Alive(Option<(String, i64)>),
    Busy,
}

/// What the kernel knows of a process's work.
struct Work {
    /// Processor time, in clock ticks.
    ticks: u64,
    state: Option<ProcState>,
}

impl Inner {
    /// The sign of life of a member's engine.
    pub(super) async fn pulse(&self, unit: &Unit, member: Member) -> Result<Pulse, Trouble> {
        let Some(running) = self.look(unit, member).await? else {
            return Ok(Pulse::Gone);
        };
        if running.silenced().is_some() {
            // It answers nobody because it was told so.
            return Ok(Pulse::Busy);
        }
        let (before, asked) = (work(&running), silence::now());
        let admin = within(self.ask_as_admin(unit, member, &running));
        let client = async {
            if member == unit.lead.master {
                within(ask_as_client(unit.address, &running)).await
            } else {
                None
            }
        };
        let (admin, client) = tokio::select! {
            () = running.process.ended() => return Ok(Pulse::Gone),
            answers = both(admin, client) => answers,
        };
        let sign = match (admin, client) {
            (Some(Told::Alive(said)), _) => Pulse::Answers(said),
            (Some(Told::Busy), _) => Pulse::Busy,
            (None, Some(())) => Pulse::Answers(None),
            (None, None) => match (before, work(&running)) {
                (Some(before), Some(after)) if works(&before, &after) => Pulse::Busy,
                _ if running.process.is_over() => return Ok(Pulse::Gone),
                _ => {
                    let silence = self.is_silent(unit, member, &running, asked).await;
                    return Ok(Pulse::Silent(silence));
                }
            },
        };
        self.gives_a_sign(unit, member, &running).await;
        Ok(sign)
    }

    async fn ask_as_admin(&self, unit: &Unit, member: Member, running: &Running) -> Option<Told> {
        if running.binary.kind == Kind::Memcached {
            return None;
        }
        let stream = dial(&self.layout.member(unit, member), running.process.pid()).ok()?;
        let mut stream = UnixStream::from_std(stream).ok()?;
        if full::is_full(&mut stream).await.ok()? {
            return Some(Told::Alive(None));
        }
        let mut admin = Admin::over(stream, &unit.secrets, &running.binary).await.ok()?;
        match admin.ping().await.ok()? {
            Pong::Busy => Some(Told::Busy),
            Pong::Loading => Some(Told::Alive(None)),
            Pong::Ready => Some(Told::Alive(admin.accounts().await.ok().and_then(|accounts| {
                let replication = replication(&accounts);
                let is_master = replication.link == Link::Master;
                is_master.then_some((replication.history, replication.offset))
            }))),
        }
    }
}

/// Both answers; the second one is not waited for once the first has come.
async fn both(
    admin: impl Future<Output = Option<Told>>,
    client: impl Future<Output = Option<()>>,
) -> (Option<Told>, Option<()>) {
    let (mut admin, mut client) = (std::pin::pin!(admin), std::pin::pin!(client));
    tokio::select! {
        told = &mut admin => match told {
            Some(told) => (Some(told), None),
            None => (None, client.await),
        },
        answer = &mut client => (admin.await, answer),
    }
}

async fn within<T>(question: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::time::timeout(BEAT, question).await.ok().flatten()
}

/// Any answer at the address is a sign of life, be it a refusal.
async fn ask_as_client(address: SocketAddrV4, running: &Running) -> Option<()> {
    let mut stream = running.connect(address).await.ok()??;
    if running.binary.kind == Kind::Memcached {
        return Client::over(stream).version().await.ok().map(|_| ());
    }
    stream.write_all(b"PING\r\n").await.ok()?;
    stream.read_u8().await.ok().map(|_| ())
}

fn work(running: &Running) -> Option<Work> {
    let pid = i32::try_from(running.process.pid()).ok()?;
    let stat = procfs::process::Process::new(pid).and_then(|process| process.stat()).ok()?;
    Some(Work { ticks: stat.utime + stat.stime, state: stat.state().ok() })
}

fn works(before: &Work, after: &Work) -> bool {
    match after.state {
        Some(ProcState::Stopped | ProcState::Tracing) => false,
        Some(ProcState::Running | ProcState::Waiting) => true,
        _ => after.ticks > before.ticks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_engine_that_goes_on_works() {
        let work = |ticks, state| Work { ticks, state: Some(state) };
        let before = work(7, ProcState::Running);
        assert!(works(&before, &work(7, ProcState::Running)));
        assert!(works(&before, &work(7, ProcState::Waiting)));
        assert!(works(&before, &work(8, ProcState::Sleeping)));
        assert!(!works(&before, &work(7, ProcState::Sleeping)));
        assert!(!works(&before, &work(8, ProcState::Stopped)));
    }
}
