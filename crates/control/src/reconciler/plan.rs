//! What to do next about one instance, decided from what should be and what is.
//!
//! Pure. It yields one stage at a time; a stage that was done is reflected in what is seen, by
//! the promise of the substrate's methods ([`Stage::promised`]), and the next one follows from
//! that. It knows no history: the same intent and the same sight always give the same stage.

use ourkv_domain::instance::Intent;

use crate::substrate::{Health, Member, Seen, Stop};

/// One stage of the way. The effects within a stage do not depend on each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// Make the place for its data.
    Prepare,
    /// Start this engine, or wait for it to answer.
    Start(Member),
    /// Wait until the second engine follows the first.
    Link,
    /// Log in as the tenant would. The last stage of an instance that should run.
    Login,
    /// Stop these engines.
    Stop(Vec<Member>, Stop),
    /// Nothing runs any more, as intended. The last stage of an instance that should stop.
    Rest,
    /// Remove what is kept of it.
    Remove,
    /// Nothing is left of it but what is remembered. The last stage of one to be deleted.
    Forget,
}

/// The next stage for an instance that consists of `members`.
pub(super) fn plan(intent: Intent, members: &[Member], seen: &Seen) -> Stage {
    match intent {
        Intent::Run => run(members, seen),
        Intent::Stop => stop(seen, Stop::Keep).unwrap_or(Stage::Rest),
        Intent::Delete => stop(seen, Stop::Discard).unwrap_or(if seen.prepared {
            Stage::Remove
        } else {
            Stage::Forget
        }),
    }
}

impl Stage {
    /// What will be seen once this stage succeeded after `seen`.
    pub(super) fn promised(&self, mut seen: Seen) -> Seen {
        match self {
            Self::Prepare => seen.prepared = true,
            Self::Start(member) => {
                seen.running.insert(*member, Health::Answering);
            }
            Self::Link => {
                seen.running.insert(Member::Second, Health::Linked);
            }
            Self::Stop(members, _) => seen.running.retain(|member, _| !members.contains(member)),
            Self::Remove => seen.prepared = false,
            Self::Login | Self::Rest | Self::Forget => {}
        }
        seen
    }
}

/// Whether the engine that holds the instance's address answers.
pub(super) fn serves(seen: &Seen) -> bool {
    matches!(seen.running.get(&Member::First), Some(Health::Answering | Health::Linked))
}

fn run(members: &[Member], seen: &Seen) -> Stage {
    if !seen.prepared {
        return Stage::Prepare;
    }
    // One after the other: the second has nothing to follow before the first answers, and older
    // engines would only try again a second later.
    let is_silent = |member| matches!(seen.running.get(member), None | Some(Health::Starting));
    if let Some(silent) = members.iter().find(|member| is_silent(member)) {
        return Stage::Start(*silent);
    }
    let pair = members.contains(&Member::Second);
    if pair && seen.running.get(&Member::Second) != Some(&Health::Linked) {
        return Stage::Link;
    }
    Stage::Login
}

/// Stops whatever runs, also what the instance's shape does not ask for.
fn stop(seen: &Seen, how: Stop) -> Option<Stage> {
    (!seen.running.is_empty()).then(|| Stage::Stop(seen.running.keys().copied().collect(), how))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use strum::VariantArray;

    use super::*;

    const SINGLE: &[Member] = &[Member::First];
    const PAIR: &[Member] = &[Member::First, Member::Second];

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
    fn runs_what_is_missing(#[case] members: &[Member], #[case] sight: &str, #[case] stage: Stage) {
        assert_eq!(plan(Intent::Run, members, &seen(sight)), stage);
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
            assert_eq!(plan(Intent::Stop, members, &seen), stage(Stop::Keep, Stage::Rest));
            assert_eq!(plan(Intent::Delete, members, &seen), stage(Stop::Discard, left));
        }
    }

    #[test]
    fn every_way_ends_from_everywhere() {
        let letters = ['.', 's', 'a', 'l'];
        for intent in Intent::VARIANTS {
            for (members, kept) in [(SINGLE, '-'), (SINGLE, 'k'), (PAIR, '-'), (PAIR, 'k')] {
                for (first, second) in letters.iter().flat_map(|a| letters.map(|b| (*a, b))) {
                    let mut sight = seen(&format!("{kept}{first}{second}"));
                    let mut stages = 0;
                    loop {
                        let stage = plan(*intent, members, &sight);
                        if matches!(stage, Stage::Login | Stage::Rest | Stage::Forget) {
                            break;
                        }
                        stages += 1;
                        assert!(stages <= 4, "{intent} {members:?} does not end: {stage:?}");
                        sight = stage.promised(sight);
                    }
                }
            }
        }
    }

    #[test]
    fn only_the_first_member_serves() {
        for (sight, expected) in [("ka", true), ("ks", false), ("k.l", false), ("kal", true)] {
            assert_eq!(serves(&seen(sight)), expected, "{sight}");
        }
    }
}
