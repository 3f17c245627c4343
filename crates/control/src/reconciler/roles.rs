//! What the roles of a pair ask for: the part of the [`plan`](super::plan) that sees to it that the
//! address has one master, and the right one.
//!
//! A master that is gone is replaced by election. Nobody is promoted before the former master is
//! proven to be gone or, in a planned exchange, has left the address with all its writes received;
//! and the decision is remembered in both memories before anything is done about it. So whoever
//! goes on after an interruption finds out from the two memories and the engines what is left to do.

use super::elect::Choice;
use super::stage::Stage;
use super::wish::{Halt, Wish};
use crate::substrate::{Health, Member, Seen};

/// The next stage that the roles ask for, if they do. Both memories know the same master.
pub(super) fn roles(wish: &Wish, seen: &Seen) -> Option<Stage> {
    let (master, replica) = (wish.lead.master, wish.lead.master.other());
    if !wish.is_pair() {
        let astray = seen.running.get(&master) == Some(&Health::Astray);
        return astray.then_some(Stage::Fence(master));
    }
    match (seen.running.get(&master), seen.running.get(&replica)) {
        // An exchange was decided and not done: the former master still serves.
        (Some(Health::Astray), Some(Health::Astray)) => Some(match wish.halt {
            Halt::NotYet => Stage::Halt(replica),
            Halt::Done => Stage::Demote(replica),
            Halt::Refused => Stage::TakeOver(wish.lead.passed_to(replica)),
        }),
        // The same, and the one that was to be the master ended.
        (None | Some(Health::Starting), Some(Health::Astray)) => Some(elected(wish, replica)),
        (Some(Health::Answering | Health::Linked), Some(Health::Astray)) => {
            Some(Stage::Fence(replica))
        }
        (Some(Health::Astray), _) => Some(Stage::Promote(master)),
        // Data that were just put there are the master's alone.
        (None, None) if wish.restore.is_some_and(|pending| pending.is_swapped(seen)) => None,
        // Whoever has not answered before has nothing to lose, and starts as it was made.
        (None, _) if wish.live && wish.choice != Some(Choice::Stay) => Some(elected(wish, replica)),
        (Some(Health::Answering | Health::Linked), following) => {
            wish.switch.map(|to| exchange(wish, to, following == Some(&Health::Linked)))
        }
        (None | Some(Health::Starting), _) => None,
    }
}

/// What is seen once the other engine is decided to be the master: what was at its post is not.
pub(super) fn exchanged(mut seen: Seen) -> Seen {
    for health in seen.running.values_mut() {
        *health = match health {
            Health::Astray => Health::Answering,
            Health::Answering | Health::Linked => Health::Astray,
            Health::Starting => Health::Starting,
        };
    }
    seen
}

fn elected(wish: &Wish, replica: Member) -> Stage {
    match wish.choice {
        Some(Choice::Raise(member)) => Stage::TakeOver(wish.lead.passed_to(member)),
        // It holds the address and everything that was written; somebody has to be the master.
        Some(Choice::Stay) => Stage::TakeOver(wish.lead.passed_to(replica)),
        None => Stage::Elect,
    }
}

fn exchange(wish: &Wish, to: Member, follows: bool) -> Stage {
    match wish.halt {
        _ if to == wish.lead.master => Stage::EndSwitch,
        _ if !follows => Stage::GiveUpSwitch,
        Halt::NotYet => Stage::Halt(wish.lead.master),
        Halt::Done => Stage::TakeOver(wish.lead.passed_to(to)),
        Halt::Refused => Stage::GiveUpSwitch,
    }
}
