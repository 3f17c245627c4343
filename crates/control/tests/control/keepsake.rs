//! The manifest of an instance is written when it tells something new, and for no other reason.

use std::sync::Arc;
use std::time::Duration;

use ourkv_control::substrate::fake::{Call, Fault};
use ourkv_control::substrate::{Substrate, Unit};
use ourkv_domain::billing::Money;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Intent, Phase};
use ourkv_domain::secret::Secret;
use ourkv_store::Manifest;

use crate::common::{PATIENCE, SHAPES, World, quick, secrets, settled};

async fn world() -> World {
    World::new(Money::from_yuan(10_000).unwrap()).await
}

async fn kept(world: &World, id: &InstanceId) -> Option<Manifest> {
    let unit = Unit::new(&world.instance(id).await.unwrap(), secrets());
    let text = world.fake.manifest(&unit).await.unwrap()?;
    Some(world.store.open_manifest(&text).unwrap())
}

/// Whether it says what the store does.
async fn is_current(world: &World, id: &InstanceId) -> bool {
    let (key, now) = (id.clone(), kept(world, id).await.unwrap().written_at());
    let made = world.write(move |tx| tx.manifest(&key, now)).await.unwrap();
    kept(world, id).await.unwrap().gist() == made.gist()
}

#[tokio::test]
async fn it_is_written_when_something_changed_and_never_else() {
    let world = world().await;
    let reconciler = world.start();
    let id = world.create(SHAPES[1]).await;
    settled(&reconciler).await;
    assert!(is_current(&world, &id).await);
    let written = world.fake.count(Call::KeepManifest);
    for _ in 0..5 {
        reconciler.nudge();
        settled(&reconciler).await;
    }
    assert_eq!(world.fake.count(Call::KeepManifest), written);
    world.intend(&id, Intent::Stop).await;
    settled(&reconciler).await;
    assert!(is_current(&world, &id).await);
    assert!(world.fake.count(Call::KeepManifest) > written);
    let written = world.fake.count(Call::KeepManifest);
    reconciler.shutdown().await;

    // The next control plane finds it as it should be.
    let next = world.start();
    settled(&next).await;
    assert_eq!(world.fake.count(Call::KeepManifest), written);
    next.shutdown().await;
    let key = id.clone();
    let password = Secret::from("An0ther-one");
    world.write(move |tx| tx.change_password(&key, &password)).await;
    let next = world.start();
    settled(&next).await;
    assert!(is_current(&world, &id).await);
    next.shutdown().await;
}

#[tokio::test]
async fn an_end_in_order_leaves_none_unwritten() {
    let world = world().await;
    let reconciler = world.start();
    let id = world.create(SHAPES[0]).await;
    reconciler.nudge();
    let normal = async {
        while world.phase(&id).await != Some(Phase::Normal) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, normal).await.expect("it becomes normal");
    reconciler.shutdown().await;
    assert!(is_current(&world, &id).await);
}

#[tokio::test]
async fn an_instance_is_normal_without_it_and_it_is_tried_again() {
    let world = world().await;
    let reconciler = world.reconciler(Arc::clone(&world.fake) as Arc<dyn Substrate>, quick());
    let id = world.create(SHAPES[0]).await;
    world.fake.inject(Call::KeepManifest, Some(&id), Fault::Fail, 1);
    world.fake.inject(Call::KeepManifest, Some(&id), Fault::Panic, 1);
    settled(&reconciler).await;
    assert_eq!(world.phase(&id).await, Some(Phase::Normal));
    for _ in 0..3 {
        world.intend(&id, Intent::Stop).await;
        settled(&reconciler).await;
        world.intend(&id, Intent::Run).await;
        settled(&reconciler).await;
    }
    assert!(is_current(&world, &id).await);
    reconciler.shutdown().await;
}
