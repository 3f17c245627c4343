//! The stages of the way from what is to what should be: what each of them is, and what it
//! promises. What it does at the substrate is in [`apply`](super::apply).

use super::elect::Choice;
use super::password::Passing;
use super::roles::exchanged;
use super::wish::{Gathered, Wish};
use crate::substrate::{Health, Lead, Member, Seen, Stop};

/// One stage of the way. The effects within a stage do not depend on each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// Make the place for its data.
    Prepare,
    /// Begin to fetch, stage and prove the data of a restore, in the background.
    Gather,
    /// Put the staged data of this serial in the place of the old.
    Swap(i64),
    /// Start this engine, or wait for it to answer.
    Start(Member),
    /// Have this engine, which is the master and not at its post, take writes at the address.
    Promote(Member),
    /// Wait until the replica follows the master.
    Link,
    /// End this engine, which hangs or holds an address that is not its own.
    Fence(Member),
    /// Make sure that the master is gone and decide who is to be it.
    Elect,
    /// Remember a decision about the master.
    TakeOver(Lead),
    /// Remember a decision that was found beside the data.
    Acknowledge(Lead),
    /// Write a decision down beside the data.
    Declare(Lead),
    /// Hold back writes at this engine until the other one has all that were made.
    Halt(Member),
    /// Have this engine leave the address and follow.
    Demote(Member),
    /// Remember that the roles stay what they are.
    GiveUpSwitch,
    /// Log in as the tenant would, and remember that a planned exchange of roles is done.
    EndSwitch,
    /// Replace the tenant's password.
    Password(Passing),
    /// Log in as the tenant would, and remember that the restored data are in force.
    Settle,
    /// Remember that the old data stay.
    GiveUp,
    /// Remove data that are staged or set aside.
    Tidy,
    /// Log in as the tenant would. The last stage of an instance that should run.
    Login,
    /// Something else has to come first. The last stage until then.
    Await,
    /// Stop these engines.
    Stop(Vec<Member>, Stop),
    /// Nothing runs any more, as intended. The last stage of an instance that should stop.
    Rest,
    /// Remove what is kept of it.
    Remove,
    /// Nothing is left of it but what is remembered. The last stage of one to be deleted.
    Forget,
}

impl Stage {
    /// What is left to wish for once this stage succeeded.
    pub(super) fn fulfilled(&self, mut wish: Wish) -> Wish {
        match (self, &mut wish.restore) {
            (Self::Gather, Some(pending)) => pending.gathered = Gathered::UnderWay,
            (Self::Settle | Self::GiveUp, restore) => *restore = None,
            _ => {}
        }
        match self {
            Self::Fence(_) => wish.hung = None,
            Self::TakeOver(lead) | Self::Acknowledge(lead) => {
                wish.lead = *lead;
                // Asked for and decided is not done before that master is seen to serve.
                wish.switch = wish.switch.filter(|to| *to == lead.master);
                // Whoever was chosen is not chosen again before it was tried.
                wish.choice = Some(Choice::Stay);
            }
            Self::GiveUpSwitch | Self::EndSwitch => wish.switch = None,
            // What could not be done is not wished for any more in this pass.
            Self::Password(_) => wish.password = wish.password.and_then(Passing::next),
            _ => {}
        }
        wish
    }

    /// What will be seen once this stage succeeded after `seen`.
    pub(super) fn promised(&self, wish: &Wish, mut seen: Seen) -> Seen {
        match self {
            Self::Prepare => seen.prepared = true,
            Self::Swap(serial) => {
                seen.dataset = *serial;
                seen.staged = None;
                seen.untidy = true;
            }
            Self::Start(member) | Self::Promote(member) => {
                seen.running.insert(*member, Health::Answering);
            }
            Self::Link => {
                seen.running.insert(wish.lead.master.other(), Health::Linked);
            }
            Self::Fence(member) | Self::Demote(member) => {
                seen.running.remove(member);
            }
            Self::Elect => {
                seen.running.remove(&wish.lead.master);
            }
            Self::TakeOver(lead) if lead.master != wish.lead.master => seen = exchanged(seen),
            Self::Declare(lead) => seen.lead = *lead,
            // What is gathered in the background may have come to lie there since.
            Self::GiveUp => seen.untidy = true,
            Self::Tidy => {
                seen.staged = None;
                seen.untidy = false;
            }
            Self::Stop(members, _) => seen.running.retain(|member, _| !members.contains(member)),
            Self::Remove => seen = Seen::default(),
            Self::Gather
            | Self::Settle
            | Self::Login
            | Self::Await
            | Self::Rest
            | Self::Forget
            | Self::TakeOver(_)
            | Self::Acknowledge(_)
            | Self::Halt(_)
            | Self::Password(_)
            | Self::GiveUpSwitch
            | Self::EndSwitch => {}
        }
        seen
    }
}

impl Stage {
    /// Whether it can be done in an instance that is left alone for a while: it starts nothing, and
    /// somebody may be served again because of it.
    pub(super) fn is_rescue(&self) -> bool {
        matches!(
            self,
            Self::Promote(_)
                | Self::Fence(_)
                | Self::Elect
                | Self::TakeOver(_)
                | Self::Acknowledge(_)
                | Self::Declare(_)
                | Self::Halt(_)
                | Self::Demote(_)
                | Self::EndSwitch
        )
    }
}
