//! What an instance should be, what it was seen to be, and the word shown for it.
//!
//! Three vocabularies kept apart: [`Intent`] is written by actions and timed jobs, [`Phase`] by
//! the reconciler from what it observed, and [`Status`] is the vendor's word made of the two.
//! `Normal` therefore always means that a login was seen to work.

use jiff::Timestamp;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// What an instance should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantArray)]
pub enum Intent {
    /// Its engines should run.
    Run,
    /// It expired or its owner is in arrears: nothing runs, the data stays.
    Stop,
    /// Nothing of it should remain.
    Delete,
}

/// What is to be done about an instance that answered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Pending {
    /// Nothing that is shown.
    Nothing,
    /// Its data are to be replaced by those of a backup.
    Restore,
    /// Its engines are to exchange their roles.
    Switch,
}

/// What an instance was last seen to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It never answered yet; `trouble` says why not, once that is known.
    Creating {
        /// Why the last attempt to start it failed.
        trouble: Option<String>,
    },
    /// A login at its address got a PONG.
    Normal,
    /// It answered before and does not now.
    Unavailable {
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing of it runs, as intended.
    Inactive,
}

impl Phase {
    /// The phase after a login at the returned address worked.
    #[must_use]
    pub fn answering(self) -> Self {
        Self::Normal
    }

    /// The phase after the instance failed to answer.
    #[must_use]
    pub fn failing(self, reason: impl Into<String>) -> Self {
        match self {
            Self::Creating { .. } => Self::Creating { trouble: Some(reason.into()) },
            Self::Normal | Self::Unavailable { .. } | Self::Inactive => {
                Self::Unavailable { reason: reason.into() }
            }
        }
    }

    /// The phase after all its engines were stopped on purpose.
    #[must_use]
    pub fn stopped(self) -> Self {
        Self::Inactive
    }

    /// What is wrong, where something is.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Creating { trouble } => trouble.as_deref(),
            Self::Unavailable { reason } => Some(reason),
            Self::Normal | Self::Inactive => None,
        }
    }
}

/// A phase and since when it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The phase.
    pub phase: Phase,
    /// The generation of the intent that this was seen for; lower means a change is under way.
    pub generation: i64,
    /// Since when.
    pub since: Timestamp,
}

/// The vendor's `InstanceStatus` (lifecycle of the service, section 1): all words that the
/// `InstanceStatus` filter knows.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[expect(missing_docs, reason = "the vendor's words, explained in its documentation")]
pub enum Status {
    Creating,
    Normal,
    Changing,
    Rebooting,
    Flushing,
    BackupRecovering,
    NetworkModifying,
    SSLModifying,
    MinorVersionUpgrading,
    MajorVersionUpgrading,
    Migrating,
    HASwitching,
    Transforming,
    Inactive,
    Released,
    Unavailable,
    Error,
}

impl Status {
    /// The word for an intent, a phase and what is pending; `None` when the instance is gone for
    /// its owner. A new instance that begins with a backup's data is `Creating`.
    pub fn of(intent: Intent, phase: &Phase, pending: Pending) -> Option<Self> {
        match (intent, phase) {
            (Intent::Delete, _) => None,
            (Intent::Stop, _) => Some(Self::Inactive),
            (Intent::Run, Phase::Creating { .. }) => Some(Self::Creating),
            (Intent::Run, Phase::Normal | Phase::Unavailable { .. }) => Some(match pending {
                Pending::Restore => Self::BackupRecovering,
                Pending::Switch => Self::HASwitching,
                Pending::Nothing if *phase == Phase::Normal => Self::Normal,
                Pending::Nothing => Self::Unavailable,
            }),
            (Intent::Run, Phase::Inactive) => Some(Self::Changing),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn unavailable() -> Phase {
        Phase::Unavailable { reason: "died".into() }
    }

    #[rstest]
    #[case(Intent::Run, Phase::Creating { trouble: None }, Some(Status::Creating))]
    #[case(Intent::Run, Phase::Normal, Some(Status::Normal))]
    #[case(Intent::Run, unavailable(), Some(Status::Unavailable))]
    #[case(Intent::Run, Phase::Inactive, Some(Status::Changing))]
    #[case(Intent::Stop, Phase::Normal, Some(Status::Inactive))]
    #[case(Intent::Stop, Phase::Inactive, Some(Status::Inactive))]
    #[case(Intent::Delete, Phase::Normal, None)]
    #[case(Intent::Delete, unavailable(), None)]
    fn shows_the_vendors_word(
        #[case] intent: Intent,
        #[case] phase: Phase,
        #[case] status: Option<Status>,
    ) {
        assert_eq!(Status::of(intent, &phase, Pending::Nothing), status);
    }

    #[rstest]
    #[case(Intent::Run, Phase::Creating { trouble: None }, Some(Status::Creating))]
    #[case(Intent::Run, Phase::Normal, Some(Status::BackupRecovering))]
    #[case(Intent::Run, unavailable(), Some(Status::BackupRecovering))]
    #[case(Intent::Run, Phase::Inactive, Some(Status::Changing))]
    #[case(Intent::Stop, Phase::Normal, Some(Status::Inactive))]
    #[case(Intent::Delete, Phase::Normal, None)]
    fn what_is_pending_is_shown_of_what_answered_before(
        #[case] intent: Intent,
        #[case] phase: Phase,
        #[case] status: Option<Status>,
    ) {
        assert_eq!(Status::of(intent, &phase, Pending::Restore), status);
        let switching = match status {
            Some(Status::BackupRecovering) => Some(Status::HASwitching),
            other => other,
        };
        assert_eq!(Status::of(intent, &phase, Pending::Switch), switching);
    }

    #[test]
    fn an_instance_that_never_answered_stays_creating() {
        let phase = Phase::Creating { trouble: None }.failing("no memory");
        assert_eq!(phase, Phase::Creating { trouble: Some("no memory".into()) });
        assert_eq!(phase.trouble(), Some("no memory"));
    }

    #[test]
    fn an_instance_that_answered_before_becomes_unavailable() {
        assert_eq!(Phase::Normal.failing("died"), unavailable());
        assert_eq!(unavailable().answering(), Phase::Normal);
    }
}
