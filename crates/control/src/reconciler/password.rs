//! Replacing the password of an instance's tenant, beside the stages that are one call to the
//! substrate.
//!
//! Engines take the wanted password beside the former ones, which is proven and remembered; only
//! then do they refuse the former ones. Whoever goes on after an interruption does the stride again
//! that was not remembered, and at any time the former or the wanted password gets in. An engine
//! that does not run is told what holds when it starts.
//!
//! Nothing else waits for this: where an engine does not do it, the pass goes on without, and fails
//! at its end, to be tried again.

use ourkv_domain::event::{Event, EventKind};
use ourkv_domain::instance::{PasswordChange, Stride};

use super::World;
use super::load::Loaded;
use super::report::Failure;
use super::step::Step;
use crate::substrate::{Health, Seen};

/// What is to be done next about a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// Have engines take the wanted one.
    Admit,
    /// Remember that it gets in everywhere.
    NoteAdmitted,
    /// Have engines refuse the former ones.
    Dismiss,
    /// Remember that it alone gets in.
    NoteDismissed,
}

impl Passing {
    /// What is to be done about an instance whose change has come so far.
    pub(super) fn of(loaded: &Loaded) -> Option<Self> {
        // Without the store it could not be remembered.
        let change = loaded.unit.secrets.change.as_ref().filter(|_| !loaded.away)?;
        Some(match change.stride {
            Stride::Adding => Self::Admit,
            Stride::Dropping => Self::Dismiss,
        })
    }

    /// What comes after it.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Admit => Some(Self::NoteAdmitted),
            Self::NoteAdmitted => Some(Self::Dismiss),
            Self::Dismiss => Some(Self::NoteDismissed),
            Self::NoteDismissed => None,
        }
    }

    /// Whether it can be done now: an engine that does not answer yet would keep what it has.
    pub(super) fn is_possible(self, seen: &Seen) -> bool {
        matches!(self, Self::NoteAdmitted | Self::NoteDismissed)
            || seen.running.values().all(|health| *health != Health::Starting)
    }
}

/// Remembers how far a change has come. False if another one followed it meanwhile.
pub(super) async fn note(
    world: &World,
    loaded: &mut Loaded,
    passing: Passing,
    steps: &mut Vec<Step>,
) -> Result<bool, Failure> {
    let Some(change) = loaded.unit.secrets.change.clone() else { return Ok(true) };
    let (id, serial) = (loaded.instance.id.clone(), change.serial);
    let (step, done) = match passing {
        Passing::NoteAdmitted => {
            let write = world.store.write(move |tx| tx.password_added(&id, serial));
            let step = Step::RecordPasswordAdmitted;
            (step, step.run(async { write.await.map_err(Failure::from) }).await?)
        }
        Passing::NoteDismissed => {
            let detail = format!("of {id}; former ones open nothing any more");
            let (at, kind) = (world.clock.now(), EventKind::PasswordReset);
            let event = Event { instance: id, at, kind, detail };
            let write = world
                .store
                .write(move |tx| tx.end_password_change(&event.instance, serial, &event));
            let step = Step::RecordPasswordReset;
            (step, step.run(async { write.await.map_err(Failure::from) }).await?)
        }
        Passing::Admit | Passing::Dismiss => return Ok(true),
    };
    steps.push(step);
    if done {
        let secrets = &mut loaded.unit.secrets;
        secrets.change = (passing == Passing::NoteAdmitted).then(|| PasswordChange {
            stride: Stride::Dropping,
            former: Vec::new(),
            ..change
        });
        world.memory.keep(&loaded.instance, secrets);
        if secrets.change.is_none() {
            tracing::info!(instance.id = %loaded.instance.id, "password replaced");
        }
    }
    Ok(done)
}
