//! Rotation of the key file, while servers work and where it is cut off.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::common::{Client, KEY_ID, KEY_SECRET, Ourkv, PASSWORD};
use crate::shelf::{backup_id, download};
use crate::tenant::{fill, id, login};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");

impl Ourkv {
    fn key_file(&self, what: &str) -> Value {
        serde_json::from_str(&self.cli(&["key-file", what, "--output", "json"])).unwrap()
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        let bytes = std::fs::read(self.dir.join("secret.key")).unwrap();
        bytes.chunks(32).map(<[u8]>::to_vec).collect()
    }
}

/// Asks for instances with tokens, and for the same ones again, until it is told to stop; each
/// answer must be good. The ids.
fn callers(server: &Ourkv, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<String>> {
    let (address, stop) = (server.address.clone(), Arc::clone(stop));
    std::thread::spawn(move || {
        let client = Client::new(&address, KEY_ID, KEY_SECRET);
        let mut ids = Vec::new();
        while !stop.load(Ordering::Relaxed) && ids.len() < 8 {
            let token = format!("token-{}", ids.len());
            let params = [
                ("RegionId", "cn-hongkong"),
                STANDALONE,
                ("Password", PASSWORD),
                ("Token", &token),
            ];
            let created = client.call("CreateInstance", &params).expect_ok();
            let again = client.call("CreateInstance", &params).expect_ok();
            assert_eq!(created["InstanceId"], again["InstanceId"]);
            ids.push(id(&created).to_owned());
        }
        ids
    })
}

#[test]
fn the_key_is_rotated_under_load() {
    let mut server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    fill(&mut login(&created), "kept");
    let backup = server.back_up(id(&created));
    let (_, link) = backup["BackupDownloadURL"].as_str().unwrap().split_once("/backups/").unwrap();
    let follow = |server: &Ourkv| {
        let found = download(&format!("http://{}/backups/{link}", server.address));
        assert_eq!(found.status, 200, "a link of before");
        found.bytes
    };
    let data = follow(&server);
    let first = server.keys();
    assert_eq!(first.len(), 1);

    let stop = Arc::<AtomicBool>::default();
    let calls = callers(&server, &stop);
    for _ in 0..4 {
        let before = server.keys();
        let rotated = server.key_file("rotate");
        assert!(rotated["sealed_anew"].as_u64().unwrap() > 0, "{rotated}");
        assert_eq!(server.keys()[1..], before[..]);
        server.client().call("DescribeRegions", &[]).expect_ok();
    }
    stop.store(true, Ordering::Relaxed);
    let ids = calls.join().unwrap();
    assert!(!ids.is_empty());
    for id in &ids {
        server.wait_for(id, "Normal");
    }
    login(&created);
    assert_eq!(follow(&server), data);

    // Only what the backup is sealed with is kept.
    let pruned = server.key_file("prune");
    assert_eq!((&pruned["removed"], &pruned["kept"]), (&3.into(), &2.into()), "{pruned}");
    assert_eq!(server.keys()[1], first[0]);
    let listed = server.key_file("ls");
    assert_eq!((&listed[0]["backups"], &listed[1]["backups"]), (&0.into(), &1.into()), "{listed}");
    assert_eq!((&listed[0]["newest"], &listed[1]["values"]), (&true.into(), &0.into()), "{listed}");

    server.restart(&[]);
    server.wait_for(id(&created), "Normal");
    login(&created);
    assert_eq!(follow(&server), data);
    server.restore(id(&created), &backup_id(&backup));
    let later = server.back_up(id(&created));

    let of = ("InstanceId", id(&created));
    let old = backup_id(&backup);
    server.client().call("DeleteBackup", &[of, ("BackupId", &old)]).expect_ok();
    server.until_tidy("the backup is gone");
    let pruned = server.key_file("prune");
    assert_eq!((&pruned["removed"], &pruned["kept"]), (&1.into(), &1.into()), "{pruned}");
    assert!(!server.keys().contains(&first[0]));
    server.restart(&[]);
    server.wait_for(of.1, "Normal");
    server.restore(of.1, &backup_id(&later));
}

#[test]
fn a_rotation_that_is_cut_off_is_finished_and_breaks_nothing() {
    let mut server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    // The key was drawn and nothing is sealed with it.
    let mut bytes = vec![7_u8; 32];
    bytes.extend(server.keys().concat());
    std::fs::write(server.dir.join("secret.key"), &bytes).unwrap();
    server.client().call("DescribeRegions", &[]).expect_ok();
    let second = server.normal(&[STANDALONE]);
    server.restart(&[]);
    for created in [&created, &second] {
        server.wait_for(id(created), "Normal");
        login(created);
    }
    let listed = server.key_file("ls");
    assert!(listed[0]["values"].as_u64().unwrap() > 0, "what came later is sealed with it");
    assert!(listed[1]["values"].as_u64().unwrap() > 0, "{listed}");
    let finished = server.try_cli(&["key-file", "rotate"]);
    let said = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success() && said.contains("no further key is drawn"), "{said}");
    assert_eq!(server.keys().len(), 2);
    assert_eq!(server.key_file("ls")[1]["values"], 0);
    // All is sealed with the newest one; the older one may go.
    std::fs::write(server.dir.join("secret.key"), &bytes[..32]).unwrap();
    server.restart(&[]);
    server.wait_for(id(&created), "Normal");
    login(&created);
}

#[test]
fn kills_of_a_rotation_leave_keys_that_fit() {
    let seed = std::env::var("OURKV_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(42);
    println!("OURKV_TEST_SEED={seed} replays this");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    for _ in 0..12 {
        let mut rotation = Command::new(env!("CARGO_BIN_EXE_ourkv"))
            .args(["key-file", "rotate", "--data-dir"])
            .arg(&server.dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(random.random_range(Duration::ZERO..Duration::from_millis(60)));
        let _ = rotation.kill();
        rotation.wait().unwrap();
        server.client().call("DescribeRegions", &[]).expect_ok();
    }
    // Whoever was cut off left at most a file beside the key file.
    server.key_file("rotate");
    server.key_file("prune");
    assert_eq!(server.keys().len(), 1);
    server.restart(&[]);
    server.wait_for(id(&created), "Normal");
    login(&created);
}
