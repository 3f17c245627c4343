//! Disks that fail while ourkv serves: file systems that turn read-only, errors of one instance's
//! disk, writes that never get to the disk. Nothing is acknowledged that is not stored, who is
//! affected is named, and the rest does not notice.

use std::fs;
use std::path::{Path, PathBuf};

use redis::Commands;
use serde_json::Value;

use crate::backup_faults::run;
use crate::common::{Ourkv, PASSWORD, Reply};
use crate::disk::{Cut, Disk, end_all_below, is_of};
use crate::own_namespace::with_roots_mounts;
use crate::rebuild::until_kept;
use crate::tenant::{engines, id, log_in_with, login, noise};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");

/// Served by the newest engine there is: before 7.0 none notices that its disk takes nothing.
const NEWEST: (&str, &str) = ("EngineVersion", "4.0");

/// A server whose data directory is a disk of its own, and on it an instance of each kind.
fn on_a_disk(megabytes: u64) -> (Ourkv, Disk, [Value; 2]) {
    let mut server = Ourkv::prepare(&[], &[]);
    let disk = Disk::mounted(&server.dir, megabytes);
    server.serve();
    let created = [STANDALONE, PAIR].map(|class| server.normal(&[class, NEWEST]));
    for one in &created {
        until_kept(&server, id(one));
        let () = login(one).set("kept", "yes").unwrap();
    }
    force(&server.dir);
    (server, disk, created)
}

/// Takes the file system off, which ends everything on it, mounts it again, and goes on serving.
fn mount_again(server: &mut Ourkv, disk: &Disk, created: [&Value; 2]) {
    server.kill();
    end_all_below(&server.dir);
    disk.replace();
    server.serve();
    for one in created {
        server.wait_for(id(one), "Normal");
    }
}

/// What engines were told gets to the disk within two seconds, or at once.
fn force(dir: &Path) {
    run("sync", &["--file-system", dir.to_str().unwrap()]);
}

fn rename(server: &Ourkv, instance: &str, name: &str) -> Reply {
    let params = [("InstanceId", instance), ("InstanceName", name), ("RegionId", "cn-hongkong")];
    server.client().call("ModifyInstanceAttribute", &params)
}

fn doctor(server: &Ourkv) -> String {
    String::from_utf8(server.try_cli(&["doctor"]).stdout).unwrap()
}

/// Waits until an engine with data on the disk refuses writes, and this is said.
fn until_writes_are_refused(server: &Ourkv, created: &Value) {
    let value = noise(20_000);
    server.until("writes are refused", |_| {
        let refused = login(created).set::<_, _, ()>("more", &value[..]);
        refused.is_err_and(|error| error.to_string().contains("MISCONF"))
    });
    assert_eq!(login(created).get::<_, String>("kept").unwrap(), "yes", "reads go on");
    server.until("an engine is named", |server| {
        let log = server.log();
        let mut lines = log.lines().filter(|line| line.contains("the disk fails an engine"));
        lines.any(|line| line.contains(id(created)))
    });
}

#[test]
fn a_file_system_that_turned_read_only_takes_no_acknowledged_change_with_it() {
    let name =
        "disk_faults::a_file_system_that_turned_read_only_takes_no_acknowledged_change_with_it";
    with_roots_mounts(name, || {
        let (mut server, disk, [single, pair]) = on_a_disk(96);
        rename(&server, id(&pair), "before").expect_ok();
        disk.turn_read_only();
        for _ in 0..3 {
            let reply = rename(&server, id(&pair), "after");
            assert!(reply.status >= 500, "{reply:?}");
            let wanted = [("RegionId", "cn-hongkong"), STANDALONE, ("Password", PASSWORD)];
            let reply = server.client().call("CreateInstance", &wanted);
            assert!(reply.status >= 500, "{reply:?}");
        }
        until_writes_are_refused(&server, &pair);
        let () = login(&single).set("more", "yes").unwrap();
        server.until("it is said", |server| server.log().contains("can't be written"));
        let found = doctor(&server);
        assert!(found.contains("Read-only file system"), "{found}");
        assert!(server.runs());

        mount_again(&mut server, &disk, [&single, &pair]);
        assert_eq!(login(&pair).get::<_, String>("kept").unwrap(), "yes");
        assert_eq!(server.attributes(id(&pair))["InstanceName"], "before");
        let listed = server.client().call("DescribeInstances", &[]).expect_ok();
        assert_eq!(listed["TotalCount"], 2, "{listed}");
        rename(&server, id(&pair), "after").expect_ok();
        let () = login(&pair).set("more", "yes").unwrap();
        server.normal(&[PAIR]);
    });
}

#[test]
fn what_can_not_be_forced_to_the_disk_is_not_acknowledged() {
    let name = "disk_faults::what_can_not_be_forced_to_the_disk_is_not_acknowledged";
    with_roots_mounts(name, || {
        let (mut server, disk, [single, pair]) = on_a_disk(96);
        let masters = |server: &Ourkv| {
            let mut all = engines(&server.dir);
            all.retain(|home, _| home.ends_with("/0"));
            all
        };
        let pids = masters(&server);
        rename(&server, id(&pair), "before").expect_ok();
        disk.take_nothing_more();
        let mut acknowledged = vec!["before".to_owned()];
        for number in 0.. {
            let name = format!("name-{number}-{}", "x".repeat(100));
            if rename(&server, id(&pair), &name).status >= 500 {
                break;
            }
            acknowledged.push(name);
            assert!(number < 10_000, "the disk takes everything");
        }
        assert!(server.log().contains("the database is not available"), "it is said");
        until_writes_are_refused(&server, &pair);

        disk.take_everything();
        server.until("it can be written", |_| login(&pair).set::<_, _, ()>("later", "yes").is_ok());
        server.until("its data are written anew", |server| {
            server.log().contains("wrote its data anew")
        });
        // A replica ends by itself when it can't write.
        assert_eq!(masters(&server), pids, "nobody who serves was restarted");
        until_rewritten(&server, &pair);
        // The store can't know what the disk has any more, and says what to do.
        let reply = rename(&server, id(&pair), "after");
        assert!(reply.status >= 500, "{reply:?}");
        assert!(server.log().contains("take the file system off"), "{}", server.log());

        mount_again(&mut server, &disk, [&single, &pair]);
        // What the system believed to be on the disk while it was not is not relied on.
        // (The last one that was acknowledged may share a block with the first one that failed, and
        // ext4 then may lose it.)
        let name = server.attributes(id(&pair))["InstanceName"].as_str().unwrap().to_owned();
        let last = acknowledged.iter().rev().take(2).any(|one| *one == name);
        assert!(last, "{name}: {acknowledged:?}");
        for key in ["later", "kept"] {
            assert_eq!(login(&pair).get::<_, String>(key).unwrap(), "yes");
        }
        rename(&server, id(&pair), "after").expect_ok();
    });
}

/// Waits until the engine at the address has written its file anew, and forced it to the disk.
fn until_rewritten(server: &Ourkv, created: &Value) {
    server.until("the file is whole", |_| {
        let info: String =
            redis::cmd("INFO").arg("persistence").query(&mut login(created)).unwrap();
        let is = |field: &str| info.lines().any(|line| line.trim() == field);
        is("aof_rewrite_in_progress:0")
            && is("aof_rewrite_scheduled:0")
            && is("aof_last_bgrewrite_status:ok")
            && is("aof_last_write_status:ok")
    });
}

/// Moves the directory of an instance to a disk of its own. Without that disk, nobody writes there.
fn move_to_own_disk(server: &mut Ourkv, created: &Value) -> (Disk, PathBuf) {
    server.kill();
    server.cli(&["down"]);
    let dir = server.engine_dirs().into_iter().find(|dir| is_of(dir, created)).unwrap();
    let at = dir.to_str().unwrap();
    let aside = server.dir.with_file_name("aside");
    let aside = aside.to_str().unwrap();
    run("cp", &["-a", at, aside]);
    run("mount", &["--bind", at, at]);
    run("mount", &["-o", "remount,bind,ro", at]);
    let disk = Disk::mounted(&dir, 64);
    run("cp", &["-a", &format!("{aside}/."), at]);
    server.serve();
    server.wait_for(id(created), "Normal");
    (disk, dir)
}

#[test]
fn errors_of_one_instances_disk_are_its_own() {
    with_roots_mounts("disk_faults::errors_of_one_instances_disk_are_its_own", || {
        let mut server = Ourkv::start();
        let [ill, well, single] = [PAIR, PAIR, STANDALONE].map(|class| server.normal(&[class]));
        for one in [&ill, &well, &single] {
            until_kept(&server, id(one));
        }
        let (disk, dir) = move_to_own_disk(&mut server, &ill);
        for one in [&well, &single] {
            server.wait_for(id(one), "Normal");
        }
        let () = login(&ill).set("kept", "yes").unwrap();
        force(&dir);
        let others = |server: &Ourkv| {
            let mut all = engines(&server.dir);
            all.retain(|home, _| !is_of(Path::new(home), &ill));
            all
        };
        let pids = others(&server);
        disk.cut(Cut::AtOnce);
        let refused = |server: &Ourkv| server.log().contains("the disk fails an engine");
        server.until("it is said", |server| {
            let _ = log_in_with(&ill, PASSWORD).and_then(|mut it| it.set::<_, _, ()>("more", 1));
            refused(server) || server.attributes(id(&ill))["InstanceStatus"] == "Unavailable"
        });
        let found = doctor(&server);
        let line = found.lines().find(|line| line.contains("Input/output error"));
        assert!(line.is_some_and(|line| line.contains(id(&ill))), "{found}");

        // Whoever takes the disk off ends what works on it.
        end_all_below(&dir);
        server.until("the reason is told", |server| {
            let attributes = server.attributes(id(&ill));
            attributes["InstanceStatus"] == "Unavailable"
                && attributes["StatusReason"].to_string().contains("nput/output error")
        });
        for one in [&well, &single] {
            let () = login(one).set("meanwhile", "yes").unwrap();
            assert_eq!(server.attributes(id(one))["InstanceStatus"], "Normal");
        }
        server.normal(&[STANDALONE]);
        let now = others(&server);
        assert!(pids.iter().all(|(home, pid)| now.get(home) == Some(pid)), "{pids:?} {now:?}");

        disk.replace();
        server.wait_for(id(&ill), "Normal");
        assert_eq!(login(&ill).get::<_, String>("kept").unwrap(), "yes");
        let () = login(&ill).set("more", "yes").unwrap();
        assert!(fs::read_dir(&dir).unwrap().count() > 1);
    });
}
