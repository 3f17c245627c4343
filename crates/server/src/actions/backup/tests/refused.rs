//! What is refused whoever asks: malformed parameters, the wrong engine, another's instances.

use super::*;

#[tokio::test]
async fn malformed_parameters_are_named() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    for (action, more, code) in [
        (
            "CreateBackup",
            &[("BackupRetentionPeriod", "6")][..],
            "InvalidBackupRetentionPeriod.Malformed",
        ),
        (
            "CreateBackup",
            &[("BackupRetentionPeriod", "731")],
            "InvalidBackupRetentionPeriod.Malformed",
        ),
        ("DescribeBackups", &[], "MissingParameter"),
        ("DescribeBackups", &[("StartTime", "2019-11-20T00:00:00Z")], "InvalidStartTime.Malformed"),
        ("DescribeBackups", &[WINDOW[0], ("EndTime", "soon")], "InvalidEndTime.Malformed"),
        (
            "DescribeBackups",
            &[WINDOW[0], ("EndTime", "2019-11-20T00:00Z")],
            "InvalidEndTime.Malformed",
        ),
        (
            "DescribeBackups",
            &[WINDOW[0], WINDOW[1], ("PageSize", "31")],
            "InvalidPageSize.Malformed",
        ),
        (
            "DescribeBackups",
            &[WINDOW[0], WINDOW[1], ("PageNumber", "0")],
            "InvalidPageNumber.Malformed",
        ),
        (
            "DescribeBackups",
            &[WINDOW[0], WINDOW[1], ("BackupId", "-1")],
            "InvalidBackupId.Malformed",
        ),
        ("DescribeBackupTasks", &[("BackupJobId", "x")], "InvalidBackupJobId.Malformed"),
        ("DescribeBackupTasks", &[("JobMode", "manual")], "InvalidJobMode.Malformed"),
        ("DeleteBackup", &[], "MissingParameter"),
        ("DeleteBackup", &[("BackupId", "1,2")], "InvalidBackupId.Malformed"),
        ("DeleteBackup", &[("BackupId", "1")], "InvalidBackupSetID.NotFound"),
        ("RestoreInstance", &[("RestoreType", "1")], "InvalidRestoreType.ValueNotSupported"),
        ("RestoreInstance", &[("RestoreType", "2")], "InvalidRestoreType.Malformed"),
        ("RestoreInstance", &[("FilterKey", "a*")], "UnsupportedParameter"),
        ("ModifyBackupPolicy", &[], "MissingParameter"),
    ] {
        assert_eq!(desk.of(action, &id, more).await, refused(code), "{action} {more:?}");
    }
}

#[tokio::test]
async fn a_memcached_has_no_backups() {
    let desk = Desk::open();
    let id = desk.normal(&CACHE).await;
    let plan = [("PreferredBackupTime", "01:00Z-02:00Z"), ("PreferredBackupPeriod", "Monday")];
    for (action, more) in [
        ("CreateBackup", &[][..]),
        ("RestoreInstance", &[("BackupId", "100000000")]),
        ("ModifyBackupPolicy", &plan),
    ] {
        let wrong = refused("IncorrectDBInstanceType");
        assert_eq!(desk.of(action, &id, more).await, wrong, "{action}");
    }
    assert!(desk.listed(&id).await.is_empty());
    let plan = desk.of("DescribeBackupPolicy", &id, &[]).await.unwrap();
    assert_eq!(plan.get("PreferredNextBackupTime"), None);
    desk.of("DeleteInstance", &id, &[]).await.unwrap();
    let asked = desk.of("DescribeBackups", &id, &WINDOW).await;
    assert_eq!(asked, refused("InvalidInstanceId.NotFound"), "it left no backup");
}

#[tokio::test]
async fn what_is_foreign_looks_as_if_it_were_not_there() {
    let mut desk = Desk::open();
    let (id, other) = (desk.normal(&[PAIR]).await, desk.normal(&[PAIR]).await);
    let backup = desk.backed_up(&id).await;
    let not_found = refused("InvalidBackupSetID.NotFound");
    assert_eq!(clone(&desk, &other, &backup, &[PAIR]).await, not_found);
    let of = [("InstanceId", &*id), ("BackupId", &*backup), ("SrcDBInstanceId", &*id)];
    let params = [&[("RegionId", "cn-hongkong"), PAIR], &of[..], &WINDOW].concat();
    assert_eq!(desk.ask(STRANGER, "CreateInstance", &params).await, not_found);
    let plan = [("PreferredBackupTime", "01:00Z-02:00Z"), ("PreferredBackupPeriod", "Monday")];
    let params = [&params[..], &plan].concat();
    for action in [
        "CreateBackup",
        "DeleteBackup",
        "DescribeBackupPolicy",
        "DescribeBackupTasks",
        "DescribeBackups",
        "ModifyBackupPolicy",
        "RestoreInstance",
    ] {
        let missing = refused("InvalidInstanceId.NotFound");
        assert_eq!(desk.ask(STRANGER, action, &params).await, missing, "{action}");
    }

    // A control plane of another machine, which reaches the backups only where they are shared.
    desk.platform.node = NodeId::parse("node-b").unwrap();
    let node = desk.platform.node.clone();
    desk.write(move |tx| furnish_pools(tx, &node)).await;
    assert_eq!(clone(&desk, &id, &backup, &[PAIR]).await, not_found);
    assert_eq!(desk.listed(&id).await[0].get("BackupDownloadURL"), None);
    desk.platform.shelf_shared = true;
    clone(&desk, &id, &backup, &[PAIR]).await.unwrap();
    assert!(desk.listed(&id).await[0].get("BackupDownloadURL").is_some());
}
