use ourkv_domain::backup::{
    Backup, BackupId, BackupJobId, BackupMode, BackupStage, BackupState, EngineKind, EngineStamp,
    Taken,
};
use ourkv_store::{BackupFilter, Page, StoreError};

use crate::database::Database;
use crate::on_both;
use crate::sample::{at, id, instance, lay_ground, node, secrets};

on_both!(
    keeps_every_field_in_every_state,
    refuses_a_number_twice,
    finds_numbers_that_are_free,
    a_state_follows_only_those_that_lead_to_it,
    an_owner_sees_what_is_finished,
    an_owner_sees_a_page,
    an_owner_finds_one,
    one_that_is_unfinished_is_found,
    the_machine_takes_last_ones_first,
    the_machine_finds_what_it_has_to_do,
    a_proof_is_for_good_ones,
    what_is_not_removed_is_not_forgotten,
    knows_whose_retention_ends,
    outlives_its_instance,
);

pub(crate) fn backup_id(number: i64) -> BackupId {
    BackupId::new(100_000_000 + number).unwrap()
}

fn job_id(number: i64) -> BackupJobId {
    BackupJobId::new(200_000_000 + number).unwrap()
}

/// Requested at that many seconds.
pub(crate) fn queued(number: i64) -> Backup {
    let (id, job) = (backup_id(number), job_id(number));
    Backup::queued(id, job, &instance("r-a"), BackupMode::Automated, 7, at(number))
}

fn running(started: i64) -> BackupState {
    BackupState::Running { started: at(started), stage: BackupStage::Storing, percent: 99 }
}

fn success(started: i64) -> BackupState {
    BackupState::Success(Taken {
        started: at(started),
        ended: at(started + 5),
        bytes: 1 << 40,
        keys: 1_000_000,
        expiring: 7,
        digest: "ab".repeat(32),
        expires: Backup::expiry(at(started + 5), 7),
        engine: EngineStamp { kind: EngineKind::Valkey, version: (8, 1, 3) },
    })
}

fn failed(started: Option<i64>, ended: i64) -> BackupState {
    let reason = "the disk is full: 磁盘已满".into();
    BackupState::Failed { started: started.map(at), ended: at(ended), reason }
}

fn states() -> [BackupState; 6] {
    [
        BackupState::Queued,
        running(10),
        success(20),
        failed(None, 30),
        failed(Some(35), 40),
        BackupState::Removing,
    ]
}

fn in_state(number: i64, state: BackupState) -> Backup {
    Backup { state, ..queued(number) }
}

fn of(name: &str, backup: Backup) -> Backup {
    Backup { instance: id(name), ..backup }
}

fn insert(database: &Database, backups: Vec<Backup>) {
    database.write(move |tx| {
        lay_ground(tx)?;
        backups.iter().try_for_each(|backup| tx.insert_backup(backup))
    });
}

fn load(database: &Database, number: i64) -> Backup {
    database.read(move |tx| tx.backup(backup_id(number))).unwrap()
}

fn set(database: &Database, number: i64, state: &BackupState) -> bool {
    let state = state.clone();
    database.write(move |tx| tx.set_backup_state(backup_id(number), &state))
}

fn numbers(backups: &[Backup]) -> Vec<i64> {
    backups.iter().map(|backup| backup.id.get() - 100_000_000).collect()
}

fn list(database: &Database, filter: BackupFilter) -> Vec<i64> {
    let page = Page { number: 1, size: 30 };
    let (found, many) = database.read(move |tx| tx.backups(&id("r-a"), &filter, page));
    assert_eq!(usize::try_from(many), Ok(found.len()));
    numbers(&found)
}

fn keeps_every_field_in_every_state(database: &Database) {
    let whole = Backup {
        mode: BackupMode::Manual,
        last: true,
        retention_days: 730,
        verified_at: Some(at(60)),
        trial_note: Some("no engine that is new enough".into()),
        ..queued(0)
    };
    let backups: Vec<_> = states()
        .into_iter()
        .zip(0..)
        .map(|(state, number)| Backup {
            id: backup_id(number),
            job: job_id(number),
            state,
            ..whole.clone()
        })
        .collect();
    insert(database, backups.clone());
    for (backup, number) in backups.into_iter().zip(0..) {
        assert_eq!(load(database, number), backup);
        let locked = database.write(move |tx| tx.lock_backup(backup_id(number)));
        assert_eq!(locked, Some(backup));
    }
    assert_eq!(database.read(|tx| tx.backup(backup_id(99))), None);
    assert_eq!(database.write(|tx| tx.lock_backup(backup_id(99))), None);
}

fn refuses_a_number_twice(database: &Database) {
    insert(database, vec![queued(1)]);
    for twin in [Backup { job: job_id(2), ..queued(1) }, Backup { id: backup_id(2), ..queued(1) }] {
        let twice = database.store.write_blocking(move |tx| tx.insert_backup(&twin));
        assert!(matches!(twice, Err(StoreError::Constraint { .. })), "{twice:?}");
    }
}

fn finds_numbers_that_are_free(database: &Database) {
    insert(database, vec![queued(1), queued(2)]);
    let found = database.read(|tx| {
        let ids = [1, 2, 3, 4].map(backup_id);
        let jobs = [1, 2, 3, 4].map(job_id);
        Ok((tx.free_backup_id(&ids)?, tx.free_backup_job(&jobs)?))
    });
    assert_eq!(found, (Some(backup_id(3)), Some(job_id(3))));
    let none = database
        .read(|tx| Ok((tx.free_backup_id(&[backup_id(1)])?, tx.free_backup_job(&[job_id(2)])?)));
    assert_eq!(none, (None, None));
}

fn a_state_follows_only_those_that_lead_to_it(database: &Database) {
    let pairs = states().into_iter().flat_map(|from| states().map(|to| (from.clone(), to)));
    let pairs: Vec<_> = pairs.collect();
    let backups = pairs.iter().zip(0..).map(|((from, _), at)| in_state(at, from.clone()));
    insert(database, backups.collect());
    for ((from, to), number) in pairs.into_iter().zip(0..) {
        let follows = from.may_become(&to);
        assert_eq!(set(database, number, &to), follows, "{from:?} {to:?}");
        let expected = in_state(number, if follows { to } else { from });
        assert_eq!(load(database, number), expected);
    }
    assert!(!set(database, 999, &running(1)));
}

fn an_owner_sees_what_is_finished(database: &Database) {
    let backups = states().into_iter().zip(0..).map(|(state, at)| in_state(at, state));
    let foreign = of("r-b", in_state(7, success(20)));
    insert(database, backups.chain([foreign]).collect());
    assert_eq!(list(database, BackupFilter::default()), [4, 3, 2]);
    let all = database.read(|tx| tx.all_backups(None));
    assert_eq!(numbers(&all), [4, 3, 2, 7, 1, 5, 0]);
    let all = database.read(|tx| tx.all_backups(Some(&id("r-a"))));
    assert_eq!(numbers(&all), [4, 3, 2, 1, 5, 0]);
}

fn an_owner_sees_a_page(database: &Database) {
    insert(database, (1..=5).map(|number| in_state(number, success(number))).collect());
    for (number, expected) in [(1, &[5, 4][..]), (2, &[3, 2]), (3, &[1]), (4, &[])] {
        let page = Page { number, size: 2 };
        let filter = BackupFilter { from: Some(at(0)), ..BackupFilter::default() };
        let (found, many) = database.read(move |tx| tx.backups(&id("r-a"), &filter, page));
        assert_eq!((numbers(&found).as_slice(), many), (expected, 5));
    }
}

fn an_owner_finds_one(database: &Database) {
    insert(database, (1..=5).map(|number| in_state(number, success(number))).collect());
    let all = BackupFilter::default;
    let (from, to) = (Some(at(2)), Some(at(4)));
    assert_eq!(list(database, BackupFilter { from, ..all() }), [5, 4, 3, 2]);
    assert_eq!(list(database, BackupFilter { to, ..all() }), [4, 3, 2, 1]);
    assert_eq!(list(database, BackupFilter { from, to, ..all() }), [4, 3, 2]);
    let by_id = BackupFilter { id: Some(backup_id(3)), from, to, job: Some(job_id(3)) };
    assert_eq!(list(database, by_id), [3]);
    assert_eq!(list(database, BackupFilter { id: Some(backup_id(3)), ..all() }), [3]);
    assert_eq!(list(database, BackupFilter { job: Some(job_id(4)), ..all() }), [4]);
    assert_eq!(list(database, BackupFilter { id: Some(backup_id(1)), from, ..all() }), [0; 0]);
    assert_eq!(list(database, BackupFilter { from: to, to: from, ..all() }), [0; 0]);
}

fn one_that_is_unfinished_is_found(database: &Database) {
    let last = Backup { last: true, ..in_state(4, running(4)) };
    let foreign = of("r-b", queued(1));
    insert(database, vec![in_state(2, success(1)), queued(3), last.clone(), foreign]);
    let unfinished = || database.read(|tx| tx.unfinished_backup(&id("r-a")));
    let waits = |name: &'static str| database.read(move |tx| tx.final_backup_pending(&id(name)));
    assert_eq!(unfinished(), Some(queued(3)));
    assert_eq!((waits("r-a"), waits("r-b")), (true, false));
    assert!(set(database, 3, &failed(None, 5)));
    assert_eq!(unfinished(), Some(last));
    assert!(set(database, 4, &success(4)));
    assert_eq!(unfinished(), None);
    assert!(!waits("r-a"));
    let of_job =
        |name: &'static str, job| database.read(move |tx| tx.backup_of_job(&id(name), job_id(job)));
    assert_eq!(of_job("r-b", 1), Some(of("r-b", queued(1))));
    assert_eq!((of_job("r-a", 1), of_job("r-a", 9)), (None, None));
}

fn the_machine_takes_last_ones_first(database: &Database) {
    let last = Backup { last: true, ..queued(9) };
    let elsewhere = Backup { node: "node-b".parse().unwrap(), ..queued(1) };
    insert(database, vec![queued(3), queued(2), last, elsewhere, in_state(4, running(4))]);
    let next = |limit| numbers(&database.read(move |tx| tx.queued_backups(&node(), limit)));
    assert_eq!(next(9), [9, 2, 3]);
    assert_eq!(next(2), [9, 2]);
    assert_eq!(numbers(&database.read(|tx| tx.running_backups(&node()))), [4]);
}

fn the_machine_finds_what_it_has_to_do(database: &Database) {
    let noted = Backup { trial_note: Some("later".into()), ..in_state(1, success(1)) };
    let proven = Backup { verified_at: Some(at(9)), ..in_state(2, success(2)) };
    let removing = |number| in_state(number, BackupState::Removing);
    insert(
        database,
        vec![
            noted,
            proven,
            in_state(4, success(4)),
            in_state(3, success(3)),
            in_state(5, failed(None, 5)),
            removing(7),
            removing(6),
            Backup { node: "node-b".parse().unwrap(), ..removing(8) },
            Backup { node: "node-b".parse().unwrap(), ..in_state(9, success(9)) },
        ],
    );
    let unproven = |limit| numbers(&database.read(move |tx| tx.unverified_backups(&node(), limit)));
    assert_eq!(unproven(9), [3, 4, 1]);
    assert_eq!(unproven(1), [3]);
    let removed = |limit| numbers(&database.read(move |tx| tx.removing_backups(&node(), limit)));
    assert_eq!(removed(9), [6, 7]);
    assert_eq!(removed(1), [6]);
}

fn a_proof_is_for_good_ones(database: &Database) {
    insert(database, vec![in_state(1, success(1)), queued(2)]);
    let verify =
        |number| database.write(move |tx| tx.set_backup_verified(backup_id(number), at(70)));
    let note = |number, note: Option<&'static str>| {
        database.write(move |tx| tx.set_trial_note(backup_id(number), note))
    };
    let ask = |number| database.write(move |tx| tx.ask_backup_proof(backup_id(number)));
    assert!(note(1, Some("no memory")));
    assert_eq!(load(database, 1).trial_note, Some("no memory".into()));
    assert!(verify(1));
    let proven = Backup { verified_at: Some(at(70)), ..in_state(1, success(1)) };
    assert_eq!(load(database, 1), proven);
    assert!(ask(1));
    assert_eq!(load(database, 1), in_state(1, success(1)));
    assert!(note(1, Some("no memory")) && note(1, None));
    assert_eq!(load(database, 1).trial_note, None);
    assert_eq!((verify(2), ask(2)), (false, false));
    assert_eq!((verify(9), ask(9), note(9, None)), (false, false, false));
}

fn what_is_not_removed_is_not_forgotten(database: &Database) {
    insert(database, vec![in_state(1, success(1))]);
    let forget = || database.write(|tx| tx.forget_backup(backup_id(1)));
    assert!(!forget());
    assert!(set(database, 1, &BackupState::Removing));
    assert!(forget());
    assert!(!forget());
    assert_eq!(database.read(|tx| tx.backup(backup_id(1))), None);
}

fn knows_whose_retention_ends(database: &Database) {
    let ends = |number| Backup::expiry(at(number), 7);
    insert(
        database,
        vec![
            of("r-a", in_state(1, success(-4))),
            of("r-a", in_state(2, failed(None, 0))),
            of("r-b", in_state(3, failed(None, 5))),
            of("r-c", in_state(4, success(5))),
            of("r-d", queued(5)),
            of("r-e", in_state(6, BackupState::Removing)),
            Backup { node: "node-b".parse().unwrap(), ..of("r-f", in_state(7, success(0))) },
        ],
    );
    let found = |time, after: Option<&'static str>, limit| {
        let after = after.map(id);
        let found = database
            .read(move |tx| tx.backups_with_expiry_before(&node(), time, after.as_ref(), limit));
        found.into_iter().map(|id| id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(ends(0), None, 9), Vec::<String>::new());
    assert_eq!(found(ends(5), None, 9), ["r-a"]);
    assert_eq!(found(ends(11), None, 9), ["r-a", "r-b", "r-c"]);
    assert_eq!(found(ends(11), None, 2), ["r-a", "r-b"]);
    assert_eq!(found(ends(11), Some("r-b"), 2), ["r-c"]);
}

fn outlives_its_instance(database: &Database) {
    insert(database, vec![in_state(1, success(1))]);
    database.write(|tx| tx.insert_instance(&instance("r-a"), &secrets()));
    assert!(database.write(|tx| tx.delete_instance(&id("r-a"))));
    assert_eq!(load(database, 1), in_state(1, success(1)));
    assert_eq!(list(database, BackupFilter::default()), [1]);
}
