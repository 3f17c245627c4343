//! Faults of the machine: a disk that is full or can't be written, strangers on addresses, clocks
//! and processors that are no help. What they touch is reported and heals by itself; the rest does
//! not notice.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use redis::Commands;
use rustix::process::{Pid, Signal, kill_process};

use crate::backup_faults::run;
use crate::common::{Ourkv, PASSWORD};
use crate::own_namespace::with_own_mounts;
use crate::rebuild::until_kept;
use crate::tenant::{engines, id, login};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");

/// Takes all the room that is left.
fn fill_up(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 10, 1] {
        let block = vec![7; size];
        while file.write_all(&block).is_ok() {}
    }
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// The engines of an instance, by their directories.
fn engines_of(server: &Ourkv, instance: &str) -> Vec<u32> {
    let all = engines(&server.dir).into_iter();
    all.filter(|(dir, _)| dir.contains(&format!("/{instance}."))).map(|(_, pid)| pid).collect()
}

#[test]
fn on_a_full_disk_reads_go_on_and_with_room_everything_does() {
    with_own_mounts(
        "host_faults::on_a_full_disk_reads_go_on_and_with_room_everything_does",
        || {
            let mut server = Ourkv::prepare(&[], &[]);
            fs::create_dir_all(&server.dir).unwrap();
            let data = server.dir.to_str().unwrap().to_owned();
            run("mount", &["-t", "tmpfs", "-o", "size=48m,mode=700", "tmpfs", &data]);
            server.serve();
            let [single, pair] = [STANDALONE, PAIR].map(|class| server.normal(&[class]));
            for created in [&single, &pair] {
                until_kept(&server, id(created));
                let () = login(created).set("kept", "yes").unwrap();
            }
            let pids = engines(&server.dir);
            fill_up(&server.dir.join("filler"));
            assert!(server.log().contains("nearly full"), "said before it was");

            let wanted = [
                ("RegionId", "cn-hongkong"),
                STANDALONE,
                ("Password", PASSWORD),
                ("Token", "full"),
            ];
            let reply = server.client().call("CreateInstance", &wanted);
            let created = (reply.status == 200).then(|| reply.json());
            match &created {
                // It is wanted, and told why it is not there.
                Some(created) => server.until("the reason is told", |server| {
                    let attributes = server.attributes(id(created));
                    attributes["InstanceStatus"] == "Normal" || attributes["StatusReason"] != ""
                }),
                None => assert!(reply.status >= 500, "{reply:?}"),
            }
            for created in [&single, &pair] {
                assert_eq!(login(created).get::<_, String>("kept").unwrap(), "yes");
            }
            let doctor = String::from_utf8(server.try_cli(&["doctor"]).stdout).unwrap();
            assert!(doctor.contains("make room"), "{doctor}");
            assert!(server.runs());

            fs::remove_file(server.dir.join("filler")).unwrap();
            let third = server.client().call("CreateInstance", &wanted).expect_ok();
            for instance in [&single, &pair, &third] {
                server.wait_for(id(instance), "Normal");
                server.until("it can be written", |_| {
                    login(instance).set::<_, _, ()>("later", "yes").is_ok()
                });
            }
            let now = engines(&server.dir);
            assert!(pids.iter().all(|(dir, pid)| now.get(dir) == Some(pid)), "{pids:?} {now:?}");
            if let Some(created) = created {
                assert_eq!(id(&created), id(&third), "one token, one instance");
            }
        },
    );
}

#[test]
fn a_directory_that_cannot_be_written_is_the_trouble_of_one_instance() {
    with_own_mounts(
        "host_faults::a_directory_that_cannot_be_written_is_the_trouble_of_one_instance",
        || {
            let server = Ourkv::start();
            let [ill, well] = [STANDALONE, PAIR].map(|class| server.normal(&[class]));
            until_kept(&server, id(&ill));
            let dirs = server.engine_dirs();
            let dir = dirs.iter().find(|dir| dir.display().to_string().contains(id(&ill))).unwrap();
            let dir = dir.to_str().unwrap();
            run("mount", &["--bind", dir, dir]);
            run("mount", &["-o", "remount,bind,ro", dir]);
            let others = engines_of(&server, id(&well));
            kill(engines_of(&server, id(&ill))[0]);
            server.wait_for(id(&ill), "Unavailable");
            server.until("the reason is told", |server| {
                let why = server.attributes(id(&ill))["StatusReason"].to_string();
                why.contains("Read-only") || why.contains("read-only")
            });
            assert_eq!(engines_of(&server, id(&well)), others);
            server.wait_for(id(&well), "Normal");
            server.normal(&[STANDALONE]);
            run("mount", &["-o", "remount,bind,rw", dir]);
            server.wait_for(id(&ill), "Normal");
            login(&ill);
        },
    );
}

#[test]
fn a_stranger_on_the_address_of_a_stopped_instance_is_left_alone() {
    let mut server = Ourkv::start();
    let [single, pair] = [STANDALONE, PAIR].map(|class| server.normal(&[class]));
    server.kill();
    server.cli(&["down"]);
    let strangers = [&single, &pair].map(|created| {
        let address = format!("{}:{}", created["PrivateIpAddr"].as_str().unwrap(), created["Port"]);
        let stranger = std::net::TcpListener::bind(address).unwrap();
        stranger.set_nonblocking(true).unwrap();
        stranger
    });
    server.serve();
    for created in [&single, &pair] {
        server.until("the conflict is reported", |server| {
            let attributes = server.attributes(id(created));
            attributes["InstanceStatus"] != "Normal"
                && attributes["StatusReason"].as_str().is_some_and(|why| why.contains("in use"))
        });
    }
    for stranger in &strangers {
        while let Ok((mut stream, _)) = stranger.accept() {
            stream.set_nonblocking(false).unwrap();
            let mut said = Vec::new();
            std::io::Read::read_to_end(&mut stream, &mut said).unwrap();
            assert!(said.is_empty(), "nothing is said to a stranger");
        }
    }
    drop(strangers);
    for created in [&single, &pair] {
        server.wait_for(id(created), "Normal");
        login(created);
    }
}

/// How long the processors are kept busy.
const BUSY: Duration = Duration::from_secs(7);

#[test]
fn processors_that_are_busy_make_no_failover() {
    let server = Ourkv::start();
    let created = server.normal(&[PAIR]);
    let pids = engines(&server.dir);
    let busy = 8 * std::thread::available_parallelism().unwrap().get();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..busy {
            scope.spawn(|| {
                while began.elapsed() < BUSY {
                    std::hint::spin_loop();
                }
            });
        }
        let mut tenant = login(&created);
        let mut written = 0;
        while began.elapsed() < BUSY {
            let () = tenant.set("written", written).unwrap();
            written += 1;
        }
        assert_eq!(tenant.get::<_, i32>("written").unwrap(), written - 1);
    });
    server.wait_for(id(&created), "Normal");
    assert_eq!(engines(&server.dir), pids);
    let events = server.cli(&["events", id(&created), "--output", "json"]);
    assert!(!events.contains("FailedOver") && !events.contains("Fenced"), "{events}");
}

/// Cuts a file at a place, as an end of the machine in the middle of a write could.
fn cut(path: &Path, whole: &[u8], at: usize) {
    fs::write(path, &whole[..at]).unwrap();
    fs::write(format!("{}.new", path.display()), &whole[..at / 2]).unwrap();
}

#[test]
fn whatever_small_file_is_torn_the_next_start_is_right() {
    let mut server = Ourkv::start();
    let cache = [("InstanceType", "Memcache"), ("InstanceClass", "memcache.master.small.default")];
    let created = [server.normal(&[PAIR]), server.normal(&cache)];
    for one in &created {
        until_kept(&server, id(one));
    }
    let pids = engines_of(&server, id(&created[0]));
    let files: Vec<_> = server.engine_dirs().into_iter().flat_map(small_files).collect();
    assert!(files.len() > 5, "{files:?}");
    let whole: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let longest = whole.iter().map(Vec::len).max().unwrap();
    let restart_on_torn = |server: &mut Ourkv, at: usize| {
        for (file, whole) in files.iter().zip(&whole) {
            cut(file, whole, at % (whole.len() + 1));
        }
        server.serve();
        server.wait_for(id(&created[0]), "Normal");
        server.wait_for(id(&created[1]), "Normal");
        login(&created[0]);
        assert!(crate::tenant::log_in_with(&created[0], "wrong").is_err(), "cut at {at}");
    };
    // Every file at every one of its first bytes, and then in wider steps; all files at once.
    for at in (0..40).chain((40..longest).step_by(331)) {
        server.kill();
        restart_on_torn(&mut server, at);
        assert!(Ourkv::redis(&created[0]).unwrap().get::<_, String>("key").is_err(), "cut at {at}");
        // A memcached may end by itself over a torn login database, and is started again.
        assert_eq!(engines_of(&server, id(&created[0])), pids, "cut at {at}: {}", server.log());
        until_kept(&server, id(&created[0]));
    }
    // And with engines that have to be started again on what is there.
    for at in [0, 1, 7, 40, 200] {
        server.kill();
        server.kill_engines();
        for file in files.iter().filter(|file| file.ends_with("sasldb")) {
            // The tool that writes logins was cut off, too.
            fs::write(file.with_file_name("__db.sasldb.new"), [0; 40]).unwrap();
        }
        restart_on_torn(&mut server, at);
    }
}

/// What ourkv itself writes for an instance, but for logs.
pub(crate) fn small_files(dir: std::path::PathBuf) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_str().unwrap().to_owned();
        if entry.file_type().unwrap().is_dir() {
            files.extend(small_files(path));
        } else if entry.file_type().unwrap().is_file()
            && [".json", "sasldb"].iter().any(|ending| name.ends_with(ending))
        {
            files.push(path);
        }
    }
    files
}
