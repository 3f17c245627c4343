//! Which engine of an instance serves its clients, and since which decision.
//!
//! Every decision about that has a number, its epoch. Wherever two memories disagree (the store, a
//! file beside the data, an engine), the one with the higher epoch is right; so a memory that was
//! restored from an earlier copy never brings back a master that was replaced.

use jiff::Timestamp;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// One engine of an instance. The names say nothing about roles: either can be the master.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "lowercase")]
pub enum Member {
    /// The engine that a new instance begins with as its master.
    #[default]
    First,
    /// The other one of a pair.
    Second,
}

impl Member {
    /// The other one of a pair.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A decision about who is the master. The default is that of every new instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Lead {
    /// The engine that holds the instance's address and takes writes.
    pub master: Member,
    /// The number of the decision; each is higher than those before it.
    pub epoch: i64,
}

impl Lead {
    /// The decision after this one, for that engine.
    #[must_use]
    pub fn passed_to(self, master: Member) -> Self {
        Self { master, epoch: self.epoch.saturating_add(1) }
    }

    /// Whichever of two decisions is the later one.
    #[must_use]
    pub fn or_later(self, other: Self) -> Self {
        if other.epoch > self.epoch { other } else { self }
    }
}

/// The roles of an instance's engines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Role {
    /// Who is the master.
    pub lead: Lead,
    /// The planned switch that is to be done, if any.
    pub switch: Option<SwitchWish>,
}

impl Role {
    /// The roles once a decision was made. A switch to that engine stays pending until the engine
    /// was seen to let the tenant in; any other one is over.
    #[must_use]
    pub fn decided(self, lead: Lead) -> Self {
        Self { lead, switch: self.switch.filter(|wish| wish.to == lead.master) }
    }
}

/// The roles of a pair are to be exchanged (`SwitchInstanceHA`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchWish {
    /// Who is to be the master.
    pub to: Member,
    /// When it was acknowledged.
    pub requested_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_decision_holds_whichever_is_asked() {
        let first = Lead::default();
        let second = first.passed_to(Member::Second);
        assert_eq!(second, Lead { master: Member::Second, epoch: 1 });
        assert_eq!(first.or_later(second), second);
        assert_eq!(second.or_later(first), second);
    }

    #[test]
    fn a_decision_ends_every_switch_but_the_one_that_it_is_about() {
        let to = Member::Second;
        let switch = Some(SwitchWish { to, requested_at: Timestamp::UNIX_EPOCH });
        let before = Role { lead: Lead::default(), switch: switch.clone() };
        let second = Lead::default().passed_to(to);
        assert_eq!(before.clone().decided(second), Role { lead: second, switch });
        let first = second.passed_to(Member::First);
        assert_eq!(before.decided(first), Role { lead: first, switch: None });
    }

    #[test]
    fn of_two_decisions_with_one_number_the_own_holds() {
        let (one, two) =
            (Lead { master: Member::First, epoch: 3 }, Lead { master: Member::Second, epoch: 3 });
        assert_eq!(one.or_later(two), one);
        assert_eq!(two.or_later(one), two);
    }
}
