//! What befalls a pair.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use strum::{Display, VariantArray};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum Fault {
    /// `kill -9` of the master.
    KillMaster,
    /// `kill -9` of the replica.
    KillReplica,
    /// `kill -9` of both at once.
    KillBoth,
    /// The master is stopped, and goes on after it was replaced, if it can.
    HangMaster,
    /// The master is stopped for a moment, which is no reason to replace it.
    HaltMaster,
    /// SwitchInstanceHA.
    Switch,
    /// `kill -9` of the control plane, and a new one.
    KillServe,
    /// `kill -9` of the control plane and of the master; the next control plane finds both dead.
    KillServeAndMaster,
}

impl Fault {
    /// How often it is drawn, beside the others.
    const fn weight(self) -> usize {
        match self {
            Self::KillMaster => 24,
            Self::Switch => 4,
            Self::KillReplica | Self::KillBoth | Self::KillServe | Self::KillServeAndMaster => 2,
            Self::HaltMaster | Self::HangMaster => 1,
        }
    }

    /// Draws one.
    pub(super) fn draw(random: &mut SmallRng) -> Self {
        let drawn = Self::VARIANTS.choose_weighted(random, |fault| fault.weight());
        // There are some, and their weights are above zero.
        drawn.copied().unwrap_or(Self::KillMaster)
    }

    /// Whether clients must not notice anything at all.
    pub(super) const fn is_silent(self) -> bool {
        matches!(self, Self::KillReplica | Self::HaltMaster | Self::KillServe)
    }

    /// Whether nobody else may call the API meanwhile.
    pub(super) const fn ends_serve(self) -> bool {
        matches!(self, Self::KillServe | Self::KillServeAndMaster)
    }
}
