//! What a restore and a clone ask for.

use super::*;

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
