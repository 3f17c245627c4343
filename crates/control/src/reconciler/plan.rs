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

use super::roles::roles;
use super::stage::Stage;
use super::wish::{Gathered, Pending, Verdict, Wish};
use crate::substrate::{Health, Lead, Member, Seen, Stop};

/// The next stage.
pub(super) fn plan(wish: &Wish, seen: &Seen) -> Stage {
    match wish.intent {
        Intent::Run => run(wish, seen),
        Intent::Stop => rest(wish, seen),
        Intent::Delete => delete(wish, seen),
    }
}

/// Whether the engine that holds the instance's address answers.
pub(super) fn serves(lead: Lead, seen: &Seen) -> bool {
    let master = lead.or_later(seen.lead).master;
    matches!(seen.running.get(&master), Some(Health::Answering | Health::Linked))
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

fn is_silent(member: Member, seen: &Seen) -> bool {
    matches!(seen.running.get(&member), None | Some(Health::Starting))
}

/// Stops whatever runs, also what the instance's shape does not ask for.
fn stop(seen: &Seen, how: Stop) -> Option<Stage> {
    (!seen.running.is_empty()).then(|| Stage::Stop(seen.running.keys().copied().collect(), how))
}

#[cfg(test)]
mod tests;
