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

use ourkv_domain::instance::Intent;

use crate::substrate::{Health, Member, Seen, Stop};

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
    /// Wait until the second engine follows the first.
    Link,
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
        wish
    }

    /// What will be seen once this stage succeeded after `seen`.
    pub(super) fn promised(&self, mut seen: Seen) -> Seen {
        match self {
            Self::Prepare => seen.prepared = true,
            Self::Swap(serial) => {
                seen.dataset = *serial;
                seen.staged = None;
                seen.untidy = true;
            }
            Self::Start(member) => {
                seen.running.insert(*member, Health::Answering);
            }
            Self::Link => {
                seen.running.insert(Member::Second, Health::Linked);
            }
            // What is gathered in the background may have come to lie there since.
            Self::GiveUp => seen.untidy = true,
            Self::Tidy => {
                seen.staged = None;
                seen.untidy = false;
            }
            Self::Stop(members, _) => seen.running.retain(|member, _| !members.contains(member)),
            Self::Remove => seen = Seen::default(),
            Self::Gather | Self::Settle | Self::Login | Self::Await | Self::Rest | Self::Forget => {
            }
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
pub(super) fn serves(seen: &Seen) -> bool {
    matches!(seen.running.get(&Member::First), Some(Health::Answering | Health::Linked))
}

fn run(wish: &Wish, seen: &Seen) -> Stage {
    if !seen.prepared {
        return Stage::Prepare;
    }
    let swapped = wish.restore.filter(|pending| pending.is_swapped(seen));
    match wish.restore {
        Some(pending) if swapped.is_none() => {
            if let Some(stage) = before_the_swap(wish, &pending, seen) {
                return stage;
            }
        }
        // What lies there would come back with an engine that is started.
        None if seen.untidy => return Stage::Tidy,
        _ => {}
    }
    // One after the other: the second has nothing to follow before the first answers, and older
    // engines would only try again a second later.
    if is_silent(Member::First, seen) {
        return Stage::Start(Member::First);
    }
    // Whoever was served before need not wait for the replica.
    if swapped.is_some_and(|pending| pending.live) {
        return Stage::Settle;
    }
    if wish.members.contains(&Member::Second) {
        if is_silent(Member::Second, seen) {
            return Stage::Start(Member::Second);
        }
        if seen.running.get(&Member::Second) != Some(&Health::Linked) {
            return Stage::Link;
        }
    }
    if swapped.is_some() { Stage::Settle } else { Stage::Login }
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
    pending.live && staged && !wish.durable && !seen.running.contains_key(&Member::First)
}

fn rest(wish: &Wish, seen: &Seen) -> Stage {
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
    let keeps = seen.prepared && wish.durable || seen.running.contains_key(&Member::First);
    if wish.last_backup && keeps {
        return match is_silent(Member::First, seen) {
            true => Stage::Start(Member::First),
            // Data that was restored just now is saved only once it is there for good.
            false if seen.untidy && wish.restore.is_none() => Stage::Tidy,
            false => Stage::Await,
        };
    }
    let left = if seen.prepared { Stage::Remove } else { Stage::Forget };
    stop(seen, Stop::Discard).unwrap_or(left)
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
