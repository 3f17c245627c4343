//! What should be of one instance, as a [`plan`](super::plan) is made from it: what its owner and
//! the store ask for, and what a pass has found out on its way.

use ourkv_domain::instance::Intent;

use super::elect::Choice;
use super::password::Passing;
use crate::substrate::{Lead, Member, Seen};

/// What should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) intent: Intent,
    /// The engines that the instance consists of.
    pub(super) members: &'static [Member],
    /// Whether its engines keep their data on the disk.
    pub(super) durable: bool,
    /// The data that it should have instead of those that it has.
    pub(super) restore: Option<Pending>,
    /// A last backup of it is not finished.
    pub(super) last_backup: bool,
    /// Who is the master, as far as the store knows.
    pub(super) lead: Lead,
    /// It answered before and has something to lose.
    pub(super) live: bool,
    /// Who is to be the master, where that is to change.
    pub(super) switch: Option<Member>,
    /// An engine that hangs.
    pub(super) hung: Option<Member>,
    /// What the election of this pass came to.
    pub(super) choice: Option<Choice>,
    /// How far this pass has come with a planned exchange of roles.
    pub(super) halt: Halt,
    /// What is to be done about its tenant's password.
    pub(super) password: Option<Passing>,
}

/// Whether the former master has stopped taking writes and the next one has all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Halt {
    /// Nobody tried.
    #[default]
    NotYet,
    /// It is so.
    Done,
    /// The next one does not get there.
    Refused,
}

/// A restore that is neither done nor given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pending {
    /// The serial of the data.
    pub(super) serial: i64,
    /// It replaces data that were served. Otherwise the instance is a clone that never answered:
    /// nothing is lost with it, and the load by its own engine is the proof.
    pub(super) live: bool,
    /// How far the gathering of the data is.
    pub(super) gathered: Gathered,
    /// Why it should be given up, where it should. A clone never is.
    pub(super) verdict: Option<Verdict>,
}

/// How far the gathering of data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gathered {
    /// Nobody is at it, as far as is known.
    Idle,
    /// It is under way.
    UnderWay,
    /// It came to its end: what was staged could be loaded in a trial.
    Proven,
}

/// Why a restore should be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The data can't be had or can't be loaded, and that stays so.
    Refused,
    /// It failed again, after longer than it is waited for.
    Overdue,
}

impl Wish {
    /// Whether it consists of two engines.
    pub(super) fn is_pair(&self) -> bool {
        self.members.len() == 2
    }
}

impl Pending {
    /// Whether its data are in force.
    pub(super) fn is_swapped(&self, seen: &Seen) -> bool {
        seen.dataset == self.serial
    }
}
