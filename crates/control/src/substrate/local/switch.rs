//! A planned exchange: no client writes for a moment, and the former master leaves the address.

use std::time::Duration;

use super::answer::prompt;
use super::member::Running;
use super::promote::moves;
use super::{Inner, Kind, Member, Trouble, Unit};

const PAUSING: &str = "pausing writes";
const RESUMING: &str = "resuming writes";
const LEAVING: &str = "leaving the instance's address";
/// The first version that has all clients wait, and more replicas than there ever are, for an
/// older one to refuse writes until they follow.
const PAUSES_SINCE: (u16, u16) = (3, 0);
const NEVER_SO_MANY: u32 = 1000;

impl Inner {
    /// Has the former master leave the address and follow the master; one that cannot is ended.
    pub(super) async fn demote(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        if member == unit.lead.master {
            let answer = "it is the master".into();
            return Err(Trouble::Unexpected { doing: LEAVING, answer });
        }
        match self.look(unit, member).await? {
            Some(running) if running.binary.kind != Kind::Memcached => {
                self.step_down(unit, member, &running).await
            }
            _ => Ok(()),
        }
    }

    /// Has clients wait that want to write. Before 6.2 all clients wait, ourkv among them; on 2.8
    /// those that write are refused.
    pub(super) async fn pause_writes(
        &self,
        unit: &Unit,
        member: Member,
        limit: Duration,
    ) -> Result<(), Trouble> {
        let running = self.must_run(unit, member).await?;
        let mut admin = self.admin(unit, member, &running).await?;
        prompt(PAUSING, admin.ping()).await?;
        if moves(&running.binary) {
            prompt(PAUSING, admin.pause_writes(limit)).await
        } else if running.binary.level() >= PAUSES_SINCE {
            let accounts = prompt(PAUSING, admin.pause_all(limit)).await?;
            running.silence(limit, accounts);
            Ok(())
        } else {
            prompt(PAUSING, admin.write_only_with(NEVER_SO_MANY)).await
        }
    }

    /// Lets clients write again. Where all of them wait, they do so until their time is over.
    pub(super) async fn resume_writes(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        let running = self.must_run(unit, member).await?;
        if running.silenced().is_some() {
            return Ok(());
        }
        let mut admin = self.admin(unit, member, &running).await?;
        prompt(RESUMING, admin.ping()).await?;
        if moves(&running.binary) {
            prompt(RESUMING, admin.resume()).await
        } else if running.binary.level() >= PAUSES_SINCE {
            Ok(())
        } else {
            prompt(RESUMING, admin.write_only_with(0)).await
        }
    }

    /// In this order: nobody new comes in, nobody who is in writes any more, and only then does it
    /// follow.
    pub(super) async fn step_down(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
    ) -> Result<(), Trouble> {
        if !moves(&running.binary) {
            // All that it has is at its replica, or is replaced by what its master has.
            return self.end(unit, member, running).await;
        }
        let mut admin = self.admin(unit, member, running).await?;
        prompt(LEAVING, admin.ping()).await?;
        prompt(LEAVING, admin.listen_nowhere()).await?;
        running.left_address();
        prompt(LEAVING, admin.end_sessions()).await?;
        prompt("following the master", admin.follow(unit.address)).await?;
        // Whoever it serves next must not wait for the end of a pause that is over.
        prompt(RESUMING, admin.resume()).await
    }
}
