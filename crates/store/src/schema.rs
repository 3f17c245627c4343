//! The schema: migrations that both databases share, and the check that the key fits.

use std::sync::LazyLock;

use ourkv_domain::secret::Secret;
use refinery::error::Kind;
use refinery::{Migrate, Migration, Runner};

use crate::column::{columns, values};
use crate::driver::{Access, Connection};
use crate::error::{OpenError, StoreError, chain};
use crate::seal::Sealer;
use crate::tx::Tx;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Brings the schema up to date, or refuses one that a later program wrote. The caller sees to it
/// that nobody else migrates at the same time.
pub(crate) fn migrate<C: Migrate>(connection: &mut C) -> Result<(), OpenError> {
    // Grouped: a migration and the note that it was applied are one transaction.
    let runner = embedded::migrations::runner().set_grouped(true);
    runner.run(connection).map(|_| ()).map_err(|error| match error.kind() {
        Kind::MissingVersion(_) => newer(&runner, connection).unwrap_or_else(|error| error),
        _ => migration_error(&error),
    })
}

/// The version that this program brings a database to.
pub(crate) fn version() -> i64 {
    // Migrations are read anew each time that a runner is made.
    static VERSION: LazyLock<i64> = LazyLock::new(|| {
        let runner = embedded::migrations::runner();
        let versions = runner.get_migrations().iter().map(Migration::version);
        versions.max().map_or(0, i64::from)
    });
    *VERSION
}

/// The database has a migration that this program does not know.
fn newer<C: Migrate>(runner: &Runner, connection: &mut C) -> Result<OpenError, OpenError> {
    let applied =
        runner.get_applied_migrations(connection).map_err(|error| migration_error(&error))?;
    let latest = |migrations: &[Migration]| {
        migrations.iter().map(|migration| i64::from(migration.version())).max().unwrap_or(0)
    };
    let (database, program) = (latest(&applied), latest(runner.get_migrations()));
    Ok(OpenError::NewerSchema { database, program })
}

fn migration_error(error: &refinery::Error) -> OpenError {
    OpenError::Migration { detail: chain(error) }
}

/// The name of the value that tells a wrong key at once.
pub(crate) const CANARY: &str = "canary";
/// What it is bound to.
pub(crate) const CANARY_CONTEXT: &str = "seals/sealed/canary";

/// Seals a known value on the first start and opens it on every later one.
pub(crate) fn check_key(connection: &mut dyn Connection, sealer: &Sealer) -> Result<(), OpenError> {
    connection.begin(Access::Write)?;
    let opened = canary(&mut Tx::new(connection, sealer));
    let committed = opened.and_then(|opened| connection.commit().map(|()| opened));
    if committed.is_err() {
        connection.rollback();
    }
    if committed? { Ok(()) } else { Err(OpenError::WrongKey) }
}

fn canary(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let sealed = tx.sealer().seal(&Secret::from(CANARY), CANARY_CONTEXT);
    let row = columns! { name: CANARY, sealed: sealed };
    tx.insert("seals", &row, "ON CONFLICT DO NOTHING")?;
    let stored = tx.select_one("seals", "SELECT * FROM seals WHERE name = $1", &values![CANARY])?;
    let Some(mut stored) = stored else {
        return Ok(false);
    };
    let sealed: Vec<u8> = stored.take("sealed")?;
    Ok(tx.sealer().open(&sealed, CANARY_CONTEXT).is_ok())
}
