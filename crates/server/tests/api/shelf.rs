//! Backups as callers ask for them, and where they lie.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ourkv_domain::backup::{Backup, BackupId, BackupState, Taken};
use ourkv_domain::mint::Mint;
use ourkv_store::{Location, Sealer, Store, StoreError, Tx};
use serde_json::Value;

use crate::common::{Client, Ourkv, Reply};

/// Long before and long after any backup.
pub(crate) const EVER: [(&str, &str); 3] =
    [("StartTime", "2010-01-01T00:00Z"), ("EndTime", "2050-01-01T00:00Z"), ("PageSize", "100")];

/// What a download was.
pub(crate) struct Downloaded {
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    pub(crate) bytes: Vec<u8>,
}

impl Ourkv {
    /// Asks for a backup; the id of its job.
    #[track_caller]
    pub(crate) fn ask_for_backup(&self, instance: &str) -> String {
        let answer = self.client().call("CreateBackup", &[("InstanceId", instance)]).expect_ok();
        answer["BackupJobID"].as_str().unwrap().to_owned()
    }

    /// Takes a backup and waits for it; it must succeed.
    #[track_caller]
    pub(crate) fn back_up(&self, instance: &str) -> Value {
        let job = self.ask_for_backup(instance);
        let backup = self.finished(instance, &job);
        assert_eq!(backup["BackupStatus"], "Success", "{backup}\n{}", self.log());
        backup
    }

    /// The backup of a job once it is listed: it succeeded or failed.
    #[track_caller]
    pub(crate) fn finished(&self, instance: &str, job: &str) -> Value {
        let mut found = None;
        self.until(&format!("backup job {job} of {instance} ends"), |server| {
            found = server.backup_of(instance, job);
            found.is_some()
        });
        found.unwrap()
    }

    pub(crate) fn backup_of(&self, instance: &str, job: &str) -> Option<Value> {
        let job: i64 = job.parse().unwrap();
        self.backups(instance).into_iter().find(|backup| backup["BackupJobID"] == job)
    }

    /// The backups of an instance that ended.
    #[track_caller]
    pub(crate) fn backups(&self, instance: &str) -> Vec<Value> {
        let answer = Self::describe_backups(&self.client(), instance).expect_ok();
        answer["Backups"]["Backup"].as_array().unwrap().clone()
    }

    pub(crate) fn describe_backups(client: &Client, instance: &str) -> Reply {
        client.call("DescribeBackups", &[&[("InstanceId", instance)], &EVER[..]].concat())
    }

    /// Whether no backup of an instance is asked for or under way.
    pub(crate) fn is_idle(&self, instance: &str) -> bool {
        let ended = |task: &Value| task["BackupProgressStatus"] == "Finished";
        self.backup_tasks(instance).iter().all(ended)
    }

    pub(crate) fn backup_tasks(&self, instance: &str) -> Vec<Value> {
        let reply = self.client().call("DescribeBackupTasks", &[("InstanceId", instance)]);
        reply.expect_ok()["BackupJobs"].as_array().unwrap().clone()
    }

    /// Asks for the data of a backup in the place of that of its instance.
    pub(crate) fn ask_to_restore(&self, instance: &str, backup: &str) -> Reply {
        let params = [("InstanceId", instance), ("BackupId", backup)];
        self.client().call("RestoreInstance", &params)
    }

    /// Replaces the data of an instance and waits until that has ended.
    #[track_caller]
    pub(crate) fn restore(&self, instance: &str, backup: &str) {
        self.ask_to_restore(instance, backup).expect_ok();
        self.wait_for(instance, "Normal");
    }

    /// What an operator is told of backups.
    pub(crate) fn operators_backups(&self) -> Vec<Value> {
        serde_json::from_str(&self.cli(&["backup", "ls", "--output", "json"])).unwrap()
    }

    /// What was decided about an instance, the latest last.
    pub(crate) fn events(&self, instance: &str) -> Vec<Value> {
        let told = self.cli(&["events", instance, "--output", "json"]);
        serde_json::from_str(&told).unwrap()
    }

    /// What an operator is told of one backup, once it was proven.
    pub(crate) fn proven(&self, backup: &str) -> Value {
        let mut row = None;
        self.until(&format!("{backup} is proven"), |server| {
            row = server.operators_backups().into_iter().find(|row| text(&row["id"]) == backup);
            row.as_ref().is_some_and(|row| row["verified"].is_string())
        });
        row.unwrap()
    }

    /// Every file below the folder of backups.
    pub(crate) fn objects(&self) -> BTreeSet<PathBuf> {
        files_below(&self.dir.join("backups"))
    }

    /// The file of a backup.
    pub(crate) fn object(&self, instance: &str, backup: &str) -> PathBuf {
        self.dir.join("backups").join(instance).join(format!("{backup}.rdb.sealed"))
    }

    /// What should not be there once nothing is under way: files of engines that only a save or a
    /// restore makes, trials, and objects that no usable backup has.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let engines = files_below(&self.dir.join("engines"));
        let mut left: Vec<_> = engines.into_iter().filter(|file| is_leftover(file)).collect();
        left.extend(files_below(&self.dir.join("trials")));
        let rows = self.operators_backups();
        let usable = rows.iter().filter(|row| row["status"] == "Success");
        let usable: BTreeSet<_> = usable
            .map(|row| self.object(row["instance"].as_str().unwrap(), &text(&row["id"])))
            .collect();
        left.extend(self.objects().symmetric_difference(&usable).cloned());
        left
    }

    /// Waits until nothing is left of what was under way.
    #[track_caller]
    pub(crate) fn until_tidy(&self, what: &str) {
        let mut left = Vec::new();
        let began = std::time::Instant::now();
        while began.elapsed() < crate::common::PATIENCE {
            left = self.leftovers();
            if left.is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("{what}: left over: {left:?}\n{}", self.log());
    }

    /// Changes what is remembered of a backup, in ways that nothing but the passing of time or a
    /// defect does.
    pub(crate) fn rewrite(
        &self,
        backup: &str,
        change: impl Fn(&mut Backup) + Send + Sync + 'static,
    ) {
        let id: BackupId = backup.parse().unwrap();
        let work = move |tx: &mut Tx<'_>| {
            let mut backup = tx.backup(id)?.unwrap();
            change(&mut backup);
            assert!(tx.set_backup_state(id, &BackupState::Removing)? && tx.forget_backup(id)?);
            tx.insert_backup(&backup)
        };
        self.store().write_blocking::<_, StoreError>(work).unwrap();
    }

    /// Changes what is remembered of the data of a backup.
    pub(crate) fn rewrite_taken(
        &self,
        backup: &str,
        change: impl Fn(&mut Taken) + Send + Sync + 'static,
    ) {
        self.rewrite(backup, move |backup| match &mut backup.state {
            BackupState::Success(taken) => change(taken),
            other => panic!("{other:?}"),
        });
    }

    /// The store of the server, opened by its own key.
    pub(crate) fn store(&self) -> Store {
        Store::open(&Location::Sqlite(self.dir.join("ourkv.db")), self.sealer()).unwrap()
    }

    /// Seals with the key of the server.
    pub(crate) fn sealer(&self) -> Sealer {
        let key = std::fs::read(self.dir.join("secret.key")).unwrap();
        Sealer::new(key[..32].try_into().unwrap(), Arc::new(Mint::from_seed([5; 32])))
    }
}

/// Files that an engine or a restore leaves when it is cut off. A pair also makes a dump to send to
/// its replica, and loads none.
fn is_leftover(file: &Path) -> bool {
    let name = file.file_name().unwrap().to_string_lossy();
    let pair = file.ancestors().any(|directory| directory.join("1").is_dir());
    let saved = name.starts_with("temp-") || name == "dump.rdb" && !pair;
    saved || file.components().any(|part| part.as_os_str() == "next")
}

fn files_below(directory: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    // What is removed meanwhile is not there.
    let Ok(entries) = std::fs::read_dir(directory) else { return files };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.insert(path);
        }
    }
    files
}

/// A number or a word, as it is written.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The id of a backup.
pub(crate) fn backup_id(backup: &Value) -> String {
    text(&backup["BackupId"])
}

/// What lies behind a link.
pub(crate) fn download(url: &str) -> Downloaded {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(crate::common::PATIENCE))
        .build();
    let mut answer = ureq::Agent::from(config).get(url).call().unwrap();
    let length = answer.headers().get("content-length");
    let length = length.map(|length| length.to_str().unwrap().parse().unwrap());
    let bytes = answer.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
    Downloaded { status: answer.status().as_u16(), length, bytes }
}

/// The only one there is.
#[track_caller]
pub(crate) fn one(mut all: Vec<Value>) -> Value {
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}
