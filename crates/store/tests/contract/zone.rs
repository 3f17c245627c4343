use ourkv_domain::network::ZoneState;

use crate::database::Database;
use crate::on_both;
use crate::sample::zone;

on_both!(sets_only_what_is_given, sells_no_more_than_the_quota, sells_any_amount_without_a_quota);

fn state(database: &Database) -> ZoneState {
    database.read(|tx| tx.zone_state(&zone()))
}

fn sets_only_what_is_given(database: &Database) {
    assert_eq!(state(database), ZoneState::default());
    database.write(|tx| tx.set_zone(&zone(), Some(Some(5)), None));
    database.write(|tx| tx.set_zone(&zone(), None, Some(Some(false))));
    let both = ZoneState { quota_mb: Some(5), used_mb: 0, vpc: Some(false) };
    assert_eq!(state(database), both);
    database.write(|tx| tx.set_zone(&zone(), Some(None), Some(None)));
    assert_eq!(state(database), ZoneState::default());
}

fn sells_no_more_than_the_quota(database: &Database) {
    database.write(|tx| tx.set_zone(&zone(), Some(Some(10_240)), None));
    let results = database.race(200, |_, tx| tx.reserve_capacity(&zone(), 1024));
    assert_eq!(results.iter().filter(|result| **result == Ok(true)).count(), 10, "{results:?}");
    assert_eq!(results.iter().filter(|result| **result == Ok(false)).count(), 190);
    assert_eq!(state(database).used_mb, 10_240);
    database.write(|tx| tx.release_capacity(&zone(), 1024));
    assert!(!database.write(|tx| tx.reserve_capacity(&zone(), 1025)));
    assert!(database.write(|tx| tx.reserve_capacity(&zone(), 1024)));
}

fn sells_any_amount_without_a_quota(database: &Database) {
    assert!(database.write(|tx| tx.reserve_capacity(&zone(), 1 << 40)));
    assert!(database.write(|tx| tx.reserve_capacity(&zone(), 1)));
    assert_eq!(state(database).used_mb, (1 << 40) + 1);
}
