//! The work of one caller, from the closure to the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::driver::{Connection, Job, Verdict};
use crate::error::StoreError;
use crate::seal::Sealer;
use crate::tx::Tx;

/// A closure, its outcome, and where the outcome goes.
pub(crate) struct Task<W, T, E, A> {
    work: W,
    sealer: Sealer,
    outcome: Option<Result<T, E>>,
    answer: A,
    urgent: bool,
}

impl<W, T, E, A> Task<W, T, E, A>
where
    W: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
    A: FnOnce(Result<T, E>) + Send,
{
    pub(crate) fn new(work: W, sealer: Sealer, answer: A) -> Self {
        Self { work, sealer, outcome: None, answer, urgent: true }
    }

    /// The same for work that nobody waits for.
    pub(crate) fn later(work: W, sealer: Sealer, answer: A) -> Self {
        Self { urgent: false, ..Self::new(work, sealer, answer) }
    }
}

impl<W, T, E, A> Job for Task<W, T, E, A>
where
    W: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
    A: FnOnce(Result<T, E>) + Send,
{
    fn run(&mut self, connection: &mut dyn Connection) -> Verdict {
        let mut tx = Tx::new(connection, &self.sealer);
        let work = &mut self.work;
        // What the work left half done is undone with its transaction.
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut tx)));
        let failure = tx.into_failure();
        let (outcome, verdict) = match (result, failure) {
            (Err(_), _) => (Err(E::from(StoreError::Panicked)), Verdict::Discard(None)),
            (Ok(Ok(_)), Some(failure)) => {
                (Err(E::from(failure.clone())), Verdict::Discard(Some(failure)))
            }
            (Ok(Err(error)), failure) => (Err(error), Verdict::Discard(failure)),
            (Ok(Ok(value)), None) => (Ok(value), Verdict::Keep),
        };
        self.outcome = Some(outcome);
        verdict
    }

    fn finish(self: Box<Self>, transaction: Result<(), StoreError>) {
        let missing = || StoreError::Unavailable { detail: "the work was not run".into() };
        (self.answer)(match transaction {
            Ok(()) => self.outcome.unwrap_or_else(|| Err(E::from(missing()))),
            Err(error) => Err(E::from(error)),
        });
    }

    fn urgent(&self) -> bool {
        self.urgent
    }
}
