use ourkv_domain::account::Account;
use ourkv_domain::billing::Money;
use ourkv_domain::ids::AccountId;
use ourkv_store::StoreError;

use crate::database::Database;
use crate::on_both;
use crate::sample::{access_key, account, account_id, at};

on_both!(
    keeps_every_field,
    saves_and_tells_what_is_missing,
    a_balance_below_zero_starts_the_arrears_once,
    a_balance_stays_exact_when_many_change_it,
    a_balance_too_large_to_count_changes_nothing,
    keys_come_and_go,
);

fn keeps_every_field(database: &Database) {
    database.write(|tx| tx.insert_account(&account()));
    assert_eq!(database.read(|tx| tx.account(&account_id())), Some(account()));
    assert_eq!(database.read(|tx| tx.accounts()), [account()]);
    assert_eq!(database.write(|tx| tx.lock_account(&account_id())), Some(account()));
    let twice = database.store.write_blocking(|tx| tx.insert_account(&account()));
    assert!(matches!(twice, Err(StoreError::Constraint { .. })), "{twice:?}");
}

fn saves_and_tells_what_is_missing(database: &Database) {
    let changed = Account {
        name: "renamed".into(),
        real_name: false,
        arrears_since: Some(at(5)),
        ..account()
    };
    let expected = changed.clone();
    let saved = database.write(move |tx| {
        let missing = tx.save_account(&changed)?;
        tx.insert_account(&account())?;
        Ok((missing, tx.save_account(&changed)?))
    });
    assert_eq!(saved, (false, true));
    assert_eq!(database.read(|tx| tx.account(&account_id())), Some(expected));
    let other = AccountId::parse("2").unwrap();
    assert_eq!(database.write(move |tx| tx.change_balance(&other, Money::ZERO, at(1))), None);
}

fn a_balance_below_zero_starts_the_arrears_once(database: &Database) {
    database.write(|tx| tx.insert_account(&account()));
    let change = |delta: i64, now: i64| {
        let changed = database
            .write(move |tx| tx.change_balance(&account_id(), Money::from_micros(delta), at(now)));
        let changed = changed.unwrap();
        (changed.balance.micros(), changed.arrears_since)
    };
    assert_eq!(change(-5_000_000, 1), (0, None));
    assert_eq!(change(-1, 2), (-1, Some(at(2))));
    assert_eq!(change(-1, 3), (-2, Some(at(2))));
    assert_eq!(change(2, 4), (0, None));
    assert_eq!(change(-7, 5), (-7, Some(at(5))));
}

fn a_balance_stays_exact_when_many_change_it(database: &Database) {
    database.write(|tx| tx.insert_account(&account()));
    let results =
        database.race(100, |_, tx| tx.change_balance(&account_id(), Money::from_micros(-3), at(1)));
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let left = database.read(|tx| tx.account(&account_id())).unwrap().balance;
    assert_eq!(left, Money::from_micros(5_000_000 - 300));
}

fn a_balance_too_large_to_count_changes_nothing(database: &Database) {
    database.write(|tx| tx.insert_account(&account()));
    let result = database
        .store
        .write_blocking(|tx| tx.change_balance(&account_id(), Money::from_micros(i64::MAX), at(1)));
    assert!(matches!(result, Err(StoreError::Constraint { .. })), "{result:?}");
    assert_eq!(database.read(|tx| tx.account(&account_id())), Some(account()));
}

fn keys_come_and_go(database: &Database) {
    let orphan = database.store.write_blocking(|tx| tx.insert_access_key(&access_key()));
    assert!(matches!(orphan, Err(StoreError::Constraint { .. })), "{orphan:?}");
    database.write(|tx| {
        tx.insert_account(&account())?;
        tx.insert_access_key(&access_key())
    });
    assert_eq!(database.read(|tx| tx.access_keys()), [access_key()]);
    let mut changed = access_key();
    changed.active = false;
    changed.calls_per_second = None;
    let expected = changed.clone();
    assert!(database.write(move |tx| tx.save_access_key(&changed)));
    assert_eq!(database.read(|tx| tx.access_key(&access_key().id)), Some(expected));
    assert!(database.write(|tx| tx.delete_access_key(&access_key().id)));
    assert!(!database.write(|tx| tx.delete_access_key(&access_key().id)));
    assert_eq!(database.read(|tx| tx.access_key(&access_key().id)), None);
}
