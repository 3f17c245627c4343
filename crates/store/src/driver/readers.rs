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
