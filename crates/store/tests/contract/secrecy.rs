use ourkv_store::{OpenError, Store, StoreError};

use crate::database::{Database, sealer};
use crate::sample::{access_key, at, id, instance, lay_ground, secrets};
use crate::{idempotency, on_both};

on_both!(refuses_another_key, no_secret_reaches_a_statement_of_another_place);

fn store_secrets(database: &Database) {
    database.write(|tx| {
        lay_ground(tx)?;
        tx.insert_access_key(&access_key())?;
        tx.insert_instance(&instance("r-a"), &secrets())
    });
}

fn refuses_another_key(database: &Database) {
    store_secrets(database);
    let opened = Store::open(&database.location, sealer(8));
    assert!(matches!(opened, Err(OpenError::WrongKey)), "{opened:?}");
    assert_eq!(database.read(|tx| tx.secrets(&id("r-a"))), Some(secrets()));
}

fn no_secret_reaches_a_statement_of_another_place(database: &Database) {
    store_secrets(database);
    let moved = database.store.write_blocking(|tx| {
        let mut twin = secrets();
        twin.password = None;
        tx.insert_instance(&instance("r-b"), &twin)
    });
    assert_eq!(moved, Ok(()));
    swap(database);
    let read = database.store.read_blocking(|tx| tx.secrets(&id("r-b")));
    let expected = StoreError::Unreadable { context: "instance_secrets/password/r-b".into() };
    assert_eq!(read, Err(expected));
}

/// Gives one instance the sealed password of another, behind the store's back.
fn swap(database: &Database) {
    let sql = "UPDATE instance_secrets SET password = \
               (SELECT password FROM instance_secrets WHERE instance = 'r-a') \
               WHERE instance = 'r-b'";
    database.tamper(sql);
}

#[test]
fn the_files_hold_no_secret() {
    let database = Database::sqlite();
    store_secrets(&database);
    let holds = files(&database);
    assert!(holds("r-a.redis.rds.aliyuncs.com"), "the row itself is in the files");
    let secrets = secrets();
    assert!(!holds(secrets.password.as_ref().unwrap().expose()));
    assert!(!holds(secrets.admin.expose()));
    assert!(!holds(secrets.replication.expose()));
    assert!(!holds(access_key().secret.expose()));
}

#[test]
fn the_files_do_not_let_a_password_be_guessed_by_its_fingerprint() {
    let database = Database::sqlite();
    store_secrets(&database);
    let print = idempotency::print("Passw0rd");
    let scope = idempotency::scope();
    let claimed = {
        let (scope, print) = (scope.clone(), print.clone());
        move |tx: &mut ourkv_store::Tx<'_>| {
            tx.claim_token(&scope, &print, at(0))?;
            tx.answer_token(&scope, "the answer")
        }
    };
    database.write(claimed);
    let holds = files(&database);
    assert!(holds("the answer"), "the row itself is in the files");
    assert!(!holds(print.as_str()));
    let again = {
        let print = print.clone();
        database.write(move |tx| tx.claim_token(&scope, &print, at(0)))
    };
    assert_eq!(again.unwrap().fingerprint, print);
}

/// Tells whether the database's files hold a text.
fn files(database: &Database) -> impl Fn(&str) -> bool + use<> {
    let directory = database.path().unwrap().parent().unwrap().to_owned();
    let mut bytes = Vec::new();
    for file in std::fs::read_dir(directory).unwrap() {
        bytes.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    move |text| bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
