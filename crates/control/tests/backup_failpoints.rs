//! Every failpoint of the keeper of backups, in the modes error, panic and a process that ends.
//!
//! Failpoints belong to the whole process, so these tests have a program of their own and take
//! turns.

#![expect(clippy::unwrap_used, reason = "what can't be set up fails the test")]

#[path = "control/common.rs"]
#[expect(dead_code, reason = "shared with the other tests, which need more of it")]
mod common;
#[path = "control/keeping.rs"]
#[expect(dead_code, reason = "shared with the other tests, which need more of it")]
mod keeping;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fail::FailScenario;
use ourkv_control::backup::{Handle, failpoint_names};
use ourkv_control::substrate::fake::{Call, Fault};
use ourkv_domain::backup::{BackupId, BackupState};
use ourkv_domain::ids::InstanceId;

use crate::keeping::{DATA, Keeping, calm};

/// A backup that works, one that fails, one that is a last one, and their removal.
async fn live(keeping: &Keeping, keeper: &Handle) {
    let instance = keeping.instance().await;
    for last in [false, true] {
        let id = keeping.ask_with(&instance, |backup| backup.last = last).await;
        keeper.nudge();
        calm(keeper).await;
        ends_whole_or_failed(keeping, id).await;
        remove(keeping, keeper, id).await;
    }
    fall_ill(keeping, keeper, &instance).await;
    assert_eq!(keeping.files(), Vec::<PathBuf>::new());
}

async fn fall_ill(keeping: &Keeping, keeper: &Handle, instance: &InstanceId) {
    keeping.world.fake.inject(Call::Save, Some(instance), Fault::Fail, u32::MAX);
    let id = keeping.ask(instance).await;
    keeper.nudge();
    calm(keeper).await;
    assert!(matches!(keeping.state(id).await, BackupState::Failed { .. }));
    keeping.world.fake.heal();
    remove(keeping, keeper, id).await;
}

/// Success is data that come back as they were, and proven; failure leaves nothing behind.
async fn ends_whole_or_failed(keeping: &Keeping, id: BackupId) {
    let backup = keeping.backup(id).await.unwrap();
    match &backup.state {
        BackupState::Success(_) => {
            assert_eq!(keeping.data(id).await, DATA);
        }
        BackupState::Failed { .. } => assert_eq!(keeping.files(), Vec::<PathBuf>::new()),
        other => panic!("{other:?}"),
    }
}

async fn remove(keeping: &Keeping, keeper: &Handle, id: BackupId) {
    keeping.set_state(id, BackupState::Removing).await;
    let gone = async {
        while keeping.backup(id).await.is_some() {
            keeper.nudge();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, gone).await.expect("it stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_passes_every_failpoint() {
    let scenario = FailScenario::setup();
    let passed = Arc::new(Mutex::new(BTreeSet::new()));
    for name in failpoint_names() {
        let passed = Arc::clone(&passed);
        fail::cfg_callback(name, move || {
            passed.lock().unwrap().insert(name);
        })
        .unwrap();
    }
    let keeping = Keeping::new().await;
    let keeper = keeping.start();
    live(&keeping, &keeper).await;
    keeper.shutdown().await;
    let missed: Vec<_> = failpoint_names()
        .into_iter()
        .filter(|name| !passed.lock().unwrap().contains(name))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_step_fails_a_backup_is_whole_or_failed() {
    for mode in ["1*return(error)->off", "3*return(error)->off", "1*panic->off"] {
        let scenario = FailScenario::setup();
        let keeping = Keeping::new().await;
        let keeper = keeping.start();
        for name in failpoint_names() {
            fail::cfg(name, mode).unwrap();
            live(&keeping, &keeper).await;
            fail::remove(name);
        }
        keeper.shutdown().await;
        scenario.teardown();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_at_any_step_is_followed_by_one_that_tidies_up() {
    let scenario = FailScenario::setup();
    let keeping = Keeping::new().await;
    for name in failpoint_names() {
        let instance = keeping.instance().await;
        // A point that fails for ever stops the work there, as the end of the process would.
        fail::cfg(name, "return(error)").unwrap();
        let cut = keeping.start();
        let id = keeping.ask(&instance).await;
        cut.nudge();
        let _ = tokio::time::timeout(Duration::from_millis(40), cut.settle()).await;
        cut.shutdown().await;
        fail::remove(name);
        let next = keeping.start();
        calm(&next).await;
        ends_whole_or_failed(&keeping, id).await;
        let backup = keeping.backup(id).await.unwrap();
        assert_eq!(backup.state.taken().is_some(), backup.verified_at.is_some(), "{name}");
        remove(&keeping, &next, id).await;
        next.shutdown().await;
        assert_eq!(keeping.files(), Vec::<PathBuf>::new(), "{name}");
    }
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_backup_holds_no_other() {
    let scenario = FailScenario::setup();
    let keeping = Keeping::new().await;
    let keeper = keeping.start();
    for name in ["backup_begin.before", "backup_save.after", "backup_succeed.before"] {
        fail::cfg(name, "1*pause->off").unwrap();
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(keeping.ask(&keeping.instance().await).await);
        }
        keeper.nudge();
        let all_but_one = async {
            loop {
                let mut taken = 0;
                for id in &ids {
                    taken += usize::from(keeping.state(*id).await.taken().is_some());
                }
                if taken == ids.len() - 1 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(common::PATIENCE, all_but_one).await.expect("others wait");
        fail::remove(name);
        calm(&keeper).await;
        for id in ids {
            assert!(keeping.state(id).await.taken().is_some(), "{name}");
        }
    }
    keeper.shutdown().await;
    scenario.teardown();
}
