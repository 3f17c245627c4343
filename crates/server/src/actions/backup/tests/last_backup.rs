//! What a deleted instance leaves.

use super::*;

#[tokio::test]
async fn a_deleted_instance_leaves_a_last_backup_that_its_owner_can_use() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR]).await;
    desk.of("DeleteInstance", &id, &[]).await.unwrap();
    let tasks = desk.of("DescribeBackupTasks", &id, &[]).await.unwrap();
    assert_eq!(tasks["BackupJobs"][0]["JobMode"], "Automated");
    let backup = desk.finish(&id).await;
    assert!(desk.backup(&backup).await.last);
    let gone = InstanceId::parse(&id).unwrap();
    assert!(desk.write(move |tx| tx.delete_instance(&gone)).await);

    let listed = desk.listed(&id).await;
    assert_eq!(listed[0]["BackupId"].to_string(), backup);
    clone(&desk, &id, &backup, &[PAIR]).await.unwrap();
    let restored = desk.of("RestoreInstance", &id, &[("BackupId", &backup)]).await;
    assert_eq!(restored, refused("InvalidInstanceId.NotFound"));
}

#[tokio::test]
async fn a_last_backup_is_taken_only_where_there_are_data() {
    let mut desk = Desk::open();
    let down = || Phase::Unavailable { reason: "it ended".into() };
    let trouble = || Phase::Creating { trouble: Some("no memory".into()) };
    for (class, phase, expected) in [
        (PAIR, Phase::Normal, true),
        (SINGLE, Phase::Normal, true),
        (PAIR, down(), true),
        (SINGLE, down(), false),
        (PAIR, trouble(), false),
    ] {
        let id = desk.normal(&[class]).await;
        desk.seen(&id, phase.clone()).await;
        desk.of("DeleteInstance", &id, &[]).await.unwrap();
        assert_eq!(pending(&desk, &id).await, expected, "{class:?} {phase:?}");
    }
    let stopped = desk.normal(&[PAIR]).await;
    let instance = InstanceId::parse(&stopped).unwrap();
    desk.write(move |tx| tx.set_intent(&instance, Intent::Stop)).await;
    desk.of("DeleteInstance", &stopped, &[]).await.unwrap();
    assert!(pending(&desk, &stopped).await);

    desk.platform.final_backup = false;
    let id = desk.normal(&[PAIR]).await;
    desk.of("DeleteInstance", &id, &[]).await.unwrap();
    assert!(!pending(&desk, &id).await);
}

async fn pending(desk: &Desk, id: &str) -> bool {
    let id = InstanceId::parse(id).unwrap();
    desk.write(move |tx| tx.final_backup_pending(&id)).await
}
