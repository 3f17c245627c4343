//! Many jobs in one transaction, each undone by itself where it fails.

use std::collections::VecDeque;

use super::{Access, BoxedJob, Connection, Job, Verdict};
use crate::error::StoreError;

/// Runs all jobs with as few commits as possible (one, unless the database gives up a
/// transaction) and then answers each.
pub(crate) fn run(connection: &mut dyn Connection, jobs: Vec<BoxedJob>) {
    let mut waiting = VecDeque::from(jobs);
    while !waiting.is_empty() {
        if let Err(error) = connection.begin(Access::Write) {
            for job in waiting {
                job.finish(Err(error.clone()));
            }
            return;
        }
        let mut done = Vec::with_capacity(waiting.len());
        let mut outcome = Ok(());
        while let Some(mut job) = waiting.pop_front() {
            outcome = run_alone(connection, job.as_mut());
            done.push(job);
            if outcome.is_err() || !connection.in_transaction() {
                break;
            }
        }
        let outcome = outcome.and_then(|()| connection.commit());
        if outcome.is_err() {
            connection.rollback();
        }
        for job in done {
            job.finish(outcome.clone());
        }
    }
}

/// Runs a job between savepoints; an error means that the transaction is lost.
fn run_alone(connection: &mut dyn Connection, job: &mut dyn Job) -> Result<(), StoreError> {
    connection.execute("SAVEPOINT job", &[])?;
    match job.run(connection) {
        Verdict::Keep => {}
        Verdict::Discard(cause) if !connection.in_transaction() => {
            let lost = || StoreError::Unavailable { detail: "the transaction was given up".into() };
            return Err(cause.unwrap_or_else(lost));
        }
        Verdict::Discard(_) => {
            connection.execute("ROLLBACK TO SAVEPOINT job", &[])?;
        }
    }
    connection.execute("RELEASE SAVEPOINT job", &[])?;
    Ok(())
}
