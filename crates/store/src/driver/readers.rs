//! Reading a SQLite file: a few connections, each reading a snapshot that writers do not disturb.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::sqlite::{self, SqliteConnection};
use super::{Access, BoxedJob, Connection, Job};
use crate::error::StoreError;

/// How many reads run at a time; a read is short and needs a processor.
const READERS: usize = 4;

/// The connections that are not in use.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<SqliteConnection>>,
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
            Some(connection) => connection,
            None => sqlite::open_reader(&self.path)?,
        };
        connection.begin(Access::Read)?;
        job.run(&mut connection);
        connection.rollback();
        self.idle().push(connection);
        Ok(())
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
