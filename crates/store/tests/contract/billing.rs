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
