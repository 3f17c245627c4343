//! What is taken, and what is listed of it.

use super::*;

#[tokio::test]
async fn a_backup_is_taken_and_listed() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    let job = desk.of("CreateBackup", &id, &[("BackupRetentionPeriod", "30")]).await.unwrap();
    let job = job["BackupJobID"].as_str().unwrap().to_owned();
    assert!(desk.listed(&id).await.is_empty(), "what is not finished is no backup yet");
    let backup = desk.finish(&id).await;
    let listed = desk.of("DescribeBackups", &id, &WINDOW).await.unwrap();
    for key in ["PageNumber", "TotalCount"] {
        assert_eq!(listed[key], 1, "{key}");
    }
    assert_eq!(listed["PageSize"], 30);
    assert_eq!(listed["FullStorageSize"], 1000);
    let mut entry = listed["Backups"]["Backup"][0].clone();
    let fields = entry.as_object_mut().unwrap();
    for key in ["BackupDownloadURL", "BackupIntranetDownloadURL"] {
        let link = fields.remove(key).unwrap();
        let begins = format!("http://127.0.0.1:1/backups/{backup}?Expires=1574240400&Signature=");
        assert!(link.as_str().unwrap().starts_with(&begins), "{link}");
    }
    assert_eq!(
        entry,
        json!({
            "BackupId": backup.parse::<i64>().unwrap(),
            "BackupJobID": job.parse::<i64>().unwrap(),
            "BackupDBNames": "all",
            "BackupStartTime": NOW,
            "BackupEndTime": NOW,
            "BackupMethod": "Physical",
            "BackupMode": "Manual",
            "BackupType": "FullBackup",
            "BackupStatus": "Success",
            "BackupSize": 1000,
            "EngineVersion": "2.8",
            "NodeInstanceId": id,
            "ExpectExpireTime": "2019-12-20T08:00:00Z",
        })
    );
}

#[tokio::test]
async fn a_failed_backup_is_listed_with_its_reason_and_can_not_be_used() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    desk.of("CreateBackup", &id, &[]).await.unwrap();
    let (instance, ended) = (InstanceId::parse(&id).unwrap(), desk.clock.now());
    let failing = desk.write(move |tx| {
        let backup = tx.unfinished_backup(&instance)?.unwrap();
        let reason = "no space left on device".into();
        let failed = BackupState::Failed { started: None, ended, reason };
        assert!(tx.set_backup_state(backup.id, &failed)?);
        Ok(backup.id.to_string())
    });
    let backup = failing.await;
    let listed = desk.listed(&id).await;
    assert_eq!(listed[0]["BackupStatus"], "Failed");
    assert_eq!(listed[0]["FailureReason"], "no space left on device");
    assert_eq!(listed[0]["BackupSize"], 0);
    assert_eq!(listed[0]["ExpectExpireTime"], "2019-11-27T08:00:00Z");
    assert_eq!(listed[0].get("BackupDownloadURL"), None);
    let wrong = refused("IncorrectBackupSetState");
    let this = [("BackupId", &*backup)];
    assert_eq!(desk.of("RestoreInstance", &id, &this).await, wrong);
    assert_eq!(clone(&desk, &id, &backup, &[PAIR]).await, wrong);
    desk.of("DeleteBackup", &id, &this).await.unwrap();
    assert!(desk.listed(&id).await.is_empty());
}

#[tokio::test]
async fn lists_are_of_the_window_and_of_what_is_asked_for() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    let first = desk.backed_up(&id).await;
    desk.clock.advance(SignedDuration::from_hours(10));
    let second = desk.backed_up(&id).await;
    let ids = |answer: Answer| {
        let listed = answer.unwrap()["Backups"]["Backup"].as_array().unwrap().clone();
        listed.iter().map(|entry| entry["BackupId"].to_string()).collect::<Vec<_>>()
    };
    let ask = |more: &[(&'static str, &'static str)]| {
        let params = [&WINDOW[..], more].concat();
        let (desk, id) = (&desk, &id);
        async move { ids(desk.of("DescribeBackups", id, &params).await) }
    };
    assert_eq!(ask(&[]).await, [second.clone(), first.clone()]);
    assert_eq!(ask(&[("StartTime", "2019-11-20T12:00Z")]).await, [second]);
    assert_eq!(ask(&[("EndTime", "2019-11-20T12:00Z")]).await, std::slice::from_ref(&first));
    assert!(ask(&[("PageNumber", "2")]).await.is_empty());
    assert!(ask(&[("BackupId", "1")]).await.is_empty());
    assert!(ask(&[("BackupJobId", "12345678901234567890")]).await.is_empty());
    let one = [&WINDOW[..], &[("BackupId", &*first)]].concat();
    assert_eq!(ids(desk.of("DescribeBackups", &id, &one).await), [first]);
}

#[tokio::test]
async fn one_at_a_time_and_a_few_a_day() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    desk.of("CreateBackup", &id, &[]).await.unwrap();
    assert_eq!(desk.of("CreateBackup", &id, &[]).await, refused("BackupJobExists"));
    desk.finish(&id).await;
    desk.backed_up(&id).await;
    // What is deleted and forgotten was asked for all the same.
    let deleted = desk.backed_up(&id).await;
    desk.of("DeleteBackup", &id, &[("BackupId", &deleted)]).await.unwrap();
    assert!(desk.write(move |tx| tx.forget_backup(deleted.parse().unwrap())).await);
    assert_eq!(desk.of("CreateBackup", &id, &[]).await, refused("BackupTimesExceeded"));
    desk.clock.advance(SignedDuration::from_hours(25));
    desk.backed_up(&id).await;
}

#[tokio::test]
async fn a_task_is_shown_until_it_is_done_and_afterwards_by_its_number() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    let job = desk.of("CreateBackup", &id, &[]).await.unwrap()["BackupJobID"].clone();
    let job = job.as_str().unwrap();
    let shown = |more: &[(&str, &str)]| {
        let params: Vec<_> = more.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (desk, id) = (&desk, &id);
        async move {
            let params: Vec<_> = params.iter().map(|(n, v)| (&**n, &**v)).collect();
            let answer = desk.of("DescribeBackupTasks", id, &params).await.unwrap();
            assert_eq!(answer["InstanceId"], **id);
            answer["BackupJobs"].as_array().unwrap().clone()
        }
    };
    let expected = json!([{
        "BackupJobID": job.parse::<i64>().unwrap(),
        "BackupProgressStatus": "NoStart",
        "JobMode": "Manual",
        "NodeId": id,
        "Process": "0",
        "Progress": "0%",
        "StartTime": NOW,
        "TaskAction": "TempBackupTask",
    }]);
    assert_eq!(json!(shown(&[]).await), expected);
    assert!(shown(&[("JobMode", "Automated")]).await.is_empty());
    let instance = InstanceId::parse(&id).unwrap();
    let started = desk.clock.now();
    for (stage, percent, status) in [
        (BackupStage::Saving, 40, "Preparing"),
        (BackupStage::Storing, 99, "Uploading"),
        (BackupStage::Storing, 100, "Checking"),
    ] {
        let instance = instance.clone();
        let stepping = desk.write(move |tx| {
            let backup = tx.unfinished_backup(&instance)?.unwrap();
            tx.set_backup_state(backup.id, &running(started, stage, percent))
        });
        assert!(stepping.await);
        let job = &shown(&[]).await[0];
        assert_eq!(job["BackupProgressStatus"], status);
        assert_eq!(job["Progress"], format!("{percent}%"));
    }
    desk.finish(&id).await;
    assert!(shown(&[]).await.is_empty());
    assert_eq!(shown(&[("BackupJobId", job)]).await[0]["BackupProgressStatus"], "Finished");
    assert!(shown(&[("BackupJobId", "100000000")]).await.is_empty());
}

#[tokio::test]
async fn backups_are_taken_only_of_what_is_running() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    desk.seen(&id, Phase::Unavailable { reason: "it ended".into() }).await;
    assert_eq!(desk.of("CreateBackup", &id, &[]).await, refused("IncorrectDBInstanceState"));
    let plan = desk.of("DescribeBackupPolicy", &id, &[]).await;
    assert!(plan.is_ok(), "a plan is told in every state");
}
