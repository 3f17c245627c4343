use ourkv_store::testing::TemporaryPostgres;
use ourkv_store::{Location, Store, StoreError, Tx};

use crate::database::Database;
use crate::on_both;
use crate::sample::account;

on_both!(
    an_error_leaves_nothing,
    a_panic_leaves_nothing_and_harms_nobody,
    a_failed_statement_spoils_the_transaction,
    a_failure_does_not_touch_its_neighbours,
    a_reader_cannot_write,
    a_store_may_go_away_inside_its_own_work,
    queued_work_is_written_when_the_store_closes,
);

/// An error of a caller's own.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    NoMoney,
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn settings(database: &Database) -> Vec<Option<String>> {
    database.read(|tx| ["a", "b"].iter().map(|name| tx.setting(name)).collect())
}

fn an_error_leaves_nothing(database: &Database) {
    let result = database.store.write_blocking(|tx| {
        tx.set_setting("a", "1")?;
        Err::<(), _>(Refusal::NoMoney)
    });
    assert_eq!(result, Err(Refusal::NoMoney));
    assert_eq!(settings(database), [None, None]);
}

fn a_panic_leaves_nothing_and_harms_nobody(database: &Database) {
    let result = database.store.write_blocking(|tx| -> Result<(), Refusal> {
        tx.set_setting("a", "1")?;
        panic!("the work of a test panics");
    });
    assert_eq!(result, Err(Refusal::Store(StoreError::Panicked)));
    let result = database.store.read_blocking(|_| -> Result<(), Refusal> {
        panic!("the work of a test panics");
    });
    assert_eq!(result, Err(Refusal::Store(StoreError::Panicked)));
    assert_eq!(settings(database), [None, None]);
    database.write(|tx| tx.set_setting("b", "2"));
    assert_eq!(settings(database), [None, Some("2".into())]);
}

fn a_failed_statement_spoils_the_transaction(database: &Database) {
    database.write(|tx| tx.insert_account(&account()));
    let result = database.store.write_blocking(|tx| {
        tx.set_setting("a", "1")?;
        let _ignored = tx.insert_account(&account());
        Ok::<_, StoreError>(())
    });
    assert!(matches!(result, Err(StoreError::Constraint { .. })), "{result:?}");
    assert_eq!(settings(database), [None, None]);
}

fn a_failure_does_not_touch_its_neighbours(database: &Database) {
    database.write(|tx| tx.insert_account(&account()));
    let results = database.race(90, |number, tx| {
        tx.set_setting(&format!("s{number}"), "1")?;
        match number % 3 {
            0 => Ok(()),
            1 => tx.insert_account(&account()),
            _ => panic!("the work of a test panics"),
        }
    });
    for (number, result) in results.iter().enumerate() {
        let setting = database.read(move |tx| tx.setting(&format!("s{number}")));
        assert_eq!(setting.is_some(), number % 3 == 0, "{number}: {result:?}");
        assert_eq!(result.is_ok(), number % 3 == 0, "{number}: {result:?}");
    }
}

fn a_reader_cannot_write(database: &Database) {
    let result = database.store.read_blocking(|tx| tx.set_setting("a", "1"));
    assert!(result.is_err());
    assert_eq!(settings(database), [None, None]);
}

fn a_store_may_go_away_inside_its_own_work(database: &Database) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = database.reopened();
    runtime.block_on(async move {
        let kept = store.clone();
        let work = move |tx: &mut Tx<'_>| {
            let _store: &Store = &kept;
            tx.set_setting("a", "1")
        };
        let writing = store.write(work);
        assert_eq!(writing.await, Ok(()));
        drop(store);
    });
    assert_eq!(settings(database), [Some("1".into()), None]);
}

fn queued_work_is_written_when_the_store_closes(database: &Database) {
    let store = database.reopened();
    store.write_later(|tx| tx.set_setting("a", "1"));
    store.write_later(|tx| {
        tx.set_setting("b", "1")?;
        Err(StoreError::Conflict)
    });
    drop(store);
    assert_eq!(settings(database), [Some("1".into()), None]);
}

#[test]
fn a_lost_connection_is_tried_again_before_the_commit() {
    let database = Database::postgres();
    database.write(|tx| tx.set_setting("a", "1"));
    let Location::Postgres(url) = &database.location else { panic!("it was made so") };
    let (_, name) = url.rsplit_once('/').unwrap();
    let kill =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    let cut = std::sync::atomic::AtomicU32::new(0);
    database.write(move |tx| {
        let value = tx.setting("a")?;
        if cut.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            TemporaryPostgres::shared().execute(&kill);
        }
        tx.set_setting("b", &value.unwrap_or_default())
    });
    assert_eq!(settings(&database), [Some("1".into()), Some("1".into())]);
}

#[test]
fn queued_work_is_written_after_connections_were_lost() {
    let database = Database::postgres();
    let store = database.reopened();
    // One connection for the queue, and more that lie idle.
    store.write_later(|tx| tx.set_setting("a", "0"));
    store.write_blocking(|tx| tx.set_setting("a", "1")).unwrap();
    let Location::Postgres(url) = &database.location else { panic!("it was made so") };
    let (_, name) = url.rsplit_once('/').unwrap();
    TemporaryPostgres::shared().execute(&format!(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"
    ));
    store.write_later(|tx| tx.set_setting("b", "1"));
    drop(store);
    assert_eq!(settings(&database)[1], Some("1".into()));
}

#[test]
fn deadlocks_resolve_themselves() {
    let database = Database::postgres();
    database.write(|tx| {
        tx.set_setting("a", "0")?;
        tx.set_setting("b", "0")
    });
    let results = database.race(20, |number, tx| {
        let names = if number % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
        for name in names {
            tx.set_setting(name, &number.to_string())?;
        }
        Ok(())
    });
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let [a, b] = settings(&database).try_into().unwrap();
    assert_eq!(a, b);
}
