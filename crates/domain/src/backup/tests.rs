use rstest::rstest;

use super::*;

/// Seconds after an arbitrary beginning.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_600_000_000 + seconds).unwrap()
}

/// A good backup that ended then and is kept for seven days.
pub(super) fn good(number: i64, ended: i64) -> Backup {
    Backup { state: BackupState::Success(taken(ended)), ..queued(number) }
}

/// The same, but it failed.
pub(super) fn failed(number: i64, ended: i64) -> Backup {
    let (ended, reason) = (at(ended), "no space".into());
    Backup { state: BackupState::Failed { started: None, ended, reason }, ..queued(number) }
}

fn queued(number: i64) -> Backup {
    Backup {
        id: BackupId::new(100_000_000 + number).unwrap(),
        job: BackupJobId::new(200_000_000 + number).unwrap(),
        instance: "r-bp1".parse().unwrap(),
        account: "1000000000000001".parse().unwrap(),
        region: "cn-hongkong".parse().unwrap(),
        node: "node-a".parse().unwrap(),
        instance_type: InstanceType::Redis,
        node_type: NodeType::MasterSlave,
        version: EngineVersion::V5_0,
        class: "redis.master.small.default".into(),
        capacity_mb: 1024,
        mode: BackupMode::Automated,
        last: false,
        retention_days: 7,
        requested_at: at(-100),
        state: BackupState::Queued,
        verified_at: None,
        trial_note: None,
    }
}

fn taken(ended: i64) -> Taken {
    Taken {
        started: at(ended - 10),
        ended: at(ended),
        bytes: 1,
        keys: 1,
        expiring: 0,
        digest: "0".repeat(64),
        expires: Backup::expiry(at(ended), 7),
        engine: EngineStamp { kind: EngineKind::Redis, version: (7, 0, 15) },
    }
}

/// Queued, Running, Success, Failed, Removing.
fn states() -> [BackupState; 5] {
    [
        BackupState::Queued,
        BackupState::Running { started: at(0), stage: BackupStage::Saving, percent: 0 },
        good(1, 0).state,
        failed(1, 0).state,
        BackupState::Removing,
    ]
}

#[rstest]
#[case::queued(0, &[1, 3])]
#[case::running(1, &[0, 1, 2, 3])]
#[case::success(2, &[3, 4])]
#[case::failed(3, &[4])]
#[case::removing(4, &[])]
fn a_state_follows_only_those_that_lead_to_it(#[case] from: usize, #[case] to: &[usize]) {
    for (place, next) in states().iter().enumerate() {
        assert_eq!(states()[from].may_become(next), to.contains(&place), "{from} {place}");
    }
}

#[test]
fn only_what_is_queued_or_runs_is_unfinished() {
    assert_eq!(states().map(|state| state.is_finished()), [false, false, true, true, true]);
}

#[test]
fn has_its_place_in_time_by_its_start() {
    let places = states().map(|state| Backup { state, ..queued(1) }.listed_at());
    assert_eq!(places, [at(-100), at(0), at(-10), at(0), at(-100)]);
}

#[test]
fn retention_counts_from_the_end() {
    let week = SignedDuration::from_hours(7 * 24);
    assert_eq!(good(1, 50).expires(), Some(at(50) + week));
    assert_eq!(failed(1, 50).expires(), Some(at(50) + week));
    assert_eq!(queued(1).expires(), None);
    assert_eq!(Backup::expiry(Timestamp::MAX, 730), Timestamp::MAX);
}

#[test]
fn is_stored_under_its_instance() {
    assert_eq!(queued(7).object(), "r-bp1/100000007.rdb.sealed");
}
