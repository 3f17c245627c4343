//! What the store holds while something stands in the way of the engines.

use ourkv_domain::ids::{InstanceId, NodeId};
use ourkv_store::StoreError;

use crate::common::Ourkv;

#[test]
fn after_a_restart_of_the_machine_nothing_is_normal_before_it_was_seen() {
    let mut server = Ourkv::start();
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();

    // A restart of the server alone takes no word back.
    server.restart(&[("FAILPOINTS", "login.before=pause")]);
    assert_eq!(server.attributes(id)["InstanceStatus"], "Normal");

    server.kill();
    let node = std::fs::read_to_string(server.dir.join("node")).unwrap();
    let node = NodeId::parse(node.trim()).unwrap();
    let setting = format!("run-of-{node}");
    let other_run = move |tx: &mut ourkv_store::Tx<'_>| {
        assert!(tx.setting(&setting)?.is_some());
        tx.set_setting(&setting, "another")
    };
    server.store().write_blocking::<_, StoreError>(other_run).unwrap();
    server.serve();
    assert_eq!(server.attributes(id)["InstanceStatus"], "Unavailable");

    server.restart(&[]);
    server.wait_for(id, "Normal");
}

#[test]
fn what_is_given_back_costs_nothing_while_it_waits_to_be_removed() {
    let server = Ourkv::start_with(&[], &[("FAILPOINTS", "discard_first.before=pause")]);
    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    server.client().call("DeleteInstance", &[("InstanceId", id)]).expect_ok();
    let id = InstanceId::parse(id).unwrap();
    let (left, meter) = server
        .store()
        .write_blocking::<_, StoreError>(move |tx| Ok((tx.instance(&id)?, tx.lock_meter(&id)?)))
        .unwrap();
    assert!(left.is_some(), "nothing was in the way of its removal");
    assert!(meter.unwrap().closed.is_some());
}
