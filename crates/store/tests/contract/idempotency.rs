use jiff::SignedDuration;
use ourkv_domain::idempotency::{ClientToken, Fingerprint, RETENTION, Remembered, Scope};
use ourkv_domain::ids::AccountId;
use ourkv_store::StoreError;

use crate::database::Database;
use crate::on_both;
use crate::sample::{access_key, account_id, at, region};

on_both!(
    a_token_has_one_winner_and_the_rest_get_its_answer,
    a_failed_call_leaves_no_token,
    tokens_of_others_are_apart,
    an_expired_token_starts_anew,
    a_nonce_is_used_once,
    a_nonce_survives_a_restart,
    a_nonce_is_forgotten_after_its_time,
);

pub(crate) fn scope() -> Scope {
    Scope {
        account: account_id(),
        region: region(),
        action: "CreateInstance",
        token: ClientToken::parse("token").unwrap(),
    }
}

pub(crate) fn print(value: &'static str) -> Fingerprint {
    Fingerprint::of([("Capacity", value)].into_iter())
}

fn a_token_has_one_winner_and_the_rest_get_its_answer(database: &Database) {
    let results = database.race(100, |number, tx| {
        let remembered = tx.claim_token(&scope(), &print("1"), at(0))?;
        if remembered.is_none() {
            tx.answer_token(&scope(), &format!("answer {number}"))?;
        }
        Ok(remembered)
    });
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    let winner = results.iter().position(Option::is_none).unwrap();
    let remembered = Remembered {
        fingerprint: print("1"),
        answer: format!("answer {winner}"),
        expires: at(0) + RETENTION,
    };
    for (number, result) in results.into_iter().enumerate() {
        assert_eq!(result, (number != winner).then(|| remembered.clone()), "call {number}");
    }
}

fn a_failed_call_leaves_no_token(database: &Database) {
    let refused = database.store.write_blocking(|tx| {
        assert_eq!(tx.claim_token(&scope(), &print("1"), at(0))?, None);
        Err::<(), _>(StoreError::Conflict)
    });
    assert_eq!(refused, Err(StoreError::Conflict));
    assert_eq!(database.write(|tx| tx.claim_token(&scope(), &print("2"), at(0))), None);
}

fn tokens_of_others_are_apart(database: &Database) {
    let other = AccountId::parse("2").unwrap();
    let scopes = [
        scope(),
        Scope { account: other, ..scope() },
        Scope { region: "cn-beijing".parse().unwrap(), ..scope() },
        Scope { action: "RenewInstance", ..scope() },
        Scope { token: ClientToken::parse("TOKEN").unwrap(), ..scope() },
    ];
    for scope in scopes {
        assert_eq!(database.write(move |tx| tx.claim_token(&scope, &print("1"), at(0))), None);
    }
}

fn an_expired_token_starts_anew(database: &Database) {
    let claim = |value, now| {
        database.write(move |tx| {
            let remembered = tx.claim_token(&scope(), &print(value), now)?;
            if remembered.is_none() {
                tx.answer_token(&scope(), value)?;
            }
            Ok(remembered.map(|remembered| remembered.answer))
        })
    };
    let end = at(0) + RETENTION;
    assert_eq!(claim("1", at(0)), None);
    assert_eq!(claim("2", end - SignedDuration::from_secs(1)), Some("1".into()));
    assert_eq!(claim("3", end), None);
    assert_eq!(claim("4", end), Some("3".into()));
    assert_eq!(database.write(move |tx| tx.forget_tokens(end)), 0);
    assert_eq!(database.write(move |tx| tx.forget_tokens(end + RETENTION)), 1);
    assert_eq!(claim("5", end), None);
}

fn burn(database: &Database, nonce: &'static str) -> bool {
    database.write(move |tx| tx.burn_nonce(&access_key().id, nonce, at(900)))
}

fn a_nonce_is_used_once(database: &Database) {
    let results = database.race(50, |_, tx| tx.burn_nonce(&access_key().id, "nonce", at(900)));
    assert_eq!(results.iter().filter(|result| **result == Ok(true)).count(), 1, "{results:?}");
    assert_eq!(results.iter().filter(|result| **result == Ok(false)).count(), 49);
    let other = || "LTAIother".parse().unwrap();
    assert!(database.write(move |tx| tx.burn_nonce(&other(), "nonce", at(900))));
    // Text that both databases would refuse or cut is a nonce like any other.
    assert!(burn(database, "a\0b") && burn(database, "a\0c") && !burn(database, "a\0b"));
}

fn a_nonce_survives_a_restart(database: &Database) {
    assert!(burn(database, "nonce"));
    let again = database.reopened();
    let burned = again.write_blocking(|tx| tx.burn_nonce(&access_key().id, "nonce", at(900)));
    assert_eq!(burned, Ok(false));
}

fn a_nonce_is_forgotten_after_its_time(database: &Database) {
    assert!(burn(database, "nonce"));
    assert_eq!(database.write(|tx| tx.forget_nonces(at(899))), 0);
    assert_eq!(database.write(|tx| tx.forget_nonces(at(900))), 1);
    assert!(burn(database, "nonce"));
}
