use rstest::rstest;
use strum::VariantArray;

use super::*;
use crate::reconciler::elect::Choice;

const SINGLE: &[Member] = &[Member::First];
const PAIR: &[Member] = &[Member::First, Member::Second];

/// The serial of the data that are wanted, where some are.
const SERIAL: i64 = 2;

/// `-` nothing, `k` kept; then one letter per member: `.` absent, `s`tarting, `a`nswering,
/// `l`inked, `x` astray.
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
                'x' => Health::Astray,
                _ => return None,
            };
            Some((*member, health))
        })
        .collect();
    Seen { prepared, running, ..Seen::default() }
}

fn wish(intent: Intent, members: &'static [Member]) -> Wish {
    Wish {
        intent,
        members,
        durable: members.len() > 1,
        restore: None,
        last_backup: false,
        lead: Lead::default(),
        live: false,
        switch: None,
        hung: None,
        choice: None,
        halt: Halt::NotYet,
        password: None,
    }
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
fn only_the_master_serves_and_only_at_its_post() {
    for (sight, expected) in
        [("ka", true), ("ks", false), ("kx", false), ("k.l", false), ("kal", true)]
    {
        assert_eq!(serves(Lead::default(), &seen(sight)), expected, "{sight}");
    }
    let second = Lead::default().passed_to(Member::Second);
    assert!(serves(second, &seen("kla")));
    let found = Seen { lead: second, ..seen("k.a") };
    assert!(serves(Lead::default(), &found), "the later decision holds");
}

/// A pair that answered before.
fn pair() -> Wish {
    Wish { live: true, ..wish(Intent::Run, PAIR) }
}

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

#[test]
fn what_hangs_is_ended_first() {
    let hung = Wish { hung: Some(Member::First), ..pair() };
    assert_eq!(plan(&hung, &seen("ksl")), Stage::Fence(Member::First));
    assert_eq!(plan(&hung, &seen("k.l")), Stage::Elect);
    assert_eq!(plan(&hung, &seen("kal")), Stage::Login, "it answers");
    let after = FIRST.promised(&hung, seen("k.l"));
    assert_eq!(plan(&hung, &after), Stage::Login, "another one was started since");
    let single = Wish { hung: Some(Member::First), ..wish(Intent::Run, SINGLE) };
    assert_eq!(
        walk_through(single, seen("ks")),
        [Stage::Fence(Member::First), FIRST, Stage::Login]
    );
}

#[test]
fn both_memories_come_to_know_the_later_decision() {
    let lead = Lead { master: Member::Second, epoch: 7 };
    let found = Seen { lead, ..seen("kla") };
    assert_eq!(walk_through(pair(), found), [Stage::Acknowledge(lead), Stage::Login]);
    let told = Wish { lead, ..pair() };
    assert_eq!(walk_through(told, seen("kla")), [Stage::Declare(lead), Stage::Login]);
}

/// The stages from here to the end, where nothing is decided on the way.
fn walk_through(mut wish: Wish, mut seen: Seen) -> Vec<Stage> {
    let mut stages = Vec::new();
    loop {
        let stage = plan(&wish, &seen);
        stages.push(stage.clone());
        assert!(stages.len() < 20, "{stages:?}");
        if stage == Stage::Login {
            return stages;
        }
        (wish, seen) = (stage.fulfilled(wish), stage.promised(&wish, seen));
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
                for (live, switch, hung) in [
                    (true, None, None),
                    (true, Some(Member::Second), None),
                    (true, Some(Member::First), None),
                    (true, None, Some(Member::First)),
                    (true, None, Some(Member::Second)),
                ] {
                    let later = Lead { master: Member::Second, epoch: 1 };
                    wishes.push(Wish { live, switch, hung, ..wish });
                    if members.len() > 1 {
                        wishes.push(Wish { live, switch, hung, lead: later, ..wish });
                    }
                }
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
    let letters = ['.', 's', 'a', 'l', 'x'];
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
            let sight = Seen { dataset, staged, untidy, ..kept.clone() };
            sights.push(sight.clone());
            if dataset == 0 && staged.is_none() {
                for epoch in [1, 2] {
                    let lead = Lead { master: Member::Second, epoch };
                    sights.push(Seen { lead, ..sight.clone() });
                }
            }
        }
    }
    sights
}

/// Follows the plan through everything that may come of what is waited for, and holds it to its
/// word at every stage.
fn walk(wish: Wish, seen: Seen, stages: u32, given_up: bool) {
    assert!(stages <= 30, "{wish:?} does not end: {seen:?}");
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
            assert!(!wish.is_pair() || wish.switch.is_none(), "{wish:?} {seen:?}");
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
            for wish in decided(wish, &stage) {
                let sight = stage.promised(&wish, seen.clone());
                walk(stage.fulfilled(wish), sight, stages + 1, given_up);
            }
        }
    }
}

/// What may come of a stage that decides something.
fn decided(wish: Wish, stage: &Stage) -> Vec<Wish> {
    match stage {
        Stage::Elect => {
            let raised = Choice::Raise(wish.lead.master.other());
            [Choice::Stay, raised].map(|choice| Wish { choice: Some(choice), ..wish }).to_vec()
        }
        Stage::Halt(_) => [Halt::Done, Halt::Refused].map(|halt| Wish { halt, ..wish }).to_vec(),
        _ => vec![wish],
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
        Stage::Settle => assert!(swapped && serves(wish.lead, seen), "settles too early: {}", at()),
        Stage::Tidy => assert!(wish.restore.is_none(), "removes what is needed: {}", at()),
        Stage::Start(_) => {
            let gone = wish.restore.is_some_and(|pending| is_lost(wish, &pending, seen));
            assert!(!gone, "starts with nothing: {}", at());
        }
        Stage::Promote(member) => {
            let other = seen.running.get(&member.other());
            assert_eq!(*member, wish.lead.master, "promotes another: {}", at());
            assert_ne!(other, Some(&Health::Astray), "two would have the address: {}", at());
            assert!(seen.lead == wish.lead, "promotes before that is written down: {}", at());
        }
        Stage::EndSwitch => {
            assert_eq!(wish.switch, Some(wish.lead.master), "nobody asked: {}", at());
            assert!(serves(wish.lead, seen), "ends too early: {}", at());
        }
        Stage::Demote(_) => assert_eq!(wish.halt, Halt::Done, "writes go on: {}", at()),
        Stage::TakeOver(lead) | Stage::Acknowledge(lead) => {
            assert!(lead.epoch > wish.lead.epoch, "{}", at());
        }
        Stage::Elect => assert!(wish.choice.is_none(), "elects twice: {}", at()),
        Stage::Remove | Stage::Forget => {
            assert!(wish.intent == Intent::Delete && seen.running.is_empty(), "{}", at());
        }
        _ => {}
    }
}

#[rstest]
#[case(SINGLE, "k", FIRST)]
#[case(SINGLE, "ks", FIRST)]
#[case(SINGLE, "ka", Stage::Password(Passing::Admit))]
#[case::before_the_replica_is_started_with_the_wanted_one(
    PAIR,
    "ka.",
    Stage::Password(Passing::Admit)
)]
#[case::one_that_starts_may_have_the_former_one(PAIR, "kas", SECOND)]
#[case::before_the_link_that_may_need_it(PAIR, "kaa", Stage::Password(Passing::Admit))]
#[case(PAIR, "kal", Stage::Password(Passing::Admit))]
#[case::the_address_goes_first(PAIR, "kxl", Stage::Promote(Member::First))]
fn a_password_is_replaced_where_a_master_serves(
    #[case] members: &'static [Member],
    #[case] sight: &str,
    #[case] stage: Stage,
) {
    let wish = Wish { password: Some(Passing::Admit), live: true, ..wish(Intent::Run, members) };
    assert_eq!(plan(&wish, &seen(sight)), stage);
}

#[test]
fn former_passwords_go_once_the_wanted_one_is_proven_and_remembered() {
    let mut wish = Wish { password: Some(Passing::Admit), ..wish(Intent::Run, PAIR) };
    let mut stages = Vec::new();
    while stages.last() != Some(&Stage::Login) {
        let stage = plan(&wish, &seen("kal"));
        wish = stage.fulfilled(wish);
        stages.push(stage);
    }
    let passings =
        [Passing::Admit, Passing::NoteAdmitted, Passing::Dismiss, Passing::NoteDismissed];
    let expected = passings.map(Stage::Password).into_iter().chain([Stage::Login]);
    assert_eq!(stages, expected.collect::<Vec<_>>());
}

#[test]
fn what_should_stop_or_go_gets_no_password() {
    for intent in [Intent::Stop, Intent::Delete] {
        let wish = Wish { password: Some(Passing::Admit), ..wish(intent, PAIR) };
        assert!(matches!(plan(&wish, &seen("kal")), Stage::Stop(..)));
    }
}
