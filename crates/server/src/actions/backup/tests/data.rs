//! Data that come from a backup: of the same instance, and of another one.

use super::*;

#[tokio::test]
async fn a_restore_is_begun_once_and_from_a_backup_of_the_same_instance() {
    let desk = Desk::open();
    let (id, other) = (desk.normal(&[PAIR]).await, desk.normal(&[PAIR]).await);
    let backup = desk.backed_up(&id).await;
    let this = [("BackupId", &*backup)];
    let not_found = refused("InvalidBackupSetID.NotFound");
    assert_eq!(desk.of("RestoreInstance", &other, &this).await, not_found);
    assert_eq!(desk.of("RestoreInstance", &id, &[("BackupId", "100000000")]).await, not_found);
    desk.of("CreateBackup", &id, &[]).await.unwrap();
    assert_eq!(desk.of("RestoreInstance", &id, &this).await, refused("BackupJobExists"));
    desk.finish(&id).await;

    desk.of("RestoreInstance", &id, &[this[0], ("RestoreType", "0")]).await.unwrap();
    let shown = desk.of("DescribeInstanceAttribute", &id, &[]).await.unwrap();
    let status = &shown["Instances"]["DBInstanceAttribute"][0]["InstanceStatus"];
    assert_eq!(status, "BackupRecovering");
    let restore = desk.instance(&id).await.restore.unwrap();
    assert_eq!((restore.serial, restore.backup.to_string()), (1, backup.clone()));
    let busy = refused("IncorrectDBInstanceState");
    for (action, more) in
        [("RestoreInstance", &this[..]), ("CreateBackup", &[]), ("DeleteInstance", &[])]
    {
        assert_eq!(desk.of(action, &id, more).await, busy, "{action}");
    }
    let kept = desk.of("DeleteBackup", &id, &this).await;
    assert_eq!(kept, refused("IncorrectBackupSetState"), "it is being read");

    let instance = InstanceId::parse(&id).unwrap();
    assert!(desk.write(move |tx| tx.end_restore(&instance, 1, true)).await);
    desk.of("DeleteBackup", &id, &this).await.unwrap();
    assert_eq!(desk.of("DeleteBackup", &id, &this).await, not_found);
    assert_eq!(desk.of("RestoreInstance", &id, &this).await, not_found);
}

#[tokio::test]
async fn a_clone_begins_with_the_backup_and_takes_nothing_else_along() {
    let desk = Desk::open();
    let id = desk.normal(&[PAIR, ("Password", "Passw0rd!@#")]).await;
    let backup = desk.backed_up(&id).await;
    let created = clone(&desk, &id, &backup, &[PAIR]).await.unwrap();
    assert_eq!(created["InstanceStatus"], "Creating");
    let copy = desk.instance(created["InstanceId"].as_str().unwrap()).await;
    assert_eq!(copy.dataset, 0);
    let restore = copy.restore.clone().unwrap();
    assert_eq!((restore.serial, restore.backup.to_string()), (1, backup.clone()));
    let secrets = desk.write(move |tx| Ok(tx.secrets(&copy.id)?.unwrap()));
    assert_eq!(secrets.await.password, None);
    let kept = desk.of("DeleteBackup", &id, &[("BackupId", &backup)]).await;
    assert_eq!(kept, refused("IncorrectBackupSetState"), "the clone has not read it yet");
}

#[tokio::test]
async fn a_clone_is_as_large_and_as_new_and_of_the_same_kind() {
    let desk = Desk::open();
    let mid = ("InstanceClass", "redis.master.mid.default");
    let id = desk.normal(&[mid, ("EngineVersion", "4.0")]).await;
    let backup = desk.backed_up(&id).await;
    let four = ("EngineVersion", "4.0");
    let mismatch = refused("InstanceClass.NotMatch");
    assert_eq!(clone(&desk, &id, &backup, &[PAIR, four]).await, mismatch);
    assert_eq!(clone(&desk, &id, &backup, &CACHE).await, mismatch);
    let older = refused("InvalidEngineVersion.Malformed");
    assert_eq!(clone(&desk, &id, &backup, &[mid]).await, older, "the default is 2.8");
    clone(&desk, &id, &backup, &[mid, four]).await.unwrap();
    clone(&desk, &id, &backup, &[mid, ("EngineVersion", "5.0")]).await.unwrap();
    let larger = ("InstanceClass", "redis.basic.large.default");
    clone(&desk, &id, &backup, &[larger, four]).await.unwrap();
}
