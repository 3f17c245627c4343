//! Changes of masters.

use std::time::Duration;

use fail::FailScenario;
use ourkv_control::reconciler::{Handle, failpoint_names};
use ourkv_control::substrate::{Health, Member};
use ourkv_domain::clock::Clock as _;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Intent, Status};

use super::common::{PATIENCE, SHAPES, World, settled};
use super::{PAIR, start, world};

/// A switch that works, one that is given up, and the end of both engines.
pub(crate) async fn change_roles(world: &World, reconciler: &Handle, id: &InstanceId) {
    assert!(world.fake.write(id, "one"));
    switch(world, id).await;
    settled(reconciler).await;
    world.fake.cut(id);
    switch(world, id).await;
    settled(reconciler).await;
    world.fake.kill(id, Member::First);
    world.fake.kill(id, Member::Second);
    settled(reconciler).await;
    whole(world, id, "one\n").await;
}

async fn switch(world: &World, id: &InstanceId) {
    let (id, now) = (id.clone(), world.clock.now());
    let asked = world.write(move |tx| tx.request_switch(&id, now)).await;
    assert!(asked.is_some());
}

/// One engine takes writes, the other follows it, and both have these data.
async fn whole(world: &World, id: &InstanceId, data: &str) {
    let instance = world.instance(id).await.unwrap();
    assert_eq!(instance.status(), Some(Status::Normal));
    let (lead, seen) = (instance.role.lead, world.fake.seen(id));
    assert_eq!((seen.lead, world.fake.writer(id)), (lead, Some(lead.master)));
    assert_eq!(seen.running[&lead.master], Health::Answering);
    assert_eq!(seen.running[&lead.master.other()], Health::Linked);
    for member in [Member::First, Member::Second] {
        assert_eq!(world.fake.data_of(id, member), data, "{member}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_masters_that_is_cut_off_ends_with_one_master_and_all_that_was_acknowledged() {
    let scenario = FailScenario::setup();
    let world = world().await;
    for name in failpoint_names() {
        for planned in [false, true] {
            let first = start(&world);
            let id = world.create(SHAPES[PAIR]).await;
            settled(&first).await;
            assert!(world.fake.write(&id, "before"));
            let mut acknowledged = String::from("before\n");
            // A point that fails for ever stops it there, as the end of the process would.
            fail::cfg(name, "return(error)").unwrap();
            if planned {
                switch(&world, &id).await;
            } else {
                world.fake.kill(&id, Member::First);
            }
            for line in ["one", "two", "three"] {
                let _ = tokio::time::timeout(Duration::from_millis(10), first.settle()).await;
                if world.fake.write(&id, line) {
                    acknowledged += line;
                    acknowledged += "\n";
                }
            }
            first.shutdown().await;
            let cut = world.instance(&id).await.unwrap();
            let (lead, decided) = (cut.role.lead, planned || cut.role.lead.epoch > 0);
            if decided && cut.status() == Some(Status::Normal) {
                assert_eq!(world.fake.writer(&id), Some(lead.master), "{name}: nobody answers");
            }
            fail::remove(name);
            let next = start(&world);
            settled(&next).await;
            whole(&world, &id, &acknowledged).await;
            world.intend(&id, Intent::Delete).await;
            settled(&next).await;
            next.shutdown().await;
        }
    }
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_normal_between_a_decision_and_the_answer_of_the_new_master() {
    let scenario = FailScenario::setup();
    let world = world().await;
    let reconciler = start(&world);
    let before_it_answers =
        ["take_over.after", "declare.before", "declare.after", "promote.before"];
    for (name, planned) in before_it_answers.iter().flat_map(|name| [(*name, false), (*name, true)])
    {
        let id = world.create(SHAPES[PAIR]).await;
        settled(&reconciler).await;
        fail::cfg(name, "1*pause->off").unwrap();
        if planned {
            switch(&world, &id).await;
            reconciler.nudge();
        } else {
            world.fake.kill(&id, Member::First);
        }
        let decided = async {
            loop {
                let instance = world.instance(&id).await.unwrap();
                if instance.role.lead.epoch > 0 {
                    return instance.status();
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let shown = tokio::time::timeout(PATIENCE, decided).await.expect("nothing is decided");
        assert_ne!(world.fake.writer(&id), Some(Member::Second), "{name} holds nothing back");
        let expected = if planned { Status::HASwitching } else { Status::Unavailable };
        assert_eq!(shown, Some(expected), "{name}");
        fail::remove(name);
        settled(&reconciler).await;
        whole(&world, &id, "").await;
    }
    reconciler.shutdown().await;
    scenario.teardown();
}
