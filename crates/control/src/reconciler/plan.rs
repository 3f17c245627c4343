//! What to do next about one instance, decided from what should be and what is.
//!
//! Pure. It yields one stage at a time; a stage that was done is reflected in what is seen, by
//! the promise of the substrate's methods ([`Stage::promised`]), and the next one follows from
//! that. It knows no history: the same wish and the same sight always give the same stage.
//!
//! The data of a restore are gathered in the background while the old data are served. Nothing is
//! stopped or swapped before they are complete and proven; the swap is the moment of commitment,
//! and after it there is only the way forward. An engine that keeps nothing on the disk has lost
//! its data as soon as it is stopped, so there the way back ends with the stop.
//!
//! What the roles of a pair ask for is in [`roles`](super::roles).

use ourkv_domain::instance::Intent;

use super::elect::Choice;
use super::password::Passing;
use super::roles::{exchanged, roles};
use crate::substrate::{Health, Lead, Member, Seen, Stop};

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

/// The next stage.
pub(super) fn plan(wish: &Wish, seen: &Seen) -> Stage {
    match wish.intent {
        Intent::Run => run(wish, seen),
        Intent::Stop => rest(wish, seen),
        Intent::Delete => delete(wish, seen),
    }
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

impl Pending {
    /// Whether its data are in force.
    pub(super) fn is_swapped(&self, seen: &Seen) -> bool {
        seen.dataset == self.serial
    }
}

/// Whether the engine that holds the instance's address answers.
pub(super) fn serves(lead: Lead, seen: &Seen) -> bool {
    let master = lead.or_later(seen.lead).master;
    matches!(seen.running.get(&master), Some(Health::Answering | Health::Linked))
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

fn run(wish: &Wish, seen: &Seen) -> Stage {
    if !seen.prepared {
        return Stage::Prepare;
    }
    if let Some(stage) = told(wish, seen) {
        return stage;
    }
    let swapped = wish.restore.filter(|pending| pending.is_swapped(seen));
    match wish.restore {
        Some(pending) if swapped.is_none() => {
            if let Some(stage) = before_the_swap(wish, &pending, seen) {
                return stage;
            }
        }
        _ => {}
    }
    // What starts nothing goes before what tidies up: clients wait for a master.
    if let Some(stage) = roles(wish, seen) {
        return stage;
    }
    // What lies there would come back with an engine that is started.
    if wish.restore.is_none() && seen.untidy {
        return Stage::Tidy;
    }
    // One after the other: the replica has nothing to follow before the master answers, and older
    // engines would only try again a second later.
    let (master, replica) = (wish.lead.master, wish.lead.master.other());
    if is_silent(master, seen) {
        return Stage::Start(master);
    }
    // Whoever was served before need not wait for the replica.
    if swapped.is_some_and(|pending| pending.live) {
        return Stage::Settle;
    }
    if let Some(passing) = wish.password.filter(|passing| passing.is_possible(seen)) {
        return Stage::Password(passing);
    }
    if wish.is_pair() {
        if is_silent(replica, seen) {
            return Stage::Start(replica);
        }
        if seen.running.get(&replica) != Some(&Health::Linked) {
            return Stage::Link;
        }
    }
    if swapped.is_some() { Stage::Settle } else { Stage::Login }
}

/// What comes before everything else: both memories know the same master, and nothing hangs.
fn told(wish: &Wish, seen: &Seen) -> Option<Stage> {
    if seen.lead.epoch > wish.lead.epoch {
        return Some(Stage::Acknowledge(seen.lead));
    }
    if wish.lead.epoch > seen.lead.epoch {
        return Some(Stage::Declare(wish.lead));
    }
    // One that answers again, or its successor that does, is left alone.
    let hangs = |member: &Member| seen.running.get(member) == Some(&Health::Starting);
    wish.hung.filter(hangs).map(Stage::Fence)
}

/// What a restore asks for while the old data are in force; `None` where they are to be served.
fn before_the_swap(wish: &Wish, pending: &Pending, seen: &Seen) -> Option<Stage> {
    let lost = is_lost(wish, pending, seen);
    match pending.verdict {
        Some(Verdict::Refused) => return Some(Stage::GiveUp),
        Some(Verdict::Overdue) if !lost => return Some(Stage::GiveUp),
        Some(Verdict::Overdue) | None => {}
    }
    let proven = match pending.gathered {
        Gathered::Idle => !pending.live,
        Gathered::UnderWay => false,
        Gathered::Proven => true,
    };
    if proven && seen.staged == Some(pending.serial) {
        return Some(stop(seen, Stop::Keep).unwrap_or(Stage::Swap(pending.serial)));
    }
    if pending.gathered != Gathered::UnderWay {
        return Some(Stage::Gather);
    }
    (!pending.live || lost).then_some(Stage::Await)
}

/// Whether the old data went with an engine that was stopped to be given the staged ones.
fn is_lost(wish: &Wish, pending: &Pending, seen: &Seen) -> bool {
    let staged = seen.staged == Some(pending.serial);
    pending.live && staged && !wish.durable && !seen.running.contains_key(&wish.lead.master)
}

fn rest(wish: &Wish, seen: &Seen) -> Stage {
    if wish.switch.is_some() {
        return Stage::GiveUpSwitch;
    }
    // What begins when its tenant has paid again, maybe after days, would surprise them.
    if let Some(pending) = &wish.restore
        && pending.live
        && !pending.is_swapped(seen)
        && !is_lost(wish, pending, seen)
    {
        return Stage::GiveUp;
    }
    stop(seen, Stop::Keep).unwrap_or(if seen.untidy && wish.restore.is_none() {
        Stage::Tidy
    } else {
        Stage::Rest
    })
}

fn delete(wish: &Wish, seen: &Seen) -> Stage {
    // Where there is nothing to back up, nothing is waited for.
    let master = wish.lead.master;
    let keeps = seen.prepared && wish.durable || seen.running.contains_key(&master);
    if wish.last_backup && keeps {
        // Whose data are saved does not matter.
        let wish = &Wish { switch: None, ..*wish };
        if let Some(stage) = told(wish, seen).or_else(|| roles(wish, seen)) {
            return stage;
        }
        return match is_silent(master, seen) {
            true => Stage::Start(master),
            // Data that was restored just now is saved only once it is there for good.
            false if seen.untidy && wish.restore.is_none() => Stage::Tidy,
            false => Stage::Await,
        };
    }
    let left = if seen.prepared { Stage::Remove } else { Stage::Forget };
    stop(seen, Stop::Discard).unwrap_or(left)
}

impl Wish {
    /// Whether it consists of two engines.
    pub(super) fn is_pair(&self) -> bool {
        self.members.len() == 2
    }
}

fn is_silent(member: Member, seen: &Seen) -> bool {
    matches!(seen.running.get(&member), None | Some(Health::Starting))
}

/// Stops whatever runs, also what the instance's shape does not ask for.
fn stop(seen: &Seen, how: Stop) -> Option<Stage> {
    (!seen.running.is_empty()).then(|| Stage::Stop(seen.running.keys().copied().collect(), how))
}

#[cfg(test)]
mod tests;
