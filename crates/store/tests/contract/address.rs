use std::collections::HashSet;
use std::net::Ipv4Addr;

use ourkv_store::AddressTaken;

use crate::database::Database;
use crate::on_both;
use crate::sample::id;

on_both!(
    hands_out_the_last_addresses_once,
    lets_a_freed_address_rest,
    finds_gaps_when_the_circle_closes,
    an_exact_address_is_taken_once,
    pools_do_not_mix,
);

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn pool_of(database: &Database, first: u8, last: u8) {
    database.write(move |tx| tx.ensure_pool("p", ip(first), ip(last)));
}

fn take(database: &Database, name: &'static str) -> Option<Ipv4Addr> {
    database.write(move |tx| tx.take_next("p", &id(name)))
}

fn hands_out_the_last_addresses_once(database: &Database) {
    pool_of(database, 1, 10);
    let results = database.race(200, |number, tx| tx.take_next("p", &id(&format!("r-{number}"))));
    let taken: Vec<_> = results.into_iter().filter_map(|result| result.unwrap()).collect();
    let different: HashSet<_> = taken.iter().copied().collect();
    assert_eq!(different, (1..=10).map(ip).collect());
    assert_eq!(taken.len(), 10);
    assert_eq!(database.read(|tx| tx.addresses_used("p")), 10);
}

fn lets_a_freed_address_rest(database: &Database) {
    pool_of(database, 1, 4);
    assert_eq!(take(database, "a"), Some(ip(1)));
    assert_eq!(database.write(|tx| tx.release_addresses(&id("a"))), 1);
    assert_eq!(take(database, "b"), Some(ip(2)));
    // Saying again what is so does not begin the circle anew.
    pool_of(database, 1, 4);
    assert_eq!(take(database, "c"), Some(ip(3)));
    assert_eq!(take(database, "d"), Some(ip(4)));
    assert_eq!(take(database, "e"), Some(ip(1)));
    assert_eq!(take(database, "f"), None);
}

fn finds_gaps_when_the_circle_closes(database: &Database) {
    pool_of(database, 1, 6);
    for name in ["a", "b", "c", "d", "e", "f"] {
        take(database, name).unwrap();
    }
    database.write(|tx| tx.release_addresses(&id("c")));
    database.write(|tx| tx.release_addresses(&id("f")));
    assert_eq!(take(database, "g"), Some(ip(3)));
    assert_eq!(take(database, "h"), Some(ip(6)));
    assert_eq!(take(database, "i"), None);
    assert_eq!(database.read(|tx| tx.addresses_used("p")), 6);
}

fn an_exact_address_is_taken_once(database: &Database) {
    pool_of(database, 1, 3);
    let results =
        database.race(20, |number, tx| tx.take_exact("p", ip(1), &id(&format!("r-{number}"))));
    let taken = results.iter().filter(|result| **result == Ok(Ok(()))).count();
    let refused = results.iter().filter(|result| **result == Ok(Err(AddressTaken))).count();
    assert_eq!((taken, refused), (1, 19));
    assert_eq!(take(database, "a"), Some(ip(2)));
}

fn pools_do_not_mix(database: &Database) {
    database.write(|tx| {
        tx.ensure_pool("p", ip(1), ip(1))?;
        tx.ensure_pool("q", ip(1), ip(1))
    });
    assert_eq!(take(database, "a"), Some(ip(1)));
    assert_eq!(database.write(|tx| tx.take_next("q", &id("a"))), Some(ip(1)));
    assert_eq!(database.write(|tx| tx.take_next("unknown", &id("a"))), None);
    assert_eq!(database.write(|tx| tx.release_addresses(&id("a"))), 2);
}
