//! The plan by which backups are taken.

use super::*;

#[tokio::test]
async fn a_new_redis_is_backed_up_daily_and_its_plan_can_be_changed() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    let plan = desk.of("DescribeBackupPolicy", &id, &[]).await.unwrap();
    assert_eq!(plan["PreferredBackupTime"], "18:00Z-19:00Z");
    let all = plan["PreferredBackupPeriod"].as_str().unwrap();
    assert_eq!(all.split(',').count(), 7);
    assert_eq!(plan["BackupRetentionPeriod"], "7");
    assert_eq!(plan["EnableBackupLog"], 0);
    let next = plan["PreferredNextBackupTime"].as_str().unwrap();
    assert!(next.starts_with("2019-11-20T18:") && next.len() == 17, "{next}");

    let change = [
        ("PreferredBackupTime", "01:00Z-02:00Z"),
        ("PreferredBackupPeriod", "Monday,Friday"),
        ("BackupRetentionPeriod", "30"),
    ];
    desk.of("ModifyBackupPolicy", &id, &change).await.unwrap();
    desk.of("ModifyBackupPolicy", &id, &change[..2]).await.unwrap();
    let plan = desk.of("DescribeBackupPolicy", &id, &[]).await.unwrap();
    assert_eq!(plan["PreferredBackupTime"], "01:00Z-02:00Z");
    assert_eq!(plan["PreferredBackupPeriod"], "Monday,Friday");
    assert_eq!(plan["BackupRetentionPeriod"], "30", "what is not named stays");
    let next = plan["PreferredNextBackupTime"].as_str().unwrap();
    assert!(next.starts_with("2019-11-22T01:"), "a Friday: {next}");
    let backup = desk.backed_up(&id).await;
    assert_eq!(desk.backup(&backup).await.retention_days, 30);
}

#[tokio::test]
async fn malformed_plans_are_refused() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    for (more, code) in [
        (("PreferredBackupTime", "18:00-19:00"), "InvalidPreferredBackupTime.Malformed"),
        (("PreferredBackupTime", "18:00Z-18:00Z"), "InvalidPreferredBackupTime.Malformed"),
        (("PreferredBackupPeriod", "Caturday"), "InvalidPreferredBackupPeriod.Malformed"),
        (("BackupRetentionPeriod", "1"), "InvalidBackupRetentionPeriod.Malformed"),
        (("EnableBackupLog", "1"), "InvalidBackupLogStatus"),
        (("EnableBackupLog", "2"), "InvalidEnableBackupLog.Malformed"),
    ] {
        let plan = [("PreferredBackupTime", "01:00Z-02:00Z"), ("PreferredBackupPeriod", "Monday")];
        let params: Vec<_> = plan.into_iter().filter(|(name, _)| *name != more.0).collect();
        let params = [&params[..], &[more]].concat();
        assert_eq!(desk.of("ModifyBackupPolicy", &id, &params).await, refused(code), "{more:?}");
    }
}
