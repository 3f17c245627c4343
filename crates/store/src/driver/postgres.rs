//! PostgreSQL: a pool of connections, and what to do when transactions collide or a server goes
//! away.
//!
//! Writes are READ COMMITTED and lock the rows they decide on; reads see one snapshot. A
//! transaction that collided, or whose connection was lost before its commit was sent, is run
//! again. When the answer to a commit is lost it is not: whether it took place cannot be known.
//! Values carry their types, so a statement takes one round trip and leaves nothing on the server
//! (which also suits poolers such as pgbouncer).
//!
//! TLS is not supported: a URL with `sslmode=require` is refused by the driver.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use postgres::error::SqlState;
use postgres::types::{ToSql, Type};
use postgres::{Client, Config, NoTls};
use r2d2_postgres::PostgresConnectionManager;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Access, BoxedJob, Connection, Job, Rows, Verdict, batch};
use crate::column::Value;
use crate::error::{OpenError, StoreError, chain};
use crate::schema;
use crate::seal::Sealer;

type Manager = PostgresConnectionManager<NoTls>;

/// Connections per process.
const CONNECTIONS: u32 = 12;
/// How long a server is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection that is silent for that long is asked for a sign of life, and given up when there
/// is none within [`PATIENCE`] times two: otherwise an answer that a lost machine owes would be
/// waited for for hours.
const SILENCE: Duration = Duration::from_secs(10);
/// How often a transaction is tried: more often than there are connections that a restart of the
/// server may have broken.
const ATTEMPTS: u32 = 20;
/// Keeps processes that start at once from migrating twice: "ourkv" as a number.
const MIGRATION_LOCK: i64 = 0x6f_75_72_6b_76;

/// A PostgreSQL database.
pub(crate) struct Postgres {
    pool: Option<r2d2::Pool<Manager>>,
    permits: Arc<Semaphore>,
}

impl Postgres {
    /// Connects, brings the schema up to date and fills the pool.
    pub(crate) fn open(url: &str, sealer: &Sealer) -> Result<Self, OpenError> {
        let config = config(url)?;
        let mut client = config.connect(NoTls).map_err(|error| store_error(&error))?;
        migrate(&mut client)?;
        schema::check_key(&mut PostgresConnection::new(&mut client), sealer)?;
        let pool = r2d2::Pool::builder()
            .max_size(CONNECTIONS)
            .min_idle(Some(1))
            .connection_timeout(PATIENCE)
            .test_on_check_out(false)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build(PostgresConnectionManager::new(config, NoTls))
            .map_err(|error| StoreError::Unavailable { detail: error.to_string() })?;
        Ok(Self { pool: Some(pool), permits: Arc::new(Semaphore::new(CONNECTIONS as usize)) })
    }

    /// Waits for one's turn.
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        self.permits.clone().acquire_owned().await.map_err(|_| closed())
    }

    /// Runs a job in a transaction of its own and answers it.
    pub(crate) fn perform(&self, access: Access, mut job: BoxedJob) {
        let outcome = self.run(access, job.as_mut());
        job.finish(outcome);
    }

    /// Runs jobs that share a transaction.
    pub(crate) fn run_batch(&self, jobs: Vec<BoxedJob>) {
        if jobs.is_empty() {
            return;
        }
        match self.live_client() {
            Ok(mut client) => batch::run(&mut PostgresConnection::new(&mut client), jobs),
            Err(error) => jobs.into_iter().for_each(|job| job.finish(Err(error.clone()))),
        }
    }

    /// A connection that answers: work that nobody waits for is nobody's to try again.
    fn live_client(&self) -> Result<r2d2::PooledConnection<Manager>, StoreError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut client = self.client()?;
            match client.batch_execute("") {
                Ok(()) => return Ok(client),
                Err(error) if attempt == ATTEMPTS => return Err(store_error(&error)),
                Err(_) => {}
            }
        }
    }

    fn client(&self) -> Result<r2d2::PooledConnection<Manager>, StoreError> {
        let pool = self.pool.as_ref().ok_or_else(closed)?;
        pool.get().map_err(|error| StoreError::Unavailable { detail: error.to_string() })
    }

    /// `Ok` means that the job's own outcome holds.
    fn run(&self, access: Access, job: &mut dyn Job) -> Result<(), StoreError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut client = self.client()?;
            let mut connection = PostgresConnection::new(&mut client);
            match run_once(&mut connection, access, job) {
                Attempt::Again(_) if attempt < ATTEMPTS => {}
                Attempt::Again(outcome) | Attempt::Done(outcome) => return outcome,
            }
            drop(client);
            std::thread::sleep(Duration::from_millis(u64::from(attempt) * 2));
        }
    }
}

impl Drop for Postgres {
    /// A connection closes with a runtime of its own, which may not be done inside another's.
    fn drop(&mut self) {
        let pool = self.pool.take();
        let closing = std::thread::Builder::new().spawn(move || drop(pool));
        if closing.map(std::thread::JoinHandle::join).is_err() {
            tracing::warn!("connections to PostgreSQL were not closed in order");
        }
    }
}

enum Attempt {
    Done(Result<(), StoreError>),
    /// It certainly did not take place and may be tried again.
    Again(Result<(), StoreError>),
}

fn run_once(connection: &mut PostgresConnection<'_>, access: Access, job: &mut dyn Job) -> Attempt {
    if let Err(error) = connection.begin(access) {
        return if connection.in_transaction() {
            Attempt::Done(Err(error))
        } else {
            Attempt::Again(Err(error))
        };
    }
    match job.run(connection) {
        Verdict::Keep => Attempt::Done(connection.commit()),
        Verdict::Discard(cause) => {
            connection.rollback();
            let lost = !connection.in_transaction();
            match cause {
                Some(StoreError::Conflict) => Attempt::Again(Ok(())),
                Some(StoreError::Unavailable { .. }) if lost => Attempt::Again(Ok(())),
                _ => Attempt::Done(Ok(())),
            }
        }
    }
}

/// One connection out of the pool.
struct PostgresConnection<'a>(&'a mut Client);

impl<'a> PostgresConnection<'a> {
    fn new(client: &'a mut Client) -> Self {
        Self(client)
    }

    fn control(&mut self, sql: &str) -> Result<(), StoreError> {
        self.0.batch_execute(sql).map_err(|error| store_error(&error))
    }
}

impl Connection for PostgresConnection<'_> {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        self.0.execute_typed(sql, &typed(values)).map_err(|error| store_error(&error))
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Rows, StoreError> {
        let rows = self.0.query_typed(sql, &typed(values)).map_err(|error| store_error(&error))?;
        let columns = match rows.first() {
            Some(row) => row.columns().iter().map(|column| column.name().to_owned()).collect(),
            None => Arc::default(),
        };
        let values = rows.iter().map(row_values).collect::<Result<_, _>>()?;
        Ok(Rows { columns, values })
    }

    fn begin(&mut self, access: Access) -> Result<(), StoreError> {
        self.control(match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        })
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.control("COMMIT")
    }

    fn rollback(&mut self) {
        if self.in_transaction()
            && let Err(error) = self.control("ROLLBACK")
        {
            // The connection is of no more use, and the server undoes what it did.
            tracing::debug!(%error, "a transaction was not rolled back in order");
        }
    }

    fn in_transaction(&self) -> bool {
        !self.0.is_closed()
    }

    fn for_update(&self) -> &'static str {
        " FOR UPDATE"
    }
}

fn config(url: &str) -> Result<Config, OpenError> {
    // The parser's own message may quote parts of the URL.
    let mut config = Config::from_str(url)
        .map_err(|_| OpenError::Url { detail: "not a postgres:// URL".into() })?;
    // A statement that waits forever would keep its connection from everybody else, and a process
    // that was stopped in the middle of a transaction the rows that it locked: it gets less time
    // than those who wait for them.
    let limits = "-c statement_timeout=30s -c idle_in_transaction_session_timeout=10s";
    let options = config.get_options().map_or(limits.into(), |own| format!("{limits} {own}"));
    config
        .options(&options)
        .application_name("ourkv")
        .connect_timeout(PATIENCE)
        .keepalives_idle(SILENCE)
        .keepalives_interval(PATIENCE)
        .keepalives_retries(2)
        .tcp_user_timeout(PATIENCE * 2);
    Ok(config)
}

fn migrate(client: &mut Client) -> Result<(), OpenError> {
    // Held until the session ends or the lock is given back.
    let lock = format!("SELECT pg_advisory_lock({MIGRATION_LOCK})");
    client.batch_execute(&lock).map_err(|error| store_error(&error))?;
    let migrated = schema::migrate(client);
    let unlock = format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})");
    let unlocked = client.batch_execute(&unlock).map_err(|error| store_error(&error));
    migrated?;
    Ok(unlocked?)
}

static NULL: Option<&str> = None;

fn typed(values: &[Value]) -> Vec<(&(dyn ToSql + Sync), Type)> {
    values
        .iter()
        .map(|value| match value {
            // The server finds out itself which type a null is of.
            Value::Null => (&NULL as &(dyn ToSql + Sync), Type::UNKNOWN),
            Value::Int(number) => (number as _, Type::INT8),
            Value::Text(text) => (text as _, Type::TEXT),
            Value::Blob(bytes) => (bytes as _, Type::BYTEA),
        })
        .collect()
}

fn row_values(row: &postgres::Row) -> Result<Vec<Value>, StoreError> {
    let value = |at: usize, kind: &Type| -> Result<Value, postgres::Error> {
        Ok(if *kind == Type::INT8 {
            row.try_get::<_, Option<i64>>(at)?.map_or(Value::Null, Value::Int)
        } else if *kind == Type::INT4 {
            row.try_get::<_, Option<i32>>(at)?.map_or(Value::Null, |n| Value::Int(n.into()))
        } else if *kind == Type::BYTEA {
            row.try_get::<_, Option<Vec<u8>>>(at)?.map_or(Value::Null, Value::Blob)
        } else {
            row.try_get::<_, Option<String>>(at)?.map_or(Value::Null, Value::Text)
        })
    };
    let columns = row.columns().iter().enumerate();
    columns
        .map(|(at, column)| value(at, column.type_()).map_err(|error| store_error(&error)))
        .collect()
}

fn store_error(error: &postgres::Error) -> StoreError {
    let Some(refused) = error.as_db_error() else {
        return StoreError::Unavailable { detail: chain(error) };
    };
    let detail = refused.message().to_owned();
    let code = refused.code();
    // Classes of SQLSTATE: 08 connection, 23 constraint, 53 resources, 57 operator intervention,
    // 58 system error, 28 and 3D refusals to connect; 25006 comes from a replica.
    match code.code().get(..2).unwrap_or_default() {
        _ if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED]
            .contains(code) =>
        {
            StoreError::Conflict
        }
        "23" => StoreError::Constraint { detail },
        "08" | "28" | "3D" | "53" | "57" | "58" => StoreError::Unavailable { detail },
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::Unavailable { detail },
        _ => StoreError::Statement { detail },
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable { detail: "the store is closed".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_vanished_is_noticed_within_half_a_minute() {
        let config = config("postgres://db/ourkv").unwrap();
        let retries = config.get_keepalives_retries().unwrap();
        let noticed =
            config.get_keepalives_idle() + config.get_keepalives_interval().unwrap() * retries;
        assert!(config.get_keepalives() && noticed <= Duration::from_secs(30), "{noticed:?}");
    }
}
