use ourkv_store::Removal;

use crate::database::Database;
use crate::on_both;
use crate::sample::{account_id, id, lay_ground, prepaid, secrets, vpc, vswitch};

on_both!(keeps_every_field, keeps_what_is_in_use, settings_come_and_go);

fn keeps_every_field(database: &Database) {
    database.write(lay_ground);
    assert_eq!(database.read(|tx| tx.vpc(&vpc().id)), Some(vpc()));
    assert_eq!(database.read(|tx| tx.vpcs(None)), [vpc()]);
    assert_eq!(database.read(|tx| tx.vpcs(Some(&account_id()))), [vpc()]);
    assert_eq!(database.read(|tx| tx.vpcs(Some(&"2".parse().unwrap()))), []);
    assert_eq!(database.read(|tx| tx.vswitch(&vswitch().id)), Some(vswitch()));
    assert_eq!(database.read(|tx| tx.vswitches(None)), [vswitch()]);
    assert_eq!(database.read(|tx| tx.vswitches(Some(&vpc().id))), [vswitch()]);
    assert_eq!(database.read(|tx| tx.vswitches(Some(&"vpc-b".parse().unwrap()))), []);
}

fn keeps_what_is_in_use(database: &Database) {
    let delete_vpc = || database.write(|tx| tx.delete_vpc(&vpc().id));
    let delete_vswitch = || database.write(|tx| tx.delete_vswitch(&vswitch().id));
    assert_eq!((delete_vpc(), delete_vswitch()), (Removal::Missing, Removal::Missing));
    database.write(|tx| {
        lay_ground(tx)?;
        let pool = vswitch().id;
        tx.ensure_pool(pool.as_str(), [10, 0, 0, 1].into(), [10, 0, 0, 9].into())?;
        tx.take_next(pool.as_str(), &id("m-b"))?;
        tx.insert_instance(&prepaid("m-b"), &secrets())
    });
    assert_eq!((delete_vpc(), delete_vswitch()), (Removal::InUse, Removal::InUse));
    database.write(|tx| tx.delete_instance(&id("m-b")));
    assert_eq!((delete_vpc(), delete_vswitch()), (Removal::InUse, Removal::InUse));
    database.write(|tx| tx.release_addresses(&id("m-b")));
    assert_eq!((delete_vswitch(), delete_vpc()), (Removal::Removed, Removal::Removed));
    assert_eq!(database.write(|tx| tx.take_next(vswitch().id.as_str(), &id("m-c"))), None);
}

fn settings_come_and_go(database: &Database) {
    assert_eq!(database.read(|tx| tx.setting("node")), None);
    for value in ["a", "b"] {
        database.write(move |tx| tx.set_setting("node", value));
        assert_eq!(database.read(|tx| tx.setting("node")), Some(value.into()));
    }
    assert!(database.write(|tx| tx.delete_setting("node")));
    assert!(!database.write(|tx| tx.delete_setting("node")));
}
