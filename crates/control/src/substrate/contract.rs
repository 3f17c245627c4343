//! The rules that every substrate keeps, as checks that panic where one is broken.
//!
//! Each check wants an instance that nothing is kept of, and leaves nothing of it.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use ourkv_domain::instance::InstanceType;

use super::{
    ByteStream, Health, Loaded, Member, Saving, Seen, Specimen, Staging, Stop, Substrate, Unit,
};

/// How long a check waits for what a substrate reports on its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// All checks that need no help, one after the other, with the same unit.
pub async fn holds(substrate: &dyn Substrate, unit: &Unit) {
    an_unknown_instance_is_absent(substrate, unit).await;
    each_effect_done_twice_is_done_once(substrate, unit).await;
    stopped_engines_are_gone_and_their_place_is_kept(substrate, unit).await;
    a_removed_instance_leaves_nothing(substrate, unit).await;
    a_manifest_is_kept_while_anything_is(substrate, unit).await;
    undoing_what_never_was_is_fine(substrate, unit).await;
    if unit.instance_type == InstanceType::Redis {
        what_is_saved_can_be_put_back(substrate, unit).await;
        data_is_put_in_force_at_once_or_not_at_all(substrate, unit).await;
    }
}

/// Nothing is seen of an instance that nothing was done about.
pub async fn an_unknown_instance_is_absent(substrate: &dyn Substrate, unit: &Unit) {
    assert_eq!(substrate.observe(unit).await.expect("observe"), Seen::default());
    assert!(!kept(substrate, unit).await);
}

/// Prepare, start, link and login, each twice, end in an instance that answers.
pub async fn each_effect_done_twice_is_done_once(substrate: &dyn Substrate, unit: &Unit) {
    bring_up(substrate, unit).await;
    let seen = substrate.observe(unit).await.expect("observe");
    bring_up(substrate, unit).await;
    assert_eq!(substrate.observe(unit).await.expect("observe again"), seen);
    assert!(kept(substrate, unit).await);
    take_down(substrate, unit).await;
}

/// After a stop nothing runs, and the instance can be started again where it was.
pub async fn stopped_engines_are_gone_and_their_place_is_kept(
    substrate: &dyn Substrate,
    unit: &Unit,
) {
    bring_up(substrate, unit).await;
    for member in unit.members() {
        substrate.stop(unit, *member, Stop::Keep).await.expect("stop");
        substrate.stop(unit, *member, Stop::Keep).await.expect("stop again");
    }
    let seen = substrate.observe(unit).await.expect("observe");
    assert_eq!(seen, Seen { prepared: true, ..Seen::default() });
    assert!(substrate.login(unit).await.is_err(), "a stopped instance let somebody in");
    bring_up(substrate, unit).await;
    take_down(substrate, unit).await;
}

/// After a removal there is nothing left to see or to list.
pub async fn a_removed_instance_leaves_nothing(substrate: &dyn Substrate, unit: &Unit) {
    bring_up(substrate, unit).await;
    take_down(substrate, unit).await;
    an_unknown_instance_is_absent(substrate, unit).await;
}

/// A manifest is replaced as a whole, and goes with the rest.
pub async fn a_manifest_is_kept_while_anything_is(substrate: &dyn Substrate, unit: &Unit) {
    assert!(!substrate.keep_manifest(unit, b"early").await.expect("nothing is kept"));
    an_unknown_instance_is_absent(substrate, unit).await;
    substrate.prepare(unit).await.expect("prepare");
    assert_eq!(substrate.manifest(unit).await.expect("look"), None);
    for text in [&b"a longer text"[..], b"short"] {
        assert!(substrate.keep_manifest(unit, text).await.expect("keep"));
        assert_eq!(substrate.manifest(unit).await.expect("look"), Some(text.to_vec()));
    }
    take_down(substrate, unit).await;
    assert_eq!(substrate.manifest(unit).await.expect("look again"), None);
}

/// Stopping and removing succeed where there is nothing.
pub async fn undoing_what_never_was_is_fine(substrate: &dyn Substrate, unit: &Unit) {
    take_down(substrate, unit).await;
    an_unknown_instance_is_absent(substrate, unit).await;
}

/// An engine that ends without being told to is reported, is seen to be gone, and can be started
/// again. `kill` ends the first engine of the unit.
pub async fn a_death_is_reported<K, F>(substrate: &dyn Substrate, unit: &Unit, kill: K)
where
    K: FnOnce() -> F,
    F: Future<Output = ()>,
{
    bring_up(substrate, unit).await;
    let mut deaths = substrate.deaths();
    kill().await;
    let died = tokio::time::timeout(PATIENCE, deaths.recv()).await;
    assert_eq!(died.expect("no death was reported").expect("deaths ended"), unit.id);
    let seen = substrate.observe(unit).await.expect("observe");
    assert!(!seen.running.contains_key(&Member::First), "the dead are seen to run");
    bring_up(substrate, unit).await;
    take_down(substrate, unit).await;
}

/// A save ends, a trial loads it, and the instance serves with it in place of what it had.
pub async fn what_is_saved_can_be_put_back(substrate: &dyn Substrate, unit: &Unit) {
    bring_up(substrate, unit).await;
    let (saving, data) = save(substrate, unit).await;
    substrate.forget_save(unit).await.expect("forget the save");
    let specimen = Specimen {
        engine: saving.engine,
        capacity_mb: unit.capacity_mb,
        bytes: stream(data.clone()),
    };
    let loaded = substrate.prove(specimen).await.expect("prove");
    assert_eq!(loaded, Loaded { keys: saving.keys, expired: 0 });
    let staging = Staging { serial: 1, engine: saving.engine, bytes: stream(data) };
    substrate.stage(unit, staging).await.expect("stage");
    assert_eq!(substrate.prove_staged(unit, 1).await.expect("prove what is staged"), loaded);
    halt(substrate, unit).await;
    for _ in 0..2 {
        substrate.swap(unit, 1).await.expect("swap");
    }
    bring_up(substrate, unit).await;
    for _ in 0..2 {
        substrate.tidy(unit).await.expect("tidy");
    }
    let seen = substrate.observe(unit).await.expect("observe");
    assert_eq!((seen.dataset, seen.staged, seen.untidy), (1, None, false));
    assert_eq!(save(substrate, unit).await.0.keys, saving.keys);
    take_down(substrate, unit).await;
}

/// Only what is staged as a whole is put in force, and only where nothing runs.
pub async fn data_is_put_in_force_at_once_or_not_at_all(substrate: &dyn Substrate, unit: &Unit) {
    bring_up(substrate, unit).await;
    let (Saving { engine, .. }, data) = save(substrate, unit).await;
    let sight = async || {
        let seen = substrate.observe(unit).await.expect("observe");
        (seen.dataset, seen.staged, seen.untidy)
    };
    assert_eq!(sight().await, (0, None, false));
    let gone = super::Trouble::Dataset { reason: "the rest is missing".into() };
    let half = futures::stream::iter([Ok(data.clone()), Err(gone)]).boxed();
    let staged = substrate.stage(unit, Staging { serial: 1, engine, bytes: half }).await;
    assert!(staged.is_err(), "half of the data was staged");
    assert_eq!(sight().await, (0, None, true));
    for serial in [2, 3] {
        let staging = Staging { serial, engine, bytes: stream(data.clone()) };
        substrate.stage(unit, staging).await.expect("stage");
        assert_eq!(sight().await, (0, Some(serial), true));
    }
    assert!(substrate.swap(unit, 3).await.is_err(), "swapped under running engines");
    halt(substrate, unit).await;
    assert!(substrate.swap(unit, 2).await.is_err(), "swapped to what is not staged");
    assert_eq!(sight().await, (0, Some(3), true));
    substrate.tidy(unit).await.expect("tidy");
    assert_eq!(sight().await, (0, None, false));
    assert!(substrate.swap(unit, 3).await.is_err(), "swapped to what was removed");
    take_down(substrate, unit).await;
}

async fn save(substrate: &dyn Substrate, unit: &Unit) -> (Saving, Bytes) {
    let mut saving = substrate.save(unit).await.expect("save");
    let bytes = std::mem::replace(&mut saving.bytes, futures::stream::empty().boxed());
    let parts: Vec<Bytes> = bytes.try_collect().await.expect("the save breaks");
    (saving, parts.concat().into())
}

fn stream(data: Bytes) -> ByteStream {
    futures::stream::iter([Ok(data)]).boxed()
}

async fn halt(substrate: &dyn Substrate, unit: &Unit) {
    for member in unit.members() {
        substrate.stop(unit, *member, Stop::Keep).await.expect("stop");
    }
}

async fn bring_up(substrate: &dyn Substrate, unit: &Unit) {
    for _ in 0..2 {
        substrate.prepare(unit).await.expect("prepare");
    }
    for member in unit.members().iter().chain(unit.members()) {
        substrate.start(unit, *member).await.expect("start");
    }
    if unit.members().contains(&Member::Second) {
        for _ in 0..2 {
            substrate.link(unit).await.expect("link");
        }
    }
    for _ in 0..2 {
        substrate.login(unit).await.expect("login");
    }
    let seen = substrate.observe(unit).await.expect("observe");
    assert!(seen.prepared);
    assert_eq!(seen.running.keys().copied().collect::<Vec<_>>(), unit.members());
    assert_eq!(seen.running[&Member::First], Health::Answering);
    if let Some(second) = seen.running.get(&Member::Second) {
        assert_eq!(*second, Health::Linked);
    }
}

async fn take_down(substrate: &dyn Substrate, unit: &Unit) {
    for member in unit.members().iter().chain(unit.members()) {
        substrate.stop(unit, *member, Stop::Discard).await.expect("discard");
    }
    for _ in 0..2 {
        substrate.remove(unit).await.expect("remove");
    }
}

async fn kept(substrate: &dyn Substrate, unit: &Unit) -> bool {
    substrate.inventory().await.expect("inventory").contains(&unit.id)
}
