//! A save: an engine's child writes a file, and what it writes is read as it grows.
//!
//! The child (`temp-<pid>.rdb`) makes its file durable and gives it its name as the last thing it
//! does. So a file that got the name is whole, and one whose child ended without that is not. The
//! engine itself notices the end only with its next tick, and nothing here waits for it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use futures::StreamExt;
use ourkv_domain::instance::InstanceType;
use rustix::event::Timespec;
use rustix::process::Signal;
use tokio::sync::mpsc::channel;

use super::process::{Process, works_in};
use super::swap::ignore_missing;
use super::tail::Tail;
use super::temporary::{inode, remove_unfinished, unfinished};
use super::{Health, Inner, Member, Saving, Trouble, Unit, blocking, machine};
use crate::engine::info::Keyspace;
use crate::engine::redis_admin::Admin;
use crate::engine::redis_conf;
use crate::engine::trial::DUMP;

/// What is told of in trouble.
pub(super) const SAVING: &str = "saving";
/// Blocks that may wait to be taken.
const WAITING: usize = 4;
/// How long another child of the engine is waited for, and how often it is asked for.
const TURN_WITHIN: Duration = Duration::from_mins(5);
const ASKED_EVERY: Duration = Duration::from_millis(50);
/// How long a replica is waited for that has not all of its master yet, and how often it is asked.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);
const CAUGHT_UP_ASKED_EVERY: Duration = Duration::from_millis(5);
/// How long a killed child may take to be gone.
pub(super) const GONE_WITHIN: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

impl Inner {
    /// Begins a save, and returns what it yields.
    pub(super) async fn save(&self, unit: &Unit) -> Result<Saving, Trouble> {
        if unit.instance_type == InstanceType::Memcache {
            return Err(unexpected("a cache has nothing to save"));
        }
        let member = self.best_to_save(unit).await?;
        let running = self.must_run(unit, member).await?;
        let Some(engine) = running.binary.stamp() else {
            return Err(unexpected("it is no engine that saves"));
        };
        let mut admin = self.admin(unit, member, &running).await?;
        let directory = self.layout.member(unit, member);
        let work = async {
            admin.ping().await.map_err(unexpected)?;
            let memory = admin.info("memory").await.map_err(unexpected)?;
            let (before, keyspace) = begin(&mut admin, &directory).await?;
            Ok((memory.number("used_memory"), before, keyspace))
        };
        let (estimate, before, Keyspace { keys, expiring }) = tokio::select! {
            () = running.process.ended() => Err(self.ended(unit, member)),
            begun = tokio::time::timeout(TURN_WITHIN, work) => begun.unwrap_or_else(|_| {
                Err(Trouble::Silent { doing: SAVING, seconds: TURN_WITHIN.as_secs() })
            }),
        }?;
        let percent = Arc::<AtomicU8>::default();
        let drop_dump = self.may_drop_dump(unit, member)?;
        let shown = Arc::clone(&percent);
        let tail = Tail { running, directory, before, drop_dump, percent: shown, estimate };
        let (sender, mut blocks) = channel(WAITING);
        let secrets = unit.secrets.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(trouble) = tail.read(&sender, &secrets) {
                // Without a reader there is nobody to tell.
                let _ = sender.blocking_send(Err(trouble));
            }
        });
        let bytes = futures::stream::poll_fn(move |context| blocks.poll_recv(context)).boxed();
        Ok(Saving { engine, keys, expiring, percent, bytes })
    }

    /// Ends what still saves, and removes what a save left.
    pub(super) async fn forget_save(&self, unit: &Unit) -> Result<(), Trouble> {
        if unit.instance_type == InstanceType::Memcache {
            return Ok(());
        }
        for &member in unit.members() {
            let directory = self.layout.member(unit, member);
            let drop_dump = self.may_drop_dump(unit, member)?;
            blocking(move || forget(&directory, drop_dump).map_err(machine("ending a save")))
                .await?;
        }
        Ok(())
    }

    /// A replica that follows has the same data, and nobody waits for its answers.
    async fn best_to_save(&self, unit: &Unit) -> Result<Member, Trouble> {
        if let Some(replica) = unit.replica()
            && self.health(unit, replica).await? == Some(Health::Linked)
        {
            let caught_up = tokio::time::timeout(CAUGHT_UP_WITHIN, self.catch_up(unit, replica));
            if caught_up.await.unwrap_or(Ok(false))? {
                return Ok(replica);
            }
        }
        let master = unit.lead.master;
        if self.mark_of(unit, master)?.is_some_and(|mark| mark.has_the_dump()) {
            return Err(unexpected("its data was put there just now"));
        }
        Ok(master)
    }

    /// Waits until the replica has all that its master had when this began: what was acknowledged
    /// before a save was asked for belongs into it. False where the link broke meanwhile.
    async fn catch_up(&self, unit: &Unit, replica: Member) -> Result<bool, Trouble> {
        const REPLICATION: &str = "replication";
        let mut master = self.asked(unit, unit.lead.master).await?;
        let wanted = master.info(REPLICATION).await.map_err(unexpected)?;
        let wanted = wanted.number("master_repl_offset");
        let mut replica = self.asked(unit, replica).await?;
        loop {
            let told = replica.info(REPLICATION).await.map_err(unexpected)?;
            if told.field("master_link_status") != Some("up") {
                return Ok(false);
            }
            if told.number("slave_repl_offset") >= wanted {
                return Ok(true);
            }
            tokio::time::sleep(CAUGHT_UP_ASKED_EVERY).await;
        }
    }

    /// A member's engine, logged in to.
    async fn asked(&self, unit: &Unit, member: Member) -> Result<Admin, Trouble> {
        let running = self.must_run(unit, member).await?;
        let mut admin = self.admin(unit, member, &running).await?;
        admin.ping().await.map_err(unexpected)?;
        Ok(admin)
    }

    /// Whether a dump in a member's directory is nothing that an engine starts from: all but that
    /// of a pair's master that appends to no file.
    fn may_drop_dump(&self, unit: &Unit, member: Member) -> Result<bool, Trouble> {
        let pending = self.pending(unit, member)?.is_some();
        let is_replica = unit.replica() == Some(member);
        let needed = unit.is_pair() && !redis_conf::keeps_data(unit);
        Ok(is_replica || !(pending || needed))
    }
}

/// Waits for other children of the engine and has it fork; the file that has the name of a dump
/// by then is another one.
async fn begin(admin: &mut Admin, directory: &Path) -> Result<(Option<u64>, Keyspace), Trouble> {
    loop {
        let told = admin.info("persistence").await.map_err(unexpected)?;
        if told.is_loading() {
            return Err(unexpected("it still reads its data"));
        }
        if !told.is_writing() {
            let place = directory.to_path_buf();
            let before = blocking(move || {
                remove_unfinished(&place).map_err(machine(SAVING))?;
                inode(&place.join(DUMP)).map_err(machine(SAVING))
            })
            .await?;
            if let Some(keyspace) = admin.begin_save().await.map_err(unexpected)? {
                return Ok((before, keyspace));
            }
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
}

fn forget(directory: &Path, drop_dump: bool) -> io::Result<()> {
    for (_, pid) in unfinished(directory)? {
        if let Ok(child) = Process::hold(pid)
            && works_in(pid, directory)
        {
            child.signal(Signal::KILL)?;
            child.ends_within(GONE_WITHIN);
        }
    }
    remove_unfinished(directory)?;
    if drop_dump {
        std::fs::remove_file(directory.join(DUMP)).or_else(ignore_missing)?;
    }
    Ok(())
}

/// A save that could not be.
pub(super) fn unexpected(answer: impl std::fmt::Display) -> Trouble {
    Trouble::Unexpected { doing: SAVING, answer: answer.to_string() }
}
