//! Reading a SQLite file: a few connections, each reading a snapshot that writers do not disturb.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::sqlite::{self, SqliteConnection};
use super::{Access, BoxedJob, Connection, Job};
use crate::error::StoreError;

/// How many reads run at a time; a read is short and needs a processor.
const READERS: usize = 4;
/// A connection that was not used for as long is closed: pages and statements that it keeps are
/// most of what an idle control plane has in memory, and another is open in an instant.
const UNUSED: Duration = Duration::from_secs(1);

/// The connections that are not in use, the last one used at the end.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<(Instant, SqliteConnection)>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default(), permits: Arc::new(Semaphore::new(READERS)) }
    }

    /// Waits for one's turn.
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let closed = |_| StoreError::Unavailable { detail: "the store is closed".into() };
        self.permits.clone().acquire_owned().await.map_err(closed)
    }

    /// Runs a job in a transaction that only reads, and answers it.
    pub(crate) fn perform(&self, mut job: BoxedJob) {
        let outcome = self.run(job.as_mut());
        job.finish(outcome);
    }

    fn run(&self, job: &mut dyn Job) -> Result<(), StoreError> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some((_, connection)) => connection,
            None => sqlite::open_reader(&self.path)?,
        };
        connection.begin(Access::Read)?;
        job.run(&mut connection);
        connection.rollback();
        self.put_back(connection, Instant::now());
        Ok(())
    }

    fn put_back(&self, connection: SqliteConnection, now: Instant) {
        let mut idle = self.idle();
        let unused = idle.first().is_some_and(|(since, _)| now.duration_since(*since) > UNUSED);
        let unused = unused.then(|| idle.remove(0));
        idle.push((now, connection));
        drop(idle);
        // It is closed while nobody waits for the others.
        drop(unused);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, SqliteConnection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_is_closed_and_one_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (i)").unwrap();
        let (readers, now) = (Readers::new(path.clone()), Instant::now());
        for _ in 0..3 {
            readers.put_back(sqlite::open_reader(&path).unwrap(), now);
        }
        let mut left = Vec::new();
        for turn in 1..5 {
            let (_, connection) = readers.idle().pop().unwrap();
            readers.put_back(connection, now + UNUSED * 2 * turn);
            left.push(readers.idle().len());
        }
        assert_eq!(left, [2, 1, 1, 1]);
        let (_, mut connection) = readers.idle().pop().unwrap();
        assert_eq!(connection.query("SELECT * FROM t", &[]).unwrap().values.len(), 0);
    }
}
