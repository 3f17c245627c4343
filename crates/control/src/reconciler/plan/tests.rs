use rstest::rstest;

use super::*;
use crate::reconciler::elect::Choice;
use crate::reconciler::password::Passing;
use crate::reconciler::wish::Halt;

mod passwords;
mod restores;
mod roles;
mod walk;

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

/// A pair that answered before.
fn pair() -> Wish {
    Wish { live: true, ..wish(Intent::Run, PAIR) }
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
