//! Which backups have been kept for long enough.

use jiff::Timestamp;

use super::{Backup, BackupId};

/// Those of one instance's backups that may be removed at `now`.
///
/// Of a live instance the latest good one stays however old it is, and so does the latest that is
/// proven where the latest is not proven yet: there is always something to go back to.
pub fn expired(backups: &[Backup], live: bool, now: Timestamp) -> Vec<BackupId> {
    let kept = if live { [latest(backups, false), latest(backups, true)] } else { [None, None] };
    let over = |backup: &&Backup| backup.expires().is_some_and(|expires| expires <= now);
    let ids = backups.iter().filter(over).map(|backup| backup.id);
    ids.filter(|id| !kept.contains(&Some(*id))).collect()
}

/// The good backup that ended last.
fn latest(backups: &[Backup], proven: bool) -> Option<BackupId> {
    let good = backups.iter().filter(|backup| !proven || backup.verified_at.is_some());
    let ended = good.filter_map(|backup| Some((backup.state.taken()?.ended, backup.id)));
    ended.max().map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::backup::BackupState;
    use crate::backup::tests::{at, failed, good};

    const DAY: i64 = 86_400;

    fn numbers(ids: &[BackupId]) -> Vec<i64> {
        ids.iter().map(|id| id.get() - 100_000_000).collect()
    }

    #[rstest]
    #[case::before(7 * DAY - 1, &[])]
    #[case::at_the_end(7 * DAY, &[1])]
    #[case::of_both(8 * DAY, &[1])]
    fn the_latest_good_one_of_a_live_instance_stays(#[case] now: i64, #[case] gone: &[i64]) {
        let backups = [good(1, 0), good(2, DAY)];
        assert_eq!(numbers(&expired(&backups, true, at(now))), gone);
    }

    #[test]
    fn nothing_of_a_dead_instance_stays_past_its_end() {
        let backups = [good(1, 0), good(2, DAY)];
        assert_eq!(numbers(&expired(&backups, false, at(7 * DAY))), [1]);
        assert_eq!(numbers(&expired(&backups, false, at(8 * DAY))), [1, 2]);
    }

    #[test]
    fn a_failed_one_is_no_good_one() {
        let backups = [good(1, 0), failed(2, DAY)];
        assert_eq!(numbers(&expired(&backups, true, at(99 * DAY))), [2]);
    }

    #[test]
    fn a_proven_one_stays_until_a_later_one_is_proven() {
        let mut backups = [good(1, 0), good(2, DAY), good(3, 2 * DAY)];
        backups[1].verified_at = Some(at(DAY));
        assert_eq!(numbers(&expired(&backups, true, at(99 * DAY))), [1]);
        backups[2].verified_at = Some(at(2 * DAY));
        assert_eq!(numbers(&expired(&backups, true, at(99 * DAY))), [1, 2]);
    }

    #[test]
    fn what_is_under_way_is_let_alone() {
        let states = [
            BackupState::Queued,
            BackupState::Running {
                started: at(0),
                stage: crate::backup::BackupStage::Saving,
                percent: 3,
            },
            BackupState::Removing,
        ];
        for state in states {
            let backup = Backup { state, ..good(1, 0) };
            assert_eq!(expired(&[backup], false, at(999 * DAY)), []);
        }
    }

    proptest! {
        #[test]
        fn a_live_instance_with_a_good_backup_always_keeps_one(
            ends in prop::collection::vec((0..400_i64, any::<bool>(), any::<bool>()), 1..20),
            now in 0..2000_i64,
        ) {
            let backups: Vec<_> = ends.iter().zip(1..).map(|((day, works, proven), number)| {
                let ended = day * DAY;
                let backup = if *works { good(number, ended) } else { failed(number, ended) };
                Backup { verified_at: proven.then(|| at(ended)), ..backup }
            }).collect();
            let gone = expired(&backups, true, at(now * DAY));
            let good = || backups.iter().filter(|backup| backup.state.taken().is_some());
            let latest = good().map(|backup| backup.state.taken().unwrap().ended).max();
            let kept = good().filter(|backup| !gone.contains(&backup.id));
            let kept = kept.map(|backup| backup.state.taken().unwrap().ended).max();
            prop_assert_eq!(kept, latest);
            for backup in backups.iter().filter(|backup| gone.contains(&backup.id)) {
                prop_assert!(backup.expires().unwrap() <= at(now * DAY));
            }
            let kept_for = SignedDuration::from_hours(7 * 24);
            prop_assert_eq!(backups[0].expires(), Some(at(ends[0].0 * DAY) + kept_for));
        }
    }
}
