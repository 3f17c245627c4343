use std::sync::{Arc, Mutex};

use ourkv_domain::mint::Mint;
use ourkv_store::{Key, KeySource, OpenError, Sealer, Store, StoreError};

use crate::database::{Database, sealer};
use crate::sample::{access_key, at, id, instance, lay_ground, secrets};
use crate::{idempotency, on_both};

on_both!(
    everything_is_sealed_with_the_newest_key,
    a_resealing_that_fails_leaves_all_as_it_was,
    a_key_that_is_drawn_while_the_store_is_open_is_what_it_seals_with,
);

/// Keys that change while they are used.
#[derive(Clone)]
struct Keys(Arc<Mutex<Vec<u8>>>);

impl KeySource for Keys {
    fn keys(&self) -> Arc<[Key]> {
        self.0.lock().unwrap().iter().map(|byte| [*byte; 32]).collect()
    }
}

impl Keys {
    fn of(bytes: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(bytes.to_vec())))
    }

    fn sealer(&self) -> Sealer {
        Sealer::with(Arc::new(self.clone()), Arc::new(Mint::from_seed([3; 32])))
    }

    fn open(&self, database: &Database) -> Store {
        Store::open(&database.location, self.sealer()).unwrap()
    }
}

/// Everything that is sealed: two passwords, two secrets, a key, a token; and the canary.
fn fill(database: &Database) {
    let scope = idempotency::scope();
    database.write(move |tx| {
        lay_ground(tx)?;
        tx.insert_access_key(&access_key())?;
        tx.insert_instance(&instance("r-a"), &secrets())?;
        tx.change_password(&id("r-a"), &"Second-1".into())?;
        tx.claim_token(&scope, &idempotency::print("Second-1"), at(0)).map(|_| ())
    });
}

/// All of it can be read.
fn reads(store: &Store) {
    let known = store.read_blocking(|tx| tx.secrets(&id("r-a"))).unwrap().unwrap();
    assert_eq!(known.admin, secrets().admin);
    assert_eq!(known.replication, secrets().replication);
    let passwords: Vec<_> = known.known().map(|secret| secret.expose().to_owned()).collect();
    assert_eq!(passwords, ["Second-1", secrets().password.unwrap().expose()]);
    let key = store.read_blocking(|tx| tx.access_key(&access_key().id)).unwrap();
    assert_eq!(key, Some(access_key()));
    let scope = idempotency::scope();
    let print = idempotency::print("Second-1");
    let claimed = store.write_blocking(move |tx| {
        tx.answer_token(&scope, "the answer")?;
        tx.claim_token(&scope, &print, at(0))
    });
    assert_eq!(claimed.unwrap().unwrap().fingerprint, idempotency::print("Second-1"));
}

fn older(store: &Store) -> u64 {
    let counts = store.read_blocking(|tx| tx.sealed_by_key()).unwrap();
    counts.into_iter().skip(1).sum()
}

fn everything_is_sealed_with_the_newest_key(database: &Database) {
    fill(database);
    let store = Keys::of(&[8, 7]).open(database);
    assert_eq!(older(&store), 7);
    reads(&store);
    assert_eq!(store.write_blocking(|tx| tx.reseal()), Ok(7));
    assert_eq!(older(&store), 0);
    assert_eq!(store.write_blocking(|tx| tx.reseal()), Ok(0));
    reads(&store);
    reads(&Store::open(&database.location, sealer(8)).unwrap());
    let opened = Store::open(&database.location, sealer(7));
    assert!(matches!(opened, Err(OpenError::WrongKey)), "{opened:?}");
}

fn a_resealing_that_fails_leaves_all_as_it_was(database: &Database) {
    fill(database);
    let store = Keys::of(&[8, 7]).open(database);
    let failed = store.write_blocking(|tx| {
        tx.reseal()?;
        Err::<(), _>(StoreError::Superseded)
    });
    assert!(failed.is_err());
    assert_eq!(older(&store), 7);
    reads(&Store::open(&database.location, sealer(7)).unwrap());
}

fn a_key_that_is_drawn_while_the_store_is_open_is_what_it_seals_with(database: &Database) {
    fill(database);
    let keys = Keys::of(&[7]);
    let store = keys.open(database);
    assert_eq!(older(&store), 0);
    keys.0.lock().unwrap().insert(0, 8);
    store.write_blocking(|tx| tx.change_password(&id("r-a"), &"Third-11".into())).unwrap();
    assert_eq!(older(&store), 6, "the password and the one before it are sealed anew");
    Keys::of(&[8, 7]).open(database).write_blocking(|tx| tx.reseal()).unwrap();
    assert_eq!(older(&store), 0);
}
