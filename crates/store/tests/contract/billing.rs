use jiff::SignedDuration;
use ourkv_domain::billing::{Coupon, EntryKind, LedgerEntry, Money, Order, OrderKind};
use ourkv_domain::ids::{CouponNo, OrderId};
use ourkv_store::{Meter, StoreError};

use crate::database::Database;
use crate::on_both;
use crate::sample::{account, account_id, at, id};

on_both!(
    a_coupon_is_used_once,
    keeps_orders,
    an_hour_is_entered_once,
    knows_which_meters_are_behind,
    a_meter_never_goes_back,
    many_who_read_a_meter_charge_each_hour_once,
    a_meter_that_is_ended_takes_the_begun_hour_and_no_more,
);

fn order_id(number: usize) -> OrderId {
    OrderId::parse(number.to_string()).unwrap()
}

fn coupon() -> Coupon {
    Coupon {
        no: CouponNo::parse("c1").unwrap(),
        account: account_id(),
        amount: Money::from_micros(7),
        min_spend: Money::from_micros(9),
        expires: at(100),
        used_by: None,
    }
}

fn a_coupon_is_used_once(database: &Database) {
    database.write(|tx| {
        tx.insert_account(&account())?;
        tx.insert_coupon(&coupon())
    });
    assert_eq!(database.read(|tx| tx.coupons(&account_id())), [coupon()]);
    let results = database.race(20, |number, tx| tx.use_coupon(&coupon().no, &order_id(number)));
    let winners: Vec<_> = (0..20).filter(|number| results[*number] == Ok(true)).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    let used = database.read(|tx| tx.coupon(&coupon().no)).unwrap();
    assert_eq!(used, Coupon { used_by: Some(order_id(winners[0])), ..coupon() });
}

fn keeps_orders(database: &Database) {
    let order = Order {
        id: order_id(1),
        account: account_id(),
        instance: id("r-gone"),
        kind: OrderKind::Buy,
        amount: Money::from_micros(10),
        discount: Money::from_micros(3),
        coupon: Some(coupon().no),
        business_info: Some("{\"x\":1}".into()),
        created_at: at(1),
    };
    let bare = Order {
        id: order_id(2),
        kind: OrderKind::Open,
        coupon: None,
        business_info: None,
        created_at: at(2),
        ..order.clone()
    };
    let expected = [order.clone(), bare.clone()];
    database.write(move |tx| {
        tx.insert_account(&account())?;
        tx.insert_order(&bare)?;
        tx.insert_order(&order)
    });
    assert_eq!(database.read(|tx| tx.orders(&account_id())), expected);
}

fn entry(from: i64) -> LedgerEntry {
    LedgerEntry {
        instance: id("r-a"),
        account: account_id(),
        from: at(from),
        to: at(from + 3600),
        amount: Money::from_micros(63_000),
        kind: EntryKind::Hourly,
    }
}

fn an_hour_is_entered_once(database: &Database) {
    database.write(|tx| {
        tx.insert_account(&account())?;
        tx.insert_entry(&entry(3600))?;
        tx.insert_entry(&entry(0))
    });
    let twice = database.store.write_blocking(|tx| tx.insert_entry(&entry(0)));
    assert!(matches!(twice, Err(StoreError::Constraint { .. })), "{twice:?}");
    assert_eq!(database.read(|tx| tx.ledger(&id("r-a"))), [entry(0), entry(3600)]);
}

fn meter(name: &str, until: i64) -> Meter {
    Meter {
        instance: id(name),
        account: account_id(),
        opened: at(0),
        metered_until: at(until),
        hourly_price: Money::from_micros(63_000),
        closed: None,
    }
}

fn knows_which_meters_are_behind(database: &Database) {
    database.write(|tx| {
        tx.insert_account(&account())?;
        tx.open_meter(&meter("r-late", 10))?;
        tx.open_meter(&meter("r-later", 0))?;
        tx.open_meter(&meter("r-on-time", 11))?;
        tx.open_meter(&meter("r-closed", 0))?;
        tx.close_meter(&id("r-closed"), at(5))
    });
    let now = at(10) + SignedDuration::from_hours(1);
    let behind = [meter("r-later", 0), meter("r-late", 10)];
    assert_eq!(database.read(move |tx| tx.meters_behind(now, 10)), behind);
    assert_eq!(database.read(move |tx| tx.meters_behind(now, 1)), behind[..1]);
}

fn a_meter_never_goes_back(database: &Database) {
    database.write(|tx| {
        tx.insert_account(&account())?;
        tx.open_meter(&meter("r-a", 0))
    });
    assert!(database.write(|tx| tx.save_meter(&meter("r-a", 7200))));
    assert!(!database.write(|tx| tx.save_meter(&meter("r-a", 3600))));
    assert_eq!(database.write(|tx| tx.lock_meter(&id("r-a"))), Some(meter("r-a", 7200)));
    assert!(database.write(|tx| tx.close_meter(&id("r-a"), at(8000))));
    assert!(!database.write(|tx| tx.close_meter(&id("r-a"), at(9000))));
    assert!(!database.write(|tx| tx.save_meter(&meter("r-a", 10_000))));
    let closed = Meter { closed: Some(at(8000)), ..meter("r-a", 7200) };
    assert_eq!(database.write(|tx| tx.lock_meter(&id("r-a"))), Some(closed));
}

fn balance(database: &Database) -> Money {
    database.read(|tx| tx.account(&account_id())).unwrap().balance
}

fn begin_to_meter(database: &Database) {
    database.write(|tx| {
        tx.insert_account(&account())?;
        tx.open_meter(&meter("r-a", 0))?;
        tx.open_meter(&meter("r-b", 0))
    });
}

fn many_who_read_a_meter_charge_each_hour_once(database: &Database) {
    begin_to_meter(database);
    let before = balance(database);
    // Control planes come upon the meters in any order, while one of them is ended.
    let results = database.race(12, |number, tx| {
        let names = if number % 2 == 0 { ["r-a", "r-b"] } else { ["r-b", "r-a"] };
        let mut charged = 0;
        for name in names {
            charged += tx.charge_hours(&id(name), at(3 * 3600 + 1))?;
        }
        if number == 5 {
            tx.end_meter(&id("r-b"), at(3 * 3600 + 1))?;
        }
        Ok(charged)
    });
    let charged: u64 = results.into_iter().map(Result::unwrap).sum();
    assert_eq!(charged, 6);
    let price = meter("r-a", 0).hourly_price;
    assert_eq!(balance(database), before.saturating_sub(price.saturating_mul(7)));
    for (name, hours) in [("r-a", 3), ("r-b", 4)] {
        let ledger = database.read(move |tx| tx.ledger(&id(name)));
        assert_eq!(ledger.len(), hours);
        assert!(ledger.windows(2).all(|pair| pair[0].to == pair[1].from), "{ledger:?}");
    }
}

fn a_meter_that_is_ended_takes_the_begun_hour_and_no_more(database: &Database) {
    begin_to_meter(database);
    let before = balance(database);
    for now in [5400, 90_000] {
        database.write(move |tx| tx.end_meter(&id("r-a"), at(now)));
        assert_eq!(database.write(|tx| tx.charge_hours(&id("r-a"), at(1_000_000))), 0);
    }
    assert_eq!(database.read(|tx| tx.ledger(&id("r-a"))).last().unwrap().to, at(7200));
    let price = meter("r-a", 0).hourly_price;
    assert_eq!(balance(database), before.saturating_sub(price.saturating_mul(2)));
    assert_eq!(database.write(|tx| tx.lock_meter(&id("r-a"))).unwrap().closed, Some(at(5400)));
    assert_eq!(database.write(|tx| tx.end_meter(&id("r-none"), at(0))), ());
}
