//! What becomes of a pair whose master is gone or is to be another.

use super::*;

#[test]
fn a_master_that_is_gone_is_replaced_before_anything_is_started() {
    for sight in ["k.a", "k.l"] {
        assert_eq!(plan(&pair(), &seen(sight)), Stage::Elect);
    }
    let raised = Wish { choice: Some(Choice::Raise(Member::Second)), ..pair() };
    let lead = Lead { master: Member::Second, epoch: 1 };
    let stages = walk_through(raised, seen("k.l"));
    let expected = [
        Stage::TakeOver(lead),
        Stage::Declare(lead),
        Stage::Promote(Member::Second),
        FIRST,
        Stage::Link,
        Stage::Login,
    ];
    assert_eq!(stages, expected);
    let stays = Wish { choice: Some(Choice::Stay), ..pair() };
    assert_eq!(plan(&stays, &seen("k.l")), FIRST);
    assert_eq!(plan(&pair(), &seen("ksl")), FIRST, "what is slow is not gone");
    assert_eq!(plan(&wish(Intent::Run, PAIR), &seen("k.l")), FIRST, "there is nothing to lose");
}

#[test]
fn an_exchange_begins_with_the_last_write_and_is_remembered_before_it_is_done() {
    let asked = Wish { switch: Some(Member::Second), ..pair() };
    assert_eq!(plan(&asked, &seen("kal")), Stage::Halt(Member::First));
    let lead = Lead { master: Member::Second, epoch: 1 };
    let expected = [
        Stage::TakeOver(lead),
        Stage::Declare(lead),
        Stage::Demote(Member::First),
        Stage::Promote(Member::Second),
        Stage::EndSwitch,
        FIRST,
        Stage::Link,
        Stage::Login,
    ];
    assert_eq!(walk_through(Wish { halt: Halt::Done, ..asked }, seen("kal")), expected);
    let refused = Wish { halt: Halt::Refused, ..asked };
    assert_eq!(plan(&refused, &seen("kal")), Stage::GiveUpSwitch);
    assert_eq!(plan(&asked, &seen("kaa")), Stage::GiveUpSwitch, "it does not follow");
}

#[test]
fn an_exchange_that_was_cut_off_is_finished_or_taken_back() {
    let lead = Lead { master: Member::Second, epoch: 1 };
    let decided = Wish { lead, ..pair() };
    let sight = Seen { lead, ..seen("kxx") };
    assert_eq!(plan(&decided, &sight), Stage::Halt(Member::First));
    let halted = Wish { halt: Halt::Done, ..decided };
    assert_eq!(plan(&halted, &sight), Stage::Demote(Member::First));
    let back = lead.passed_to(Member::First);
    let refused = Wish { halt: Halt::Refused, ..decided };
    let expected = [Stage::TakeOver(back), Stage::Declare(back), Stage::Link, Stage::Login];
    assert_eq!(walk_through(refused, sight), expected);
    let gone = Seen { lead, ..seen("kx.") };
    assert_eq!(plan(&decided, &gone), Stage::Elect, "the next one ended");
}

#[test]
fn a_switch_is_over_when_its_master_serves_or_another_is_decided() {
    let lead = Lead { master: Member::Second, epoch: 1 };
    let decided = Wish { lead, switch: Some(Member::Second), ..pair() };
    for (sight, stage) in [
        ("kaa", Stage::EndSwitch),
        ("k.a", Stage::EndSwitch),
        ("k.x", Stage::Promote(Member::Second)),
        ("k.s", SECOND),
        ("kl.", Stage::Elect),
    ] {
        assert_eq!(plan(&decided, &Seen { lead, ..seen(sight) }), stage, "{sight}");
    }
    let back = Stage::TakeOver(lead.passed_to(Member::First));
    assert_eq!(back.fulfilled(decided).switch, None);
    let stopped = Wish { intent: Intent::Stop, ..decided };
    assert_eq!(plan(&stopped, &Seen { lead, ..seen("kla") }), Stage::GiveUpSwitch);
}

#[test]
fn an_address_that_is_anothers_is_not_kept() {
    assert_eq!(plan(&pair(), &seen("kax")), Stage::Fence(Member::Second));
    assert_eq!(plan(&pair(), &seen("kx.")), Stage::Promote(Member::First));
    assert_eq!(plan(&pair(), &seen("kxl")), Stage::Promote(Member::First));
}
