//! The store: a database, the key to its secrets, and ways to run work in a transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use crate::driver::postgres::Postgres;
use crate::driver::readers::Readers;
use crate::driver::writer::Writer;
use crate::driver::{Access, sqlite};
use crate::error::{OpenError, StoreError};
use crate::job::Task;
use crate::later::Later;
use crate::location::Location;
use crate::manifest::{Manifest, ManifestError};
use crate::node::Hold;
use crate::seal::Sealer;
use crate::tx::Tx;

/// An open database; clones share it.
///
/// The asynchronous methods need a tokio runtime, the blocking ones must not be called inside of
/// one. When the last clone goes, everything queued is written first.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    hold: Option<Arc<Hold>>,
}

struct Inner {
    // Readers close before the writer, so that the writer is the one who tidies the file up.
    driver: Driver,
    sealer: Sealer,
    /// How much work that nobody waits for was dropped.
    dropped: Arc<AtomicU64>,
}

enum Driver {
    Sqlite { readers: Readers, writer: Writer },
    Postgres { later: Later, database: Arc<Postgres> },
}

impl Store {
    /// Opens a database and brings its schema up to date; a missing file is made, 0600. Blocking.
    pub fn open(location: &Location, sealer: Sealer) -> Result<Self, OpenError> {
        let driver = match location {
            Location::Sqlite(path) => {
                let connection = sqlite::open(path, &sealer)?;
                let writer = Writer::start(connection)
                    .map_err(|source| OpenError::File { path: path.clone(), source })?;
                Driver::Sqlite { readers: Readers::new(path.clone()), writer }
            }
            Location::Postgres(url) => {
                let database = Arc::new(Postgres::open(url, &sealer)?);
                let later = Later::start(database.clone()).map_err(|error| {
                    StoreError::Unavailable { detail: format!("no thread to be had: {error}") }
                })?;
                Driver::Postgres { later, database }
            }
        };
        let inner = Inner { driver, sealer, dropped: Arc::default() };
        Ok(Self { inner: Arc::new(inner), hold: None })
    }

    /// Runs `work` in a transaction that is durable when this returns `Ok`.
    ///
    /// An error or a panic of the work undoes all of it. The work may run more than once, and it
    /// runs to its end even if the caller stops waiting.
    pub async fn write<T, E>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, outcome) = oneshot::channel();
        let work = held(self.hold.clone(), Access::Write, work);
        let task = Task::new(work, self.inner.sealer.clone(), move |result| {
            // Whoever asked may have gone away.
            let _ = answer.send(result);
        });
        match &self.inner.driver {
            Driver::Sqlite { writer, .. } => writer.submit(Box::new(task)),
            Driver::Postgres { database, .. } => {
                let permit = database.permit().await?;
                let database = database.clone();
                tokio::task::spawn_blocking(move || {
                    database.perform(Access::Write, Box::new(task));
                    drop((database, permit));
                });
            }
        }
        outcome.await.unwrap_or_else(|_| Err(E::from(lost())))
    }

    /// Runs `work` in a transaction that sees one state of the database and writes nothing.
    pub async fn read<T, E>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = match &self.inner.driver {
            Driver::Sqlite { readers, .. } => readers.permit().await?,
            Driver::Postgres { database, .. } => database.permit().await?,
        };
        let store = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let result = store.read_blocking(work);
            drop((store, permit));
            result
        });
        reading.await.unwrap_or_else(|_| Err(E::from(lost())))
    }

    /// Reads a thing or two by their keys. That takes an embedded database microseconds, less than
    /// handing the work to another thread: it is done on the caller's.
    pub async fn look_up<T, E>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.inner.driver {
            Driver::Sqlite { readers, .. } => {
                let _permit = readers.permit().await?;
                self.read_blocking(work)
            }
            Driver::Postgres { .. } => self.read(work).await,
        }
    }

    /// [`Self::write`] for a program without a runtime.
    pub fn write_blocking<T, E>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.on_this_thread(Access::Write, work)
    }

    /// [`Self::read`] for a program without a runtime.
    pub fn read_blocking<T, E>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.on_this_thread(Access::Read, work)
    }

    fn on_this_thread<T, E>(
        &self,
        access: Access,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, outcome) = std::sync::mpsc::sync_channel(1);
        let work = held(self.hold.clone(), access, work);
        let task = Task::new(work, self.inner.sealer.clone(), move |result| {
            let _ = answer.send(result);
        });
        match (&self.inner.driver, access) {
            (Driver::Sqlite { writer, .. }, Access::Write) => writer.submit(Box::new(task)),
            (Driver::Sqlite { readers, .. }, Access::Read) => readers.perform(Box::new(task)),
            (Driver::Postgres { database, .. }, access) => database.perform(access, Box::new(task)),
        }
        outcome.recv().unwrap_or_else(|_| Err(E::from(lost())))
    }

    /// Queues work that nobody waits for. It is written within a fraction of a second; if too much
    /// is queued it is dropped and counted, and if it fails that is logged.
    pub fn write_later(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static,
    ) {
        let dropped = self.inner.dropped.clone();
        let task =
            Task::later(work, self.inner.sealer.clone(), move |result: Result<(), StoreError>| {
                if let Err(error) = result {
                    dropped.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, "queued work was not written");
                }
            });
        let queued = match &self.inner.driver {
            Driver::Sqlite { writer, .. } => writer.submit_later(Box::new(task)),
            Driver::Postgres { later, .. } => later.submit(Box::new(task)),
        };
        if !queued && self.inner.dropped.fetch_add(1, Ordering::Relaxed).is_multiple_of(1000) {
            tracing::warn!("too much work is queued for the store; some is dropped");
        }
    }

    /// Reads a manifest that was signed with the key of this store.
    pub fn open_manifest(&self, text: &[u8]) -> Result<Manifest, ManifestError> {
        Manifest::open(text, &self.inner.sealer)
    }

    pub(crate) fn with_hold(&self, hold: Arc<Hold>) -> Self {
        Self { inner: Arc::clone(&self.inner), hold: Some(hold) }
    }

    pub(crate) fn hold(&self) -> Option<&Hold> {
        self.hold.as_deref()
    }

    /// How much work of [`Self::write_later`] was not written, since the store was opened.
    pub fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    /// Returns when everything that was queued before is written. Further clones stay usable.
    pub async fn close(self) {
        let closing = tokio::task::spawn_blocking(move || {
            match &self.inner.driver {
                // The queue keeps its order.
                Driver::Sqlite { .. } => {
                    let _ = self.write_blocking(|_| Ok::<_, StoreError>(()));
                }
                Driver::Postgres { later, .. } => later.flush(),
            }
            drop(self);
        });
        if closing.await.is_err() {
            tracing::error!("the store was not closed in order");
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.inner.driver {
            Driver::Sqlite { .. } => "Store(SQLite)",
            Driver::Postgres { .. } => "Store(PostgreSQL)",
        })
    }
}

/// The work, once the lease under which it is done was checked.
fn held<T, E: From<StoreError>>(
    hold: Option<Arc<Hold>>,
    access: Access,
    mut work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
) -> impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static {
    move |tx| {
        if let Some(hold) = &hold {
            hold.check(tx, access == Access::Write)?;
        }
        work(tx)
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable { detail: "the work was lost".into() }
}
