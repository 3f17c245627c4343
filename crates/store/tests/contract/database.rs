//! A fresh database of either kind.

use std::path::PathBuf;
use std::sync::Arc;

use ourkv_domain::mint::Mint;
use ourkv_store::testing::TemporaryPostgres;
use ourkv_store::{Location, Sealer, Store, StoreError, Tx};
use tempfile::TempDir;

/// A database that can be opened again and again.
pub(crate) struct Database {
    pub(crate) location: Location,
    pub(crate) store: Store,
    _directory: TempDir,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(directory.path().join("ourkv.db"));
        Self::at(location, directory)
    }

    pub(crate) fn postgres() -> Self {
        Self::at(Self::fresh_postgres(), tempfile::tempdir().unwrap())
    }

    /// A PostgreSQL database that nobody opened yet.
    pub(crate) fn fresh_postgres() -> Location {
        Location::Postgres(TemporaryPostgres::shared().url())
    }

    fn at(location: Location, directory: TempDir) -> Self {
        let store = Store::open(&location, sealer(7)).unwrap();
        Self { location, store, _directory: directory }
    }

    /// A second store on the same database, as another process would have.
    pub(crate) fn reopened(&self) -> Store {
        Store::open(&self.location, sealer(7)).unwrap()
    }

    pub(crate) fn path(&self) -> Option<PathBuf> {
        match &self.location {
            Location::Sqlite(path) => Some(path.clone()),
            Location::Postgres(_) => None,
        }
    }

    /// Runs SQL behind the store's back.
    pub(crate) fn tamper(&self, sql: &str) {
        match &self.location {
            Location::Sqlite(path) => {
                rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
            }
            Location::Postgres(url) => {
                let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
                client.batch_execute(sql).unwrap();
            }
        }
    }

    /// The names of its tables.
    pub(crate) fn tables(&self) -> Vec<String> {
        match &self.location {
            Location::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                let sql = "SELECT name FROM sqlite_master WHERE type = 'table'";
                let mut names = connection.prepare(sql).unwrap();
                let names = names.query_map([], |row| row.get(0)).unwrap();
                names.collect::<Result<_, _>>().unwrap()
            }
            Location::Postgres(url) => {
                let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
                let sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
                let rows = client.query(sql, &[]).unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write_blocking(work).unwrap()
    }

    pub(crate) fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.read_blocking(work).unwrap()
    }

    /// Runs the same work `times` times at once and returns what each got.
    pub(crate) fn race<T: Send + 'static>(
        &self,
        times: usize,
        work: impl Fn(usize, &mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Vec<Result<T, StoreError>> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let work = Arc::new(work);
        runtime.block_on(async {
            let mut racers = Vec::new();
            for number in 0..times {
                let (store, work) = (self.store.clone(), work.clone());
                racers.push(tokio::spawn(
                    async move { store.write(move |tx| work(number, tx)).await },
                ));
            }
            let mut results = Vec::new();
            for racer in racers {
                results.push(racer.await.unwrap());
            }
            results
        })
    }
}

/// A sealer with 32 times the byte `key` for a key.
pub(crate) fn sealer(key: u8) -> Sealer {
    Sealer::new([key; 32], Arc::new(Mint::from_seed([key; 32])))
}
