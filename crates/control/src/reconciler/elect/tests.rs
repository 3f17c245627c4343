use proptest::prelude::*;

use super::*;

const HISTORY: &str = "8371445e";

fn replica(link: Link, offset: i64, keys: u64) -> Standing {
    let replication = Replication { history: HISTORY.into(), offset, link, keys, loading: false };
    Standing { replication: Some(replication), disk: Some(disk(100, 0)) }
}

fn disk(bytes: u64, age: u64) -> Kept {
    Kept { bytes, age: Duration::from_secs(age) }
}

fn dead(kept: Option<Kept>) -> Standing {
    Standing { replication: None, disk: kept }
}

fn choose(own: Standing, other: Standing, last: Option<i64>, ended: Option<u64>) -> Decision {
    let standings = BTreeMap::from([(Member::First, own), (Member::Second, other)]);
    let last = last.map(|offset| (HISTORY.to_owned(), offset));
    elect(&Scene {
        master: Member::First,
        standings: &standings,
        durable: true,
        last: last.as_ref(),
        ended: ended.map(Duration::from_secs),
        damped: false,
    })
}

const RAISE: Choice = Choice::Raise(Member::Second);

#[test]
fn a_replica_that_followed_to_the_end_takes_over() {
    for link in [Link::Up, Link::Down(Duration::ZERO), Link::Down(Duration::from_secs(4))] {
        let decision = choose(dead(Some(disk(100, 0))), replica(link, 500, 9), Some(500), Some(0));
        assert_eq!((decision.choice, decision.loss), (RAISE, None), "{link:?}");
    }
}

#[test]
fn what_it_lacks_for_certain_is_named() {
    let decision = choose(dead(None), replica(Link::Up, 400, 9), Some(500), Some(0));
    assert_eq!(decision.choice, RAISE);
    assert_eq!(decision.loss.unwrap(), "the last 100 bytes of the master's history at least");
}

#[test]
fn one_that_lost_its_master_earlier_does_not() {
    let link = Link::Down(Duration::from_mins(1));
    let own = dead(Some(disk(100, 1)));
    let watched = choose(own.clone(), replica(link, 500, 9), None, Some(2));
    assert_eq!((watched.choice, watched.loss), (Choice::Stay, None));
    let unwatched = choose(own, replica(link, 500, 9), None, None);
    assert_eq!(unwatched.choice, Choice::Stay, "the master wrote after the link broke");
    let long_dead = choose(dead(Some(disk(100, 58))), replica(link, 500, 9), None, None);
    assert_eq!(long_dead.choice, RAISE, "both ended with the master");
}

#[test]
fn one_whose_data_are_not_whole_or_not_the_masters_does_not() {
    let own = || dead(Some(disk(100, 0)));
    for link in [Link::Never, Link::Syncing] {
        let decision = choose(own(), replica(link, 500, 9), Some(500), Some(0));
        assert_eq!(decision.choice, Choice::Stay, "{link:?}");
    }
    let mut stranger = replica(Link::Up, 500, 9);
    stranger.replication.as_mut().unwrap().history = "another".into();
    assert_eq!(choose(own(), stranger, Some(500), Some(0)).choice, Choice::Stay);
    let mut loading = replica(Link::Up, 500, 9);
    loading.replication.as_mut().unwrap().loading = true;
    assert_eq!(choose(own(), loading, Some(500), Some(0)).choice, Choice::Stay);
    let far = choose(own(), replica(Link::Up, 0, 9), Some(FAR_BEHIND + 1), Some(0));
    assert_eq!(far.choice, Choice::Stay);
}

#[test]
fn without_any_better_data_the_other_has_them_and_the_loss_is_named() {
    let stale = replica(Link::Down(Duration::from_secs(99)), 500, 9);
    let decision = choose(dead(None), stale, Some(900), Some(0));
    assert_eq!(decision.choice, RAISE);
    assert!(decision.loss.is_some());
    let on_disk = choose(dead(None), dead(Some(disk(50, 9))), None, None);
    assert_eq!(on_disk.choice, RAISE);
    assert!(on_disk.loss.is_some());
    let nowhere = choose(dead(None), dead(None), None, None);
    assert_eq!(nowhere.choice, Choice::Stay);
    assert!(nowhere.loss.is_some());
}

#[test]
fn an_empty_one_never_wins_over_one_with_data() {
    let empty = replica(Link::Never, 0, 0);
    let decision = choose(dead(Some(disk(100, 0))), empty.clone(), None, Some(0));
    assert_eq!((decision.choice, decision.loss), (Choice::Stay, None));
    let nothing_kept = choose(dead(None), Standing { disk: None, ..empty }, None, Some(0));
    assert_eq!(nothing_kept.choice, Choice::Stay);
    let was_emptied = choose(dead(Some(disk(0, 0))), replica(Link::Never, 5, 9), None, Some(0));
    assert_eq!(was_emptied.choice, RAISE);
}

#[test]
fn roles_that_changed_too_often_stay_where_nothing_is_lost_by_it() {
    let standings = BTreeMap::from([
        (Member::First, dead(Some(disk(100, 0)))),
        (Member::Second, replica(Link::Up, 500, 9)),
    ]);
    let scene = Scene {
        master: Member::First,
        standings: &standings,
        durable: true,
        last: None,
        ended: Some(Duration::ZERO),
        damped: true,
    };
    let damped = elect(&scene);
    assert_eq!((damped.choice, damped.damped), (Choice::Stay, true));
    let volatile = elect(&Scene { durable: false, ..scene });
    assert_eq!((volatile.choice, volatile.damped), (RAISE, false));
}

fn any_link() -> impl Strategy<Value = Link> {
    prop_oneof![
        Just(Link::Master),
        Just(Link::Up),
        (0..100_u64).prop_map(|seconds| Link::Down(Duration::from_secs(seconds))),
        Just(Link::Syncing),
        Just(Link::Never),
    ]
}

fn any_standing() -> impl Strategy<Value = Standing> {
    let replication = (any_link(), 0..1_i64 << 28, 0..3_u64, any::<bool>(), any::<bool>());
    let replication = replication.prop_map(|(link, offset, keys, loading, foreign)| {
        let history = if foreign { "another" } else { HISTORY }.to_owned();
        Replication { history, offset, link, keys, loading }
    });
    let kept = (0..3_u64, 0..100_u64).prop_map(|(bytes, age)| disk(bytes, age));
    (proptest::option::of(replication), proptest::option::of(kept))
        .prop_map(|(replication, disk)| Standing { replication, disk })
}

proptest! {
    #[test]
    fn what_is_lost_is_named_and_data_win_over_none(
        own in proptest::option::of((0..3_u64, 0..100_u64)),
        other in any_standing(),
        last in proptest::option::of(0..1_i64 << 28),
        ended in proptest::option::of(0..100_u64),
        durable: bool,
        damped: bool,
    ) {
        let own = dead(own.map(|(bytes, age)| disk(bytes, age)));
        let standings = BTreeMap::from([(Member::First, own.clone()), (Member::Second, other.clone())]);
        let known = last.map(|offset| (HISTORY.to_owned(), offset));
        let decision = elect(&Scene {
            master: Member::First,
            standings: &standings,
            durable,
            last: known.as_ref(),
            ended: ended.map(Duration::from_secs),
            damped,
        });
        let own_disk = own.disk.filter(|_| durable);
        match decision.choice {
            Choice::Stay => {
                // Whoever stays has everything, or there is nothing, and that is said.
                let nothing_anywhere = own_disk.is_none();
                prop_assert_eq!(decision.loss.is_some(), nothing_anywhere);
                if nothing_anywhere && let Some(replication) = &other.replication {
                    let part = replication.loading || replication.link == Link::Syncing;
                    prop_assert!(replication.keys == 0 || part, "data lost to an empty one");
                }
            }
            Choice::Raise(member) => {
                prop_assert_eq!(member, Member::Second);
                let replication = other.replication.as_ref();
                let followed = replication.is_some_and(|replication| {
                    !replication.loading
                        && matches!(replication.link, Link::Up | Link::Down(_) | Link::Master)
                });
                if decision.loss.is_none() {
                    prop_assert!(followed, "an unlinked one took over as if nothing was lost");
                } else if !followed {
                    let has_data = own_disk.is_some_and(|own| own.bytes > 0);
                    prop_assert!(!has_data, "data on the disk lost to a worse one");
                }
                if let (Some(offset), Some(replication)) = (last, replication)
                    && replication.link != Link::Master
                    && replication.offset < offset
                {
                    prop_assert!(decision.loss.is_some(), "a known loss was kept silent");
                }
            }
        }
        prop_assert!(!decision.reason.is_empty());
    }
}
