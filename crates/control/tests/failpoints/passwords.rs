//! Changes of passwords.

use std::time::Duration;

use fail::FailScenario;
use ourkv_control::reconciler::{Handle, failpoint_names};
use ourkv_control::substrate::Member;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Intent, Phase, Status};

use super::common::{PATIENCE, SHAPES, World, settled};
use super::{CACHE, PAIR, start, world};

/// A password that takes the place of another, and one that follows before that was done.
pub(crate) async fn change_password(world: &World, reconciler: &Handle, id: &InstanceId) {
    for passwords in [&["Second-1"][..], &["Third-11", "Fourth-1"]] {
        for password in passwords {
            ask_for_password(world, id, password).await;
        }
        settled(reconciler).await;
        lets_in_only(world, id, passwords[passwords.len() - 1]).await;
    }
}

async fn ask_for_password(world: &World, id: &InstanceId, password: &'static str) {
    let id = id.clone();
    let asked = world.write(move |tx| tx.change_password(&id, &password.into())).await;
    assert!(asked.is_some());
}

/// It answers, and every engine of it has this password alone.
async fn lets_in_only(world: &World, id: &InstanceId, password: &str) {
    let instance = world.instance(id).await.unwrap();
    assert_eq!(instance.status(), Some(Status::Normal));
    for member in world.fake.seen(id).running.into_keys() {
        assert_eq!(passwords(world, id, member), [password], "{member}");
    }
    let key = id.clone();
    let secrets = world.write(move |tx| tx.secrets(&key)).await.unwrap();
    assert_eq!((secrets.password.unwrap().expose(), secrets.change), (password, None));
}

fn passwords(world: &World, id: &InstanceId, member: Member) -> Vec<String> {
    let known = world.fake.passwords(id, member);
    known.iter().map(|password| password.expose().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_passwords_that_is_cut_off_leaves_a_way_in_and_ends_with_the_wanted_one() {
    const FORMER: &str = "Passw0rd!";
    const WANTED: &str = "Second-1";
    let scenario = FailScenario::setup();
    let world = world().await;
    for name in failpoint_names() {
        for (shape, dies) in [(0, false), (PAIR, false), (PAIR, true), (CACHE, false)] {
            let first = start(&world);
            let id = world.create(SHAPES[shape]).await;
            settled(&first).await;
            // A point that fails for ever stops it there, as the end of the process would.
            fail::cfg(name, "return(error)").unwrap();
            ask_for_password(&world, &id, WANTED).await;
            let _ = tokio::time::timeout(Duration::from_millis(20), first.settle()).await;
            if dies {
                world.fake.kill(&id, Member::First);
                let _ = tokio::time::timeout(Duration::from_millis(20), first.settle()).await;
            }
            first.shutdown().await;
            let mut known = Vec::new();
            for member in world.fake.seen(&id).running.into_keys() {
                let good = passwords(&world, &id, member);
                assert!(good.iter().any(|good| good == FORMER || good == WANTED), "{name}");
                known.push(good);
            }
            let former = known.iter().all(|good| good.iter().any(|good| good == FORMER));
            let wanted = known.iter().all(|good| good.iter().any(|good| good == WANTED));
            assert!(former || wanted, "{name}: {known:?}");
            fail::remove(name);
            let next = start(&world);
            settled(&next).await;
            lets_in_only(&world, &id, WANTED).await;
            world.intend(&id, Intent::Delete).await;
            settled(&next).await;
            next.shutdown().await;
        }
    }
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_change_of_passwords_keeps_both_in_force_and_stops_no_other() {
    let scenario = FailScenario::setup();
    let world = world().await;
    let reconciler = start(&world);
    let both = ["record_password_admitted.before", "dismiss_passwords.before"];
    for name in ["admit_password.before", both[0], both[1], "record_password_reset.before"] {
        let mut ids = Vec::new();
        for _ in 0..2 {
            ids.push(world.create(SHAPES[PAIR]).await);
        }
        settled(&reconciler).await;
        fail::cfg(name, "1*pause->off").unwrap();
        for id in &ids {
            ask_for_password(&world, id, "Second-1").await;
        }
        reconciler.nudge();
        let is_done = |id: &InstanceId| passwords(&world, id, Member::First) == ["Second-1"];
        let done = async {
            while !ids.iter().any(is_done) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.expect("the other waits");
        for id in ids.iter().filter(|id| both.contains(&name) && !is_done(id)) {
            let good = passwords(&world, id, Member::First);
            assert!(good == ["Second-1", "Passw0rd!"] || good == ["Passw0rd!"], "{name} {good:?}");
            assert_eq!(world.phase(id).await, Some(Phase::Normal));
        }
        fail::remove(name);
        settled(&reconciler).await;
        for id in &ids {
            lets_in_only(&world, id, "Second-1").await;
        }
    }
    reconciler.shutdown().await;
    scenario.teardown();
}
