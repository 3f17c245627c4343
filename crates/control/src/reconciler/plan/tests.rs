use rstest::rstest;
use strum::VariantArray;

use super::*;

const SINGLE: &[Member] = &[Member::First];
const PAIR: &[Member] = &[Member::First, Member::Second];

/// The serial of the data that are wanted, where some are.
const SERIAL: i64 = 2;

/// `-` nothing, `k` kept; then one letter per member: `.` absent, `s`tarting, `a`nswering,
/// `l`inked.
fn seen(text: &str) -> Seen {
    let mut letters = text.chars();
    let prepared = letters.next() == Some('k');
    let running = letters
        .zip(PAIR)
        .filter_map(|(letter, member)| {
            let health = match letter {
                's' => Health::Starting,
                'a' => Health::Answering,
                'l' => Health::Linked,
                _ => return None,
            };
            Some((*member, health))
        })
        .collect();
    Seen { prepared, running, ..Seen::default() }
}

fn wish(intent: Intent, members: &'static [Member]) -> Wish {
    Wish { intent, members, durable: members.len() > 1, restore: None, last_backup: false }
}

fn restoring(members: &'static [Member], gathered: Gathered) -> Wish {
    let pending = Pending { serial: SERIAL, live: true, gathered, verdict: None };
    Wish { restore: Some(pending), ..wish(Intent::Run, members) }
}

fn cloning(members: &'static [Member], gathered: Gathered) -> Wish {
    let pending = Pending { serial: SERIAL, live: false, gathered, verdict: None };
    Wish { restore: Some(pending), ..wish(Intent::Run, members) }
}

fn staged(text: &str) -> Seen {
    Seen { staged: Some(SERIAL), untidy: true, ..seen(text) }
}

fn swapped(text: &str) -> Seen {
    Seen { dataset: SERIAL, untidy: true, ..seen(text) }
}

const FIRST: Stage = Stage::Start(Member::First);
const SECOND: Stage = Stage::Start(Member::Second);

#[rstest]
#[case(SINGLE, "-", Stage::Prepare)]
#[case(SINGLE, "-a", Stage::Prepare)]
#[case(SINGLE, "k", FIRST)]
#[case(SINGLE, "ks", FIRST)]
#[case(SINGLE, "ka", Stage::Login)]
#[case(PAIR, "-", Stage::Prepare)]
#[case(PAIR, "k", FIRST)]
#[case(PAIR, "ka.", SECOND)]
#[case(PAIR, "k.a", FIRST)]
#[case(PAIR, "k.l", FIRST)]
#[case(PAIR, "kss", FIRST)]
#[case(PAIR, "kas", SECOND)]
#[case(PAIR, "kaa", Stage::Link)]
#[case(PAIR, "kal", Stage::Login)]
fn runs_what_is_missing(
    #[case] members: &'static [Member],
    #[case] sight: &str,
    #[case] stage: Stage,
) {
    assert_eq!(plan(&wish(Intent::Run, members), &seen(sight)), stage);
}

#[rstest]
#[case("-", None)]
#[case("k", None)]
#[case("ka", Some(SINGLE))]
#[case("-s", Some(SINGLE))]
#[case("kal", Some(PAIR))]
#[case("k.a", Some(&[Member::Second][..]))]
fn stops_whatever_runs(#[case] sight: &str, #[case] stops: Option<&[Member]>) {
    let stage = |how, after| stops.map_or(after, |members| Stage::Stop(members.to_vec(), how));
    for members in [SINGLE, PAIR] {
        let left = if seen(sight).prepared { Stage::Remove } else { Stage::Forget };
        let seen = seen(sight);
        assert_eq!(plan(&wish(Intent::Stop, members), &seen), stage(Stop::Keep, Stage::Rest));
        assert_eq!(plan(&wish(Intent::Delete, members), &seen), stage(Stop::Discard, left));
    }
}

#[test]
fn serves_the_old_data_while_others_are_gathered() {
    for sight in [seen("ka"), staged("ka")] {
        assert_eq!(plan(&restoring(SINGLE, Gathered::Idle), &sight), Stage::Gather);
        assert_eq!(plan(&restoring(SINGLE, Gathered::UnderWay), &sight), Stage::Login);
    }
    assert_eq!(plan(&restoring(SINGLE, Gathered::UnderWay), &seen("k")), FIRST);
    assert_eq!(plan(&restoring(PAIR, Gathered::UnderWay), &staged("k.a")), FIRST);
    assert_eq!(plan(&restoring(PAIR, Gathered::UnderWay), &staged("kaa")), Stage::Link);
}

#[test]
fn replaces_proven_data_only_while_nothing_runs() {
    let both = Stage::Stop(PAIR.to_vec(), Stop::Keep);
    assert_eq!(plan(&restoring(PAIR, Gathered::Proven), &staged("kal")), both);
    assert_eq!(plan(&restoring(PAIR, Gathered::Proven), &staged("k")), Stage::Swap(SERIAL));
    let gone = plan(&restoring(PAIR, Gathered::Proven), &seen("kal"));
    assert_eq!(gone, Stage::Gather, "what was proven is not there any more");
}

#[test]
fn whoever_was_served_before_need_not_wait_for_the_replica() {
    let wish = restoring(PAIR, Gathered::Idle);
    assert_eq!(plan(&wish, &swapped("k")), FIRST);
    assert_eq!(plan(&wish, &swapped("ka")), Stage::Settle);
    let settled = Stage::Settle.fulfilled(wish);
    assert_eq!(plan(&settled, &swapped("ka")), Stage::Tidy);
    let tidied = Seen { untidy: false, ..swapped("ka") };
    assert_eq!(plan(&settled, &tidied), SECOND);
}

#[test]
fn a_clone_needs_no_trial_and_answers_as_a_whole() {
    assert_eq!(plan(&cloning(PAIR, Gathered::Idle), &seen("-")), Stage::Prepare);
    assert_eq!(plan(&cloning(PAIR, Gathered::Idle), &seen("k")), Stage::Gather);
    assert_eq!(plan(&cloning(PAIR, Gathered::UnderWay), &staged("k")), Stage::Await);
    assert_eq!(plan(&cloning(PAIR, Gathered::Idle), &staged("k")), Stage::Swap(SERIAL));
    assert_eq!(plan(&cloning(PAIR, Gathered::Idle), &swapped("ka")), SECOND);
    assert_eq!(plan(&cloning(PAIR, Gathered::Idle), &swapped("kal")), Stage::Settle);
}

#[test]
fn an_engine_that_keeps_nothing_is_not_started_without_the_data_that_it_was_stopped_for() {
    assert_eq!(plan(&restoring(SINGLE, Gathered::Idle), &staged("k")), Stage::Gather);
    assert_eq!(plan(&restoring(SINGLE, Gathered::UnderWay), &staged("k")), Stage::Await);
    let mut overdue = restoring(SINGLE, Gathered::Proven);
    overdue.restore.as_mut().unwrap().verdict = Some(Verdict::Overdue);
    assert_eq!(plan(&overdue, &staged("k")), Stage::Swap(SERIAL));
    assert_eq!(plan(&overdue, &staged("ka")), Stage::GiveUp);
    let stopped = Wish { intent: Intent::Stop, ..restoring(SINGLE, Gathered::Proven) };
    assert_eq!(plan(&stopped, &staged("k")), Stage::Rest);
}

#[test]
fn a_stop_ends_a_restore_before_the_swap_and_holds_it_after() {
    for gathered in [Gathered::Idle, Gathered::UnderWay, Gathered::Proven] {
        let stopped = Wish { intent: Intent::Stop, ..restoring(PAIR, gathered) };
        assert_eq!(plan(&stopped, &staged("kal")), Stage::GiveUp);
        assert_eq!(plan(&stopped, &staged("k")), Stage::GiveUp);
        assert_eq!(plan(&stopped, &swapped("k")), Stage::Rest);
        let cloned = Wish { intent: Intent::Stop, ..cloning(PAIR, gathered) };
        assert_eq!(plan(&cloned, &staged("k")), Stage::Rest);
    }
    assert_eq!(plan(&wish(Intent::Stop, PAIR), &staged("k")), Stage::Tidy);
}

#[test]
fn a_last_backup_is_waited_for_where_there_is_something_to_back_up() {
    let deleted = |members| Wish { last_backup: true, ..wish(Intent::Delete, members) };
    assert_eq!(plan(&deleted(PAIR), &seen("k")), FIRST);
    assert_eq!(plan(&deleted(PAIR), &seen("ks")), FIRST);
    assert_eq!(plan(&deleted(PAIR), &seen("ka")), Stage::Await);
    assert_eq!(plan(&deleted(PAIR), &seen("kal")), Stage::Await);
    assert_eq!(plan(&deleted(SINGLE), &seen("ka")), Stage::Await);
    assert_eq!(plan(&deleted(SINGLE), &seen("k")), Stage::Remove, "its data went with it");
    let restored = Seen { untidy: true, ..seen("ka") };
    assert_eq!(plan(&deleted(SINGLE), &restored), Stage::Tidy, "else it would not be saved");
    assert_eq!(plan(&deleted(PAIR), &seen("-")), Stage::Forget);
}

#[test]
fn only_the_first_member_serves() {
    for (sight, expected) in [("ka", true), ("ks", false), ("k.l", false), ("kal", true)] {
        assert_eq!(serves(&seen(sight)), expected, "{sight}");
    }
}

#[test]
fn every_way_ends_from_everywhere() {
    let mut ways = 0;
    for wish in wishes() {
        for sight in sights() {
            walk(wish, sight, 0, false);
            ways += 1;
        }
    }
    assert!(ways > 10_000, "{ways}");
}

/// Everything that can be wished for.
fn wishes() -> Vec<Wish> {
    let mut pendings = vec![None];
    for gathered in [Gathered::Idle, Gathered::UnderWay, Gathered::Proven] {
        let clone = Pending { serial: SERIAL, live: false, gathered, verdict: None };
        pendings.push(Some(clone));
        for verdict in [None, Some(Verdict::Refused), Some(Verdict::Overdue)] {
            pendings.push(Some(Pending { live: true, verdict, ..clone }));
        }
    }
    let mut wishes = Vec::new();
    for intent in Intent::VARIANTS {
        for restore in &pendings {
            for (members, durable) in [(SINGLE, false), (PAIR, false), (PAIR, true)] {
                let wish = Wish { restore: *restore, durable, ..wish(*intent, members) };
                wishes.push(wish);
                if *intent == Intent::Delete {
                    wishes.push(Wish { last_backup: true, ..wish });
                }
            }
        }
    }
    wishes
}

/// Everything that can be seen.
fn sights() -> Vec<Seen> {
    let letters = ['.', 's', 'a', 'l'];
    let mut sights = Vec::new();
    for (first, second) in letters.iter().flat_map(|a| letters.map(|b| (*a, b))) {
        sights.push(seen(&format!("-{first}{second}")));
        let kept = seen(&format!("k{first}{second}"));
        for (dataset, staged, untidy) in [
            (0, None, false),
            (0, None, true),
            (0, Some(SERIAL), true),
            (1, Some(SERIAL), true),
            (1, Some(SERIAL + 1), true),
            (SERIAL, None, true),
            (SERIAL, None, false),
        ] {
            sights.push(Seen { dataset, staged, untidy, ..kept.clone() });
        }
    }
    sights
}

/// Follows the plan through everything that may come of what is waited for, and holds it to its
/// word at every stage.
fn walk(wish: Wish, seen: Seen, stages: u32, given_up: bool) {
    assert!(stages <= 20, "{wish:?} does not end: {seen:?}");
    let stage = plan(&wish, &seen);
    keeps_its_word(&wish, &seen, &stage, given_up);
    let under_way = wish.restore.filter(|pending| pending.gathered == Gathered::UnderWay);
    match (&stage, under_way) {
        (Stage::Forget | Stage::Rest, _) => {
            let left = wish.restore.is_some();
            assert!(!seen.untidy || left, "something lies about at the end: {seen:?}");
        }
        (Stage::Login, None) => {
            assert!(wish.restore.is_none() && !seen.untidy, "{wish:?} {seen:?}");
        }
        (Stage::Login | Stage::Await, Some(pending)) if wish.intent == Intent::Run => {
            for (wish, seen) in endings(wish, pending, &seen) {
                walk(wish, seen, stages + 1, given_up);
            }
        }
        (Stage::Await, _) => {
            assert!(wish.last_backup, "nothing is waited for: {wish:?}");
            walk(Wish { last_backup: false, ..wish }, seen, stages + 1, given_up);
        }
        _ => {
            let given_up = given_up || stage == Stage::GiveUp;
            walk(stage.fulfilled(wish), stage.promised(seen), stages + 1, given_up);
        }
    }
}

/// How a gathering may end: well, for ever badly, and too late. A clone's is begun again for ever.
fn endings(wish: Wish, pending: Pending, seen: &Seen) -> Vec<(Wish, Seen)> {
    let having = |pending| Wish { restore: Some(pending), ..wish };
    let proven = Pending { gathered: Gathered::Proven, verdict: None, ..pending };
    let done = Seen { staged: Some(pending.serial), untidy: true, ..seen.clone() };
    let mut endings = vec![(having(proven), done)];
    let verdicts = [Some(Verdict::Refused), Some(Verdict::Overdue)];
    // What is tried again for ever is not followed for ever.
    for verdict in verdicts.into_iter().filter(|_| pending.live && pending.verdict.is_none()) {
        let failed = Pending { gathered: Gathered::Idle, verdict, ..pending };
        endings.push((having(failed), Seen { untidy: true, ..seen.clone() }));
    }
    endings
}

fn keeps_its_word(wish: &Wish, seen: &Seen, stage: &Stage, given_up: bool) {
    let at = || format!("{stage:?} of {wish:?} at {seen:?}");
    let is_proven = |pending: Pending| pending.gathered == Gathered::Proven || !pending.live;
    let ready = wish.restore.is_some_and(|pending| {
        is_proven(pending) && seen.staged == Some(pending.serial) && !pending.is_swapped(seen)
    });
    let swapped = wish.restore.is_some_and(|pending| pending.is_swapped(seen));
    match stage {
        Stage::Stop(..) if wish.intent == Intent::Run => {
            assert!(ready, "stops too early: {}", at());
            assert!(!given_up, "stops what goes on as it was: {}", at());
        }
        Stage::Swap(_) => {
            assert!(ready && seen.running.is_empty(), "swaps too early: {}", at());
            assert_eq!(wish.intent, Intent::Run, "{}", at());
        }
        Stage::GiveUp => {
            assert!(!swapped, "goes back after the swap: {}", at());
            assert!(wish.restore.is_some_and(|pending| pending.live), "gives up a clone: {}", at());
        }
        Stage::Gather => assert!(!swapped && !ready, "gathers for nothing: {}", at()),
        Stage::Settle => assert!(swapped && serves(seen), "settles too early: {}", at()),
        Stage::Tidy => assert!(wish.restore.is_none(), "removes what is needed: {}", at()),
        Stage::Start(_) => {
            let gone = wish.restore.is_some_and(|pending| is_lost(wish, &pending, seen));
            assert!(!gone, "starts with nothing: {}", at());
        }
        Stage::Remove | Stage::Forget => {
            assert!(wish.intent == Intent::Delete && seen.running.is_empty(), "{}", at());
        }
        _ => {}
    }
}
