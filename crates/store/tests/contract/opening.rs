use std::os::unix::fs::PermissionsExt;

use ourkv_store::{Location, OpenError, Store};
use rstest::rstest;

use crate::database::{Database, sealer};
use crate::on_both;
use crate::sample::{account, account_id, at};

on_both!(
    opens_again_with_everything_in_it,
    many_may_start_at_once,
    refuses_a_newer_schema,
    two_processes_write_beside_each_other,
);

fn opens_again_with_everything_in_it(database: &Database) {
    database.write(|tx| tx.insert_account(&account()));
    let again = database.reopened();
    assert_eq!(again.read_blocking(|tx| tx.account(&account_id())), Ok(Some(account())));
}

fn many_may_start_at_once(database: &Database) {
    // A place where nothing was before.
    let location = match &database.location {
        Location::Sqlite(path) => Location::Sqlite(path.with_file_name("fresh.db")),
        Location::Postgres(_) => Database::fresh_postgres(),
    };
    std::thread::scope(|scope| {
        let starts: Vec<_> =
            (0..4).map(|_| scope.spawn(|| Store::open(&location, sealer(1)))).collect();
        for start in starts {
            start.join().unwrap().unwrap();
        }
    });
}

fn refuses_a_newer_schema(database: &Database) {
    database.tamper(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
         VALUES (999, 'later', '2030-01-01T00:00:00Z', '1')",
    );
    let opened = Store::open(&database.location, sealer(7));
    assert!(
        matches!(opened, Err(OpenError::NewerSchema { database: 999, program: 5 })),
        "{opened:?}"
    );
}

fn two_processes_write_beside_each_other(database: &Database) {
    let other = database.reopened();
    let burn = |store: &Store, nonce: String| {
        let key = "LTAItest".parse().unwrap();
        store.write_blocking(move |tx| tx.burn_nonce(&key, &nonce, at(1)))
    };
    std::thread::scope(|scope| {
        for store in [&database.store, &other] {
            scope.spawn(move || {
                for number in 0..100 {
                    burn(store, format!("{number} {:p}", &raw const *store)).unwrap();
                }
            });
        }
    });
    assert_eq!(database.write(|tx| tx.forget_nonces(at(1))), 200);
}

#[test]
fn the_file_is_for_its_owner_only() {
    let database = Database::sqlite();
    database.write(|tx| tx.insert_account(&account()));
    let directory = database.path().unwrap().parent().unwrap().to_owned();
    for file in std::fs::read_dir(directory).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[rstest]
#[case::empty(Vec::new())]
#[case::text(b"this is not a database".repeat(100))]
#[case::zeroes(vec![0; 8192])]
fn refuses_what_is_no_database_and_leaves_it(#[case] content: Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ourkv.db");
    std::fs::write(&path, &content).unwrap();
    let opened = Store::open(&Location::Sqlite(path.clone()), sealer(1));
    assert!(matches!(opened, Err(OpenError::Corrupt { .. })), "{opened:?}");
    assert_eq!(std::fs::read(&path).unwrap(), content);
}

#[test]
fn refuses_a_damaged_database_and_leaves_it() {
    let database = Database::sqlite();
    database.write(|tx| tx.insert_account(&account()));
    let path = database.path().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.db");
    // Opening and closing a second time moves everything from the log into the file.
    drop(database.store);
    let mut content = std::fs::read(&path).unwrap();
    let page = 4096;
    assert!(content.len() > 8 * page);
    content[2 * page..6 * page].fill(0xa5);
    std::fs::write(&copy, &content).unwrap();
    let opened = Store::open(&Location::Sqlite(copy.clone()), sealer(7));
    assert!(matches!(opened, Err(OpenError::Corrupt { .. })), "{opened:?}");
    assert_eq!(std::fs::read(&copy).unwrap(), content);
}

#[test]
fn says_what_is_wrong_with_a_server_without_its_password() {
    // Nothing listens on port 1.
    for url in ["postgres://u:Passw0rd@127.0.0.1:1/x", "postgres://u:Passw0rd@127.0.0.1:port/x"] {
        let error = Store::open(&url.parse().unwrap(), sealer(1)).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("Passw0rd"), "{text}");
    }
}
