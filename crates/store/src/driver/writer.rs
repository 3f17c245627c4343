//! The thread that does all writing to a SQLite file.
//!
//! Group commit: whatever waits when a commit begins shares it, so the cost of making an answer
//! durable is divided by the number of those who wait. Work that nobody waits for does not cause a
//! commit of its own at once; it waits [`LINGER`] for others to ride with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::sqlite::SqliteConnection;
use super::{BoxedJob, batch};
use crate::error::StoreError;

/// The most jobs that share a commit.
const BATCH: usize = 512;
/// How long work that nobody waits for may stay in memory before it is written.
const LINGER: Duration = Duration::from_millis(100);
/// The most jobs that nobody waits for; further ones are dropped and counted.
const LATER: u64 = 8192;

/// The queue of the thread, and the thread.
pub(crate) struct Writer {
    queue: Mutex<Option<Sender<BoxedJob>>>,
    thread: Option<JoinHandle<()>>,
    /// Jobs in the queue that nobody waits for.
    later: Arc<AtomicU64>,
}

impl Writer {
    /// Gives the connection a thread.
    pub(crate) fn start(connection: SqliteConnection) -> std::io::Result<Self> {
        let (queue, jobs) = channel();
        let later = Arc::new(AtomicU64::new(0));
        let waiting = later.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || work(connection, &jobs, &waiting))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Some(thread), later })
    }

    /// Queues a job that someone waits for.
    pub(crate) fn submit(&self, job: BoxedJob) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = match queue.as_ref() {
            Some(queue) => queue.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        if let Some(job) = refused {
            job.finish(Err(StoreError::Unavailable { detail: "the store is closed".into() }));
        }
    }

    /// Queues a job that nobody waits for; false if there are too many already.
    pub(crate) fn submit_later(&self, job: BoxedJob) -> bool {
        if self.later.fetch_add(1, Ordering::Relaxed) >= LATER {
            self.later.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.submit(job);
        true
    }
}

impl Drop for Writer {
    /// Writes what is queued.
    fn drop(&mut self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take()
            // The work of a job may hold the last reference to the store.
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the store panicked");
        }
    }
}

fn work(mut connection: SqliteConnection, jobs: &Receiver<BoxedJob>, later: &AtomicU64) {
    while let Ok(first) = jobs.recv() {
        let batch = gather(first, jobs);
        let idle = batch.iter().filter(|job| !job.urgent()).count();
        later.fetch_sub(idle as u64, Ordering::Relaxed);
        batch::run(&mut connection, batch);
    }
}

/// The jobs that will share a commit.
fn gather(first: BoxedJob, jobs: &Receiver<BoxedJob>) -> Vec<BoxedJob> {
    let deadline = Instant::now() + LINGER;
    let mut urgent = first.urgent();
    let mut batch = vec![first];
    while batch.len() < BATCH {
        let patience = if urgent {
            Duration::ZERO
        } else {
            deadline.saturating_duration_since(Instant::now())
        };
        match jobs.recv_timeout(patience) {
            Ok(job) => {
                urgent |= job.urgent();
                batch.push(job);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    batch
}
