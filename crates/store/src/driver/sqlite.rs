//! SQLite: opening a file with care, and one connection to it.
//!
//! A new database is built beside its place and moved there when it is complete, so a file that is
//! there and empty or damaged is never taken for a fresh start. Files are 0600. Several processes
//! may have the file open: whoever finds it locked waits up to [`PATIENCE`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{ErrorCode, OpenFlags};

use super::{Access, Connection, Rows};
use crate::column::Value;
use crate::error::{OpenError, StoreError};
use crate::schema;
use crate::seal::Sealer;

/// A file of more bytes is checked less thoroughly: a start waits for it.
const LARGE: u64 = 16 << 20;
/// What is at the beginning of a database, bytes; the size of its pages is in it.
const HEAD: usize = 100;
/// How long a locked database is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is said once it can't be known any more what the disk has.
const FAILED: &str = "the disk failed, and what it has is not what the system shows: stop the \
                      server, take the file system off, mount it again, start the server";
/// Filters make statements of their own; what falls out of the cache is prepared again.
const STATEMENTS: usize = 256;

/// Opens or makes the database file, brings its schema up to date and returns a connection that
/// may write.
pub(crate) fn open(path: &Path, sealer: &Sealer) -> Result<SqliteConnection, OpenError> {
    let in_file = |source| OpenError::File { path: path.to_owned(), source };
    // Two processes that start at once must not build or migrate one database twice. The lock is
    // on a file of its own: closing a database file of one's own makes SQLite lose its locks.
    let lock = private_file(&beside(path, "-lock")).map_err(in_file)?;
    lock.lock().map_err(in_file)?;
    if !path.try_exists().map_err(in_file)? {
        build(path, sealer)?;
    }
    check_length(path)?;
    let mut connection = connect(path)?;
    check(&connection, path)?;
    configure(&connection).map_err(|error| store_error(&error))?;
    // What a job undoes by itself is kept in memory, and not in a file for each commit.
    let kept = connection.pragma_update(None, "temp_store", "memory");
    // KiB, which SQLite takes as a negative number: what one transaction works on, several times.
    let kept = kept.and_then(|()| connection.pragma_update(None, "cache_size", -512));
    kept.map_err(|error| store_error(&error))?;
    // What the check of the whole did not see may still be in the way of this.
    schema::migrate(&mut connection).map_err(|error| damaged(path, error))?;
    check_tables(&connection, path)?;
    let mut connection = SqliteConnection::over(connection);
    schema::check_key(&mut connection, sealer).map_err(|error| damaged(path, error))?;
    Ok(connection)
}

/// The error of a database that is there and can't be worked with.
fn damaged(path: &Path, error: OpenError) -> OpenError {
    let detail = match error {
        OpenError::Migration { detail }
        | OpenError::Store(StoreError::Statement { detail } | StoreError::Constraint { detail }) => {
            detail
        }
        OpenError::Store(StoreError::Inconsistent { table, column }) => {
            format!("inconsistent value in {table}.{column}")
        }
        OpenError::Store(StoreError::Unavailable { detail })
            if detail.contains("malformed") || detail.contains("not a database") =>
        {
            detail
        }
        other => return other,
    };
    OpenError::Corrupt { path: path.to_owned(), detail }
}

/// A further connection, for reading.
pub(crate) fn open_reader(path: &Path) -> Result<SqliteConnection, StoreError> {
    let open = || {
        let connection = rusqlite::Connection::open_with_flags(path, flags())?;
        configure(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        // The system's own cache is behind it, and what others write empties it.
        connection.pragma_update(None, "cache_size", -256)?;
        Ok(SqliteConnection::over(connection))
    };
    open().map_err(|error: rusqlite::Error| store_error(&error))
}

/// One connection.
pub(crate) struct SqliteConnection {
    inner: rusqlite::Connection,
    /// Forcing something to the disk failed. The system counts as written what it could not write,
    /// and some file systems never write such a place again, whatever they answer: nothing that is
    /// written over this connection from then on can be vouched for.
    failed: bool,
}

impl SqliteConnection {
    fn over(inner: rusqlite::Connection) -> Self {
        Self { inner, failed: false }
    }
}

impl Connection for SqliteConnection {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let run = || {
            let mut statement = self.inner.prepare_cached(sql)?;
            statement.execute(rusqlite::params_from_iter(values))
        };
        let done = run();
        if let Err(error) = &done {
            self.failed |= error.sqlite_error().map(|error| error.extended_code)
                == Some(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        }
        done.map(|count| count as u64).map_err(|error| store_error(&error))
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Rows, StoreError> {
        let run = || {
            let mut statement = self.inner.prepare_cached(sql)?;
            let columns: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
            let width = columns.len();
            let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
                (0..width).map(|at| row.get_ref(at).map(value)).collect::<Result<Vec<_>, _>>()
            })?;
            let values = rows.collect::<Result<Vec<_>, _>>()?;
            Ok(Rows { columns, values })
        };
        run().map_err(|error: rusqlite::Error| store_error(&error))
    }

    fn begin(&mut self, access: Access) -> Result<(), StoreError> {
        if self.failed && access == Access::Write {
            return Err(StoreError::Unavailable { detail: FAILED.into() });
        }
        let sql = match access {
            Access::Read => "BEGIN DEFERRED",
            Access::Write => "BEGIN IMMEDIATE",
        };
        self.execute(sql, &[]).map(|_| ())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.execute("COMMIT", &[]).map(|_| ())
    }

    fn rollback(&mut self) {
        if self.in_transaction()
            && let Err(error) = self.execute("ROLLBACK", &[])
        {
            tracing::error!(%error, "a transaction cannot be rolled back");
        }
    }

    fn in_transaction(&self) -> bool {
        !self.inner.is_autocommit()
    }

    fn for_update(&self) -> &'static str {
        ""
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => rusqlite::types::Null.into(),
            Self::Int(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Blob(bytes) => bytes.as_slice().into(),
        })
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        // Nothing here writes a floating-point number: it will be refused as inconsistent.
        ValueRef::Null | ValueRef::Real(_) => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn store_error(error: &rusqlite::Error) -> StoreError {
    let detail = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => StoreError::Constraint { detail },
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::OutOfMemory
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed,
        ) => StoreError::Unavailable { detail },
        _ => StoreError::Statement { detail },
    }
}

/// Builds a database beside `path` and moves it there.
fn build(path: &Path, sealer: &Sealer) -> Result<(), OpenError> {
    let in_file = |source| OpenError::File { path: path.to_owned(), source };
    let unfinished = beside(path, ".new");
    for ending in ["", "-wal", "-shm"] {
        remove(&beside(&unfinished, ending)).map_err(in_file)?;
    }
    private_file(&unfinished).map_err(in_file)?;
    let mut connection = connect(&unfinished)?;
    configure(&connection).map_err(|error| store_error(&error))?;
    schema::migrate(&mut connection)?;
    let mut connection = SqliteConnection::over(connection);
    schema::check_key(&mut connection, sealer)?;
    // Closing writes everything into the one file.
    connection.inner.close().map_err(|(_, error)| OpenError::Store(store_error(&error)))?;
    std::fs::rename(&unfinished, path).map_err(in_file)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))
        .and_then(|directory| directory.sync_all())
        .map_err(in_file)
}

fn connect(path: &Path) -> Result<rusqlite::Connection, OpenError> {
    let connection = rusqlite::Connection::open_with_flags(path, flags())
        .and_then(|connection| connection.busy_timeout(PATIENCE).map(|()| connection));
    connection.map_err(|error| OpenError::Store(store_error(&error)))
}

/// Refuses a file that was cut off. SQLite takes what is shorter than a page for a database that is
/// yet to be made, and reads zeroes where a page is not whole.
fn check_length(path: &Path) -> Result<(), OpenError> {
    let in_file = |source| OpenError::File { path: path.to_owned(), source };
    let length = path.metadata().map_err(in_file)?.len();
    let mut head = [0; HEAD];
    let read = File::open(path).and_then(|mut file| io::Read::read(&mut file, &mut head));
    let whole = read.map_err(in_file)? == HEAD && {
        let page = match u16::from_be_bytes([head[16], head[17]]) {
            1 => 65_536,
            page => u64::from(page.max(1)),
        };
        // While there is a log the last page may still be on its way into the file.
        let logged = beside(path, "-wal").metadata().is_ok_and(|log| log.len() > 0);
        length >= page && (logged || length.is_multiple_of(page))
    };
    if whole {
        return Ok(());
    }
    let detail = format!("it has {length} bytes, which is no whole number of pages");
    Err(OpenError::Corrupt { path: path.to_owned(), detail })
}

/// Refuses tables that are not as the migrations make them: a damaged name is nowhere checked.
fn check_tables(connection: &rusqlite::Connection, path: &Path) -> Result<(), OpenError> {
    let tables = |connection: &rusqlite::Connection| {
        let sql = "SELECT CAST(m.name || '.' || c.name || ' ' || c.type || c.pk AS BLOB) \
                   FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' \
                   UNION SELECT CAST(name || ' on ' || tbl_name AS BLOB) \
                   FROM sqlite_master WHERE type = 'index' ORDER BY 1";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    let unusable = |error: rusqlite::Error| OpenError::Store(store_error(&error));
    let mut made = rusqlite::Connection::open_in_memory().map_err(unusable)?;
    schema::migrate(&mut made)?;
    let found = tables(connection).map_err(unusable).map_err(|error| damaged(path, error))?;
    if found == tables(&made).map_err(unusable)? {
        return Ok(());
    }
    let detail = "its tables are not those that ourkv makes".into();
    Err(OpenError::Corrupt { path: path.to_owned(), detail })
}

/// Reads the whole file before anything is written to it.
fn check(connection: &rusqlite::Connection, path: &Path) -> Result<(), OpenError> {
    let corrupt = |detail: String| OpenError::Corrupt { path: path.to_owned(), detail };
    let length = path.metadata().map_or(0, |found| found.len());
    let check = || {
        // The longer one also sees to it that what indexes say is what tables do.
        let sql =
            if length > LARGE { "PRAGMA quick_check(1)" } else { "PRAGMA integrity_check(1)" };
        let found = connection.query_row(sql, [], |row| row.get::<_, String>(0))?;
        let strays =
            connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
                row.get::<_, i64>(0)
            })?;
        let sql = "SELECT count(*) FROM sqlite_master WHERE name = 'refinery_schema_history'";
        let made = connection.query_row(sql, [], |row| row.get::<_, i64>(0))? == 1;
        Ok::<_, rusqlite::Error>((found, strays, made))
    };
    match check() {
        Ok((found, 0, true)) if found == "ok" => Ok(()),
        Ok((found, 0, true)) => Err(corrupt(found)),
        Ok((_, 0, false)) => Err(corrupt("it is empty".into())),
        Ok((_, strays, _)) => Err(corrupt(format!("{strays} rows refer to what is not there"))),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Err(corrupt(error.to_string()))
            }
            _ => Err(OpenError::Store(store_error(&error))),
        },
    }
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn configure(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Plans do not depend on the values of one call: a statement is prepared once, for all.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
