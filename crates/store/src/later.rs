//! Work on PostgreSQL that nobody waits for: one thread, many jobs to a transaction.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::driver::BoxedJob;
use crate::driver::postgres::Postgres;

/// The most jobs in the queue.
const QUEUE: usize = 8192;
/// The most jobs of one transaction.
const BATCH: usize = 256;

enum Message {
    Job(BoxedJob),
    /// Answered when everything before it is done.
    Flush(SyncSender<()>),
}

/// The queue and its thread.
pub(crate) struct Later {
    queue: Mutex<Option<SyncSender<Message>>>,
    thread: Option<JoinHandle<()>>,
}

impl Later {
    pub(crate) fn start(database: Arc<Postgres>) -> std::io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-later".into())
            .spawn(move || work(&database, &messages))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Some(thread) })
    }

    /// Queues a job; false if there are too many already.
    pub(crate) fn submit(&self, job: BoxedJob) -> bool {
        match self.queue.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(queue) => !matches!(
                queue.try_send(Message::Job(job)),
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_))
            ),
            None => false,
        }
    }

    /// Waits until everything queued is done.
    pub(crate) fn flush(&self) {
        let (done, flushed) = sync_channel(1);
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if queue.is_some_and(|queue| queue.send(Message::Flush(done)).is_ok()) {
            // An error means that the thread is gone, and then nothing is queued.
            let _ = flushed.recv();
        }
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take()
            // The work of a job may hold the last reference to the store.
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread for queued work panicked");
        }
    }
}

fn work(database: &Postgres, messages: &Receiver<Message>) {
    while let Ok(first) = messages.recv() {
        let mut jobs = Vec::new();
        let mut flushed = None;
        for message in std::iter::once(first).chain(messages.try_iter()) {
            match message {
                Message::Job(job) => jobs.push(job),
                Message::Flush(done) => flushed = Some(done),
            }
            if jobs.len() == BATCH || flushed.is_some() {
                break;
            }
        }
        database.run_batch(jobs);
        if let Some(done) = flushed {
            // Whoever asked may have gone away.
            let _ = done.send(());
        }
    }
}
