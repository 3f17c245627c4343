//! For how long an engine has answered nobody.

use ourkv_control::substrate::local::Local;
use ourkv_control::substrate::{Member, Pulse, Silence, Substrate, Unit};
use ourkv_domain::instance::EngineVersion;
use rustix::process::Signal;

use super::ground::{Ground, bring_up, take_down};
use super::roles::{pair, signal, usual};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_an_engine_is_silent_is_known_to_the_next_control_plane_and_told_of_one_process() {
    let mut ground = Ground::new(96);
    let unit = pair(&mut ground, EngineVersion::V5_0);
    let local = ground.local(usual().await);
    bring_up(&local, &unit).await;
    let stopped = ground.pid(&unit, Member::First);
    signal(stopped, Signal::STOP);
    let first = silence(&local, &unit).await.unwrap();
    let second = silence(&local, &unit).await.unwrap();
    assert_eq!((first.times, second.times), (1, 2));
    let next = ground.local(usual().await);
    let third = silence(&next, &unit).await.unwrap();
    assert_eq!(third.times, 3);
    assert!(first.lasts < second.lasts && second.lasts < third.lasts);

    // A sign of life ends it, for whoever comes after, too.
    signal(stopped, Signal::CONT);
    assert_eq!(silence(&next, &unit).await, None);
    signal(stopped, Signal::STOP);
    let last = ground.local(usual().await);
    assert_eq!(silence(&last, &unit).await.unwrap().times, 1);

    // The next engine is not the one that was silent.
    last.fence(&unit, Member::First).await.unwrap();
    last.start(&unit, Member::First).await.unwrap();
    signal(ground.pid(&unit, Member::First), Signal::STOP);
    assert_eq!(silence(&last, &unit).await.unwrap().times, 1);
    last.fence(&unit, Member::First).await.unwrap();
    take_down(&last, &unit).await;
}

/// For how long the first engine has been silent, if it is.
async fn silence(local: &Local, unit: &Unit) -> Option<Silence> {
    match local.pulse(unit, Member::First).await.unwrap() {
        Pulse::Silent(silence) => Some(silence),
        _ => None,
    }
}
