//! Making an engine the master at the address.
//!
//! From 6.2 on it is told so while it runs, and takes milliseconds; its clients elsewhere stay.
//! An older one cannot change where it listens, and is restarted there once its data is on the
//! disk. In both cases it follows nobody before it can be reached, so no client sees a replica.

use std::time::{Duration, Instant};

use super::answer::{prompt, silent, unexpected};
use super::glance::health;
use super::member::Running;
use super::{Health, Inner, Kind, Member, Trouble, Unit, address, host_address};
use crate::engine::redis_admin::{Admin, Pong};
use crate::engine::{Binary, redis_conf};

const PROMOTING: &str = "making the engine the master";
/// From this version on an engine changes where it listens while it runs.
pub(super) const MOVES_SINCE: (u16, u16) = (6, 2);
/// How long an address may stay taken whose last owner is gone, and how often it is tried.
const FREE_WITHIN: Duration = Duration::from_secs(5);
const TRIED_EVERY: Duration = Duration::from_millis(2);
/// How long an engine may take to have its data on the disk, and how often it is asked.
const WRITTEN_WITHIN: Duration = Duration::from_mins(2);
const ASKED_EVERY: Duration = Duration::from_millis(20);

impl Inner {
    /// Has the master's engine follow nobody and then hold the address.
    pub(super) async fn promote(&self, unit: &Unit) -> Result<(), Trouble> {
        let master = unit.lead.master;
        host_address::hold(*unit.address.ip(), self.serves).await?;
        let running = self.must_run(unit, master).await?;
        if running.binary.kind == Kind::Memcached {
            return Ok(());
        }
        // Whoever started it as a replica may not have got as far as that.
        running.process.miss(true);
        tokio::select! {
            () = running.process.ended() => return Err(self.ended(unit, master)),
            led = self.take_the_lead(unit, &running) => if led? { return Ok(()) },
        }
        self.restart_as_master(unit, &running).await
    }

    /// Whether an engine that runs answers at its post. A replica that is not there is brought
    /// there; `false` where it had to be ended for that.
    pub(super) async fn is_at_post(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
    ) -> Result<bool, Trouble> {
        const ASKING: &str = "asking for its role";
        self.answers(unit, member, running).await?;
        if running.binary.kind == Kind::Memcached {
            return Ok(true);
        }
        let mut admin = self.admin(unit, member, running).await?;
        prompt(ASKING, admin.ping()).await?;
        let post = prompt(ASKING, admin.post()).await?;
        if health(&post, unit, member) != Health::Astray {
            return Ok(true);
        }
        if member == unit.lead.master {
            // It may lack what the last master had: that is not decided here.
            let answer = "it runs and is not the master at the address".into();
            return Err(Trouble::Unexpected { doing: "starting the engine", answer });
        }
        self.step_down(unit, member, running).await?;
        Ok(!running.process.is_over())
    }

    /// `false` where that takes a restart.
    async fn take_the_lead(&self, unit: &Unit, running: &Running) -> Result<bool, Trouble> {
        let mut admin = self.admin(unit, unit.lead.master, running).await?;
        if prompt(PROMOTING, admin.ping()).await? == Pong::Loading {
            let answer = "it still reads its data".into();
            return Err(Trouble::Unexpected { doing: PROMOTING, answer });
        }
        let post = prompt(PROMOTING, admin.post()).await?;
        if !post.is_master {
            prompt(PROMOTING, admin.lead()).await?;
        }
        if post.listens_on(unit.address) {
            return Ok(true);
        }
        if running.binary.level() < MOVES_SINCE {
            return Ok(false);
        }
        fail::fail_point!("local-leads", |_| Err(Trouble::Failpoint("local-leads")));
        listen(unit, &mut admin).await?;
        Ok(true)
    }

    async fn restart_as_master(&self, unit: &Unit, running: &Running) -> Result<(), Trouble> {
        const WRITING: &str = "writing its data before it is restarted as the master";
        let master = unit.lead.master;
        let mut admin = self.admin(unit, master, running).await?;
        prompt(WRITING, admin.ping()).await?;
        let keeps_data = redis_conf::keeps_data(unit);
        if keeps_data {
            let whole = tokio::time::timeout(WRITTEN_WITHIN, whole_file(&mut admin)).await;
            whole.unwrap_or(Err(silent(WRITING, WRITTEN_WITHIN)))?;
        }
        running.process.miss(false);
        let written = async {
            if keeps_data {
                self.let_write(unit, master, running).await;
            } else {
                admin.shut_down_with_dump().await;
                running.process.ended().await;
            }
        };
        // It goes on where it cannot write, and is not ended then: nobody else has its data.
        if tokio::time::timeout(WRITTEN_WITHIN, written).await.is_err() {
            running.process.miss(true);
            return Err(silent(WRITING, WRITTEN_WITHIN));
        }
        self.end(unit, master, running).await?;
        let started = self.start(unit, master).await;
        if started.is_ok() {
            tracing::debug!(instance = %unit.id, "restarted as the master");
        }
        started
    }
}

/// Whether an engine can change where it listens.
pub(super) fn moves(binary: &Binary) -> bool {
    binary.level() >= MOVES_SINCE
}

/// Has it listen on the address, as soon as nobody else does: a process that is killed frees its
/// memory before it frees its address.
async fn listen(unit: &Unit, admin: &mut Admin) -> Result<(), Trouble> {
    const TAKING: &str = "taking the instance's address";
    let until = Instant::now() + FREE_WITHIN;
    loop {
        let trouble = match prompt(TAKING, admin.listen_on(unit.address)).await {
            Ok(()) => return Ok(()),
            Err(trouble) => trouble,
        };
        let taken = address::must_be_free(unit.address);
        match taken {
            // Somebody else's fault, or it was freed just now.
            Ok(()) if Instant::now() > until => return Err(trouble),
            Err(taken) if Instant::now() > until => return Err(taken),
            _ => tokio::time::sleep(TRIED_EVERY).await,
        }
    }
}

/// Returns when the file that it appends to has all its data: after it was given all of them by a
/// master, that takes a while.
async fn whole_file(admin: &mut Admin) -> Result<(), Trouble> {
    const WRITING: &str = "writing the file that it appends to";
    let mut asked = false;
    loop {
        let told = prompt(WRITING, admin.info("persistence")).await?;
        if !told.is_writing() {
            if told.field("aof_last_bgrewrite_status") == Some("ok") {
                return Ok(());
            }
            if asked {
                return Err(unexpected(WRITING, &std::io::Error::other("it cannot")));
            }
            prompt(WRITING, admin.rewrite()).await?;
            asked = true;
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
}
