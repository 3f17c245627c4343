//! Every way from everywhere, to its end: whatever comes of what is waited for, and each stage held
//! to its word.

use strum::VariantArray as _;

use super::*;

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
