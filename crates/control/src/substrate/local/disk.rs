//! An engine whose disk fails: it answers reads and refuses writes. That is said, and once the disk
//! takes something again the engine is helped out of it.
//!
//! What an engine appended while forcing it to the disk failed may never get there, whatever the
//! system says of it later, so the engine writes all of its data anew. From 7.0 on an engine also
//! remembers that it failed until it succeeds, and does not try before somebody writes, which it
//! refuses: that ends with the file. Clients that want to write wait until the next one is whole.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::member::Running;
use super::{Inner, Member, Trouble, Unit, blocking, machine, try_writing};
use crate::engine::info::Info;
use crate::engine::redis_admin::{Admin, AdminError, Post};

/// How long clients may have to wait with writes that were refused until then.
const WAIT: Duration = Duration::from_mins(1);
/// How long the next file is waited for here; after that it is looked for now and then.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);
const LOOKED_AT_EVERY: Duration = Duration::from_millis(20);

/// What was seen of an engine's disk, and done about it.
#[derive(Debug, Default)]
pub(super) struct Disk(AtomicU8);

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It takes what is written.
    Well,
    /// It does not.
    Fails,
    /// The engine was told to write its data anew.
    Rewriting,
    /// It was told to leave its file, and clients wait.
    Reopened,
}

impl Disk {
    fn stage(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Well,
            1 => Stage::Fails,
            2 => Stage::Rewriting,
            _ => Stage::Reopened,
        }
    }

    fn is(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }
}

impl Inner {
    /// Says that the disk fails an engine and that it does not any more, each once, and does the
    /// next thing about it.
    pub(super) async fn see_to_disk(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
        post: &Post,
        admin: &mut Admin,
    ) {
        let (disk, told) = (&running.disk, &post.persistence);
        let refuses = told.field("aof_last_write_status") == Some("err");
        if refuses && disk.stage() == Stage::Well {
            tracing::warn!(instance.id = %unit.id, %member,
                "the disk fails an engine, which refuses writes");
            disk.is(Stage::Fails);
        }
        let helped = match (disk.stage(), refuses) {
            (Stage::Well, _) => return,
            // Older ones try again by themselves.
            (_, true) if running.binary.level() < (7, 0) => return,
            (_, true) if takes_something(&self.layout.member(unit, member)).await.is_err() => {
                return;
            }
            (_, true) => help(disk, told, admin).await,
            (Stage::Reopened, false) => is_reopened(told, admin).await,
            (_, false) => admin.rewrite().await.map(|()| true),
        };
        match helped {
            Ok(true) => {
                tracing::info!(instance.id = %unit.id, %member,
                    "the disk does not fail an engine any more, which wrote its data anew");
                disk.is(Stage::Well);
            }
            Ok(false) => {}
            // It is writing something else; the next time, then.
            Err(error) => {
                tracing::debug!(instance.id = %unit.id, %member, %error, "no help yet");
            }
        }
    }
}

/// The next thing for an engine that refuses writes though its disk takes something; says whether
/// it is well.
async fn help(disk: &Disk, told: &Info, admin: &mut Admin) -> Result<bool, AdminError> {
    if told.is_writing() {
        return Ok(false);
    }
    if disk.stage() != Stage::Rewriting || told.field("aof_last_bgrewrite_status") != Some("ok") {
        admin.rewrite().await?;
        disk.is(Stage::Rewriting);
        return Ok(false);
    }
    disk.is(Stage::Reopened);
    admin.reopen(WAIT).await?;
    let whole = async {
        loop {
            if is_reopened(&admin.info("persistence").await?, admin).await? {
                return Ok(true);
            }
            tokio::time::sleep(LOOKED_AT_EVERY).await;
        }
    };
    tokio::time::timeout(WRITTEN_WITHIN, whole).await.unwrap_or(Ok(false))
}

/// Lets clients go on once the next file is whole; says whether it is.
async fn is_reopened(told: &Info, admin: &mut Admin) -> Result<bool, AdminError> {
    if told.number("aof_enabled") == 0 {
        admin.append().await?;
        return Ok(false);
    }
    if told.is_writing() || told.field("aof_last_bgrewrite_status") != Some("ok") {
        return Ok(false);
    }
    admin.resume().await.map(|()| true)
}

async fn takes_something(directory: &Path) -> Result<(), Trouble> {
    let directory = directory.to_owned();
    blocking(move || try_writing(&directory).map_err(machine("trying the engine's disk"))).await
}
