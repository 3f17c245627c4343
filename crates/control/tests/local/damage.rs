//! Data that is damaged, by accident or on purpose: a trial refuses it, and leaves nothing.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use ourkv_control::engine::{Binary, Engines, Kind};
use ourkv_control::substrate::local::Local;
use ourkv_control::substrate::{ByteStream, Loaded, Specimen, Substrate, Trouble};
use ourkv_domain::instance::NodeType;

use super::ground::{
    Ground, PASSWORD, bring_up, client, each_redis, kill, processes_in, run, saved, stamp, stream,
    take_down, usual_redis,
};

/// How far two damaged bytes between header and trailer are apart.
const APART: usize = 23;
const HEADER: usize = 48;
const TRAILER: usize = 12;
const WITHIN: Duration = Duration::from_mins(1);

/// What a trial says; it says it in time.
async fn tried(local: &Local, binary: &Binary, bytes: ByteStream) -> Result<Loaded, Trouble> {
    let specimen = Specimen { engine: stamp(binary), capacity_mb: 64, bytes };
    let tried = tokio::time::timeout(WITHIN, local.prove(specimen)).await;
    tried.unwrap_or_else(|_| panic!("{binary} does not come to an end"))
}

async fn is_refused(local: &Local, binary: &Binary, data: &[u8], what: &str) {
    match tried(local, binary, stream(data)).await {
        Err(Trouble::Dataset { .. }) => {}
        other => panic!("{binary} on {what}: {other:?}"),
    }
}

fn leaves_nothing(ground: &Ground) {
    let trials = ground.data.path().join("trials");
    assert_eq!(std::fs::read_dir(&trials).unwrap().count(), 0);
    assert_eq!(processes_in(&trials.canonicalize().unwrap()), [0; 0]);
}

/// A few keys of each type, saved.
async fn sound(ground: &mut Ground, binary: &Binary) -> Vec<u8> {
    let local = ground.local(Engines::of(vec![binary.clone()]));
    let (_, version) = each_redis().await.into_iter().find(|(b, _)| b == binary).unwrap();
    let unit = ground.redis(NodeType::StandAlone, version);
    bring_up(&local, &unit).await;
    let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
    let mut commands = vec![
        "SET string value-of-some-length-that-is-no-number".to_owned(),
        "SET number 12345".into(),
        format!("SET long {}", "compressible ".repeat(50).trim_end().replace(' ', "-")),
        "RPUSH list a b c 1 2 3".into(),
        "SADD set 1 2 3".into(),
        "SADD words a b c".into(),
        "HSET hash field value".into(),
        "ZADD sorted 1.5 a 2.5 b".into(),
        "SET expiring x EX 10000".into(),
    ];
    if binary.level() >= (5, 0) {
        commands.push("XADD stream * field value".into());
    }
    for command in commands {
        run(&mut tenant, &command).await.unwrap();
    }
    let bytes = saved(&local, &unit).await;
    take_down(&local, &unit).await;
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_anywhere_is_found_by_each_version() {
    let mut ground = Ground::new(81);
    for (binary, _) in each_redis().await {
        let sound = sound(&mut ground, &binary).await;
        let local = ground.local(Engines::of(vec![binary.clone()]));
        assert!(tried(&local, &binary, stream(&sound)).await.unwrap().keys >= 9, "{binary}");
        let inner = (HEADER..sound.len() - TRAILER).step_by(APART);
        let ends = (0..HEADER).chain(sound.len() - TRAILER..sound.len());
        for at in ends.chain(inner) {
            let mut damaged = sound.clone();
            damaged[at] ^= if at % 2 == 0 { 0xff } else { 0x01 };
            is_refused(&local, &binary, &damaged, &format!("byte {at} of {}", sound.len())).await;
        }
        leaves_nothing(&ground);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_is_cut_off_anywhere_is_refused_by_each_version() {
    let mut ground = Ground::new(82);
    for (binary, _) in each_redis().await {
        let sound = sound(&mut ground, &binary).await;
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let lengths = (0..12).chain((12..sound.len()).step_by(APART));
        for length in lengths.chain(sound.len() - TRAILER..sound.len()) {
            is_refused(&local, &binary, &sound[..length], &format!("{length} bytes")).await;
        }
        leaves_nothing(&ground);
    }
}

/// A file without a checksum: the one of zeros stands for none.
fn crafted(version: &str, body: &[u8]) -> Vec<u8> {
    [b"REDIS", version.as_bytes(), body, b"\xff", &[0; 8]].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_to_harm_is_refused_by_each_version() {
    let gigabytes = b"\xfe\x00\x00\x80\xff\xff\xff\xffkey".as_slice();
    let value = b"\xfe\x00\x00\x03key\x80\xf0\x00\x00\x00value".as_slice();
    let compressed = b"\xfe\x00\x00\x03key\xc3\x05\x80\xff\xff\xff\xff12345".as_slice();
    let list = b"\xfe\x00\x01\x03key\x80\xff\xff\xff\xff\x01a".as_slice();
    let set = b"\xfe\x00\x02\x03key\x80\xff\xff\xff\xff\x01a".as_slice();
    let hash = b"\xfe\x00\x04\x03key\x80\xff\xff\xff\xff\x01a\x01b".as_slice();
    let packed = b"\xfe\x00\x0a\x03key\x0b\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".as_slice();
    let database = b"\xfe\x80\x7f\xff\xff\xff\x00\x01a\x01b".as_slice();
    let module = b"\xf7\x81\x01\x02\x03\x04\x05\x06\x07\x08\x02\x01\x00".as_slice();
    let module_type = b"\xfe\x00\x07\x03key\x81\x01\x02\x03\x04\x05\x06\x07\x08\x00".as_slice();
    let unknown = b"\xfe\x00\x63\x03key\x01x".as_slice();
    let ground = Ground::new(83);
    for (binary, _) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        for (what, body) in [
            ("a key of 4 GB", gigabytes),
            ("a value of 4 GB", value),
            ("a string that unpacks to 4 GB", compressed),
            ("a list of 4 G elements", list),
            ("a set of 4 G elements", set),
            ("a hash of 4 G fields", hash),
            ("a database too far", database),
            ("data of a module", module),
            ("a value of a module", module_type),
            ("a type that there is not", unknown),
        ] {
            is_refused(&local, &binary, &crafted("0006", body), what).await;
        }
        is_refused(&local, &binary, &crafted("9999", b"\xfe\x00\x00\x01a\x01b"), "the future")
            .await;
        is_refused(&local, &binary, &crafted("000x", b"\xfe\x00\x00\x01a\x01b"), "no version")
            .await;
        is_refused(&local, &binary, b"PK\x03\x04 something else", "another file").await;
        is_refused(&local, &binary, &vec![0; 3 << 20], "zeros").await;
        if binary.level() >= (6, 2) {
            // Older ones do not look into what is packed; their checksum does.
            is_refused(&local, &binary, &crafted("0006", packed), "a list that is none").await;
        }
        leaves_nothing(&ground);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_for_keys_that_are_not_there_is_not_taken() {
    // A hint that the database has 2^62 keys.
    let hint = b"\xfe\x00\xfb\x81\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01a\x01b".as_slice();
    let ground = Ground::new(84);
    for (binary, _) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        match tried(&local, &binary, stream(&crafted("0007", hint))).await {
            Ok(loaded) => assert_eq!(loaded.keys, 1, "{binary}"),
            Err(Trouble::Dataset { .. }) => {}
            Err(other) => panic!("{binary}: {other}"),
        }
        leaves_nothing(&ground);
    }
}

/// Functions are data from 7.0 on, and nothing that earlier engines read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_are_loaded_only_by_engines_that_have_them() {
    let code = b"#!lua name=mine\nredis.register_function('f', function() return 1 end)";
    let length = [0x40, u8::try_from(code.len()).unwrap()];
    let body = [b"\xf5".as_slice(), &length, code, b"\xfe\x00\x00\x01a\x01b"].concat();
    let broken = [b"\xf5\x05".as_slice(), b"hello", b"\xfe\x00\x00\x01a\x01b"].concat();
    let ground = Ground::new(85);
    for (binary, _) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        if binary.level() >= (7, 0) {
            let loaded = tried(&local, &binary, stream(&crafted("0010", &body))).await.unwrap();
            assert_eq!(loaded.keys, 1, "{binary}");
        } else {
            is_refused(&local, &binary, &crafted("0006", &body), "functions").await;
        }
        is_refused(&local, &binary, &crafted("0006", &broken), "no function").await;
        leaves_nothing(&ground);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_the_data_is_refused() {
    let mut ground = Ground::new(86);
    let binary = usual_redis().await;
    let binary = Binary { from_distribution: true, ..binary };
    let mut data = sound(&mut ground, &binary).await;
    data.resize(data.len() + (4 << 20), 7);
    let local = ground.local(Engines::of(vec![binary.clone()]));
    is_refused(&local, &binary, &data, "4 MB behind its end").await;
    leaves_nothing(&ground);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trouble_of_a_stream_is_told_and_not_what_the_engine_makes_of_it() {
    let mut ground = Ground::new(87);
    let binary = usual_redis().await;
    let sound = sound(&mut ground, &binary).await;
    let local = ground.local(Engines::of(vec![binary.clone()]));
    for length in [0, sound.len() / 2, sound.len()] {
        let lost = || Trouble::Silent { doing: "fetching", seconds: 1 };
        let items = [Ok(Bytes::copy_from_slice(&sound[..length])), Err(lost())];
        let told = tried(&local, &binary, futures::stream::iter(items).boxed()).await.unwrap_err();
        assert!(matches!(told, Trouble::Silent { .. }), "{length}: {told}");
    }
    leaves_nothing(&ground);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_that_nobody_waits_for_is_ended() {
    let mut ground = Ground::new(88);
    let binary = usual_redis().await;
    let sound = sound(&mut ground, &binary).await;
    let local = ground.local(Engines::of(vec![binary.clone()]));
    let first = futures::stream::iter([Ok(Bytes::copy_from_slice(&sound[..20]))]);
    let never = first.chain(futures::stream::pending()).boxed();
    let specimen = Specimen { engine: stamp(&binary), capacity_mb: 64, bytes: never };
    let waited = tokio::time::timeout(Duration::from_millis(300), local.prove(specimen)).await;
    assert!(waited.is_err());
    leaves_nothing(&ground);
}

/// A program in place of an engine, which says under which limits it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_has_its_bounds_before_it_reads_anything() {
    let ground = Ground::new(89);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("redis-server");
    let body = "#!/bin/sh\nread first\necho \"v=$(ulimit -v) t=$(ulimit -t) n=$(ulimit -n) \
                f=$(ulimit -f) c=$(ulimit -c) nice=$(nice)\"\nexit 1\n";
    std::fs::write(&path, body).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let version = (7, 0, 15);
    let binary = Binary { path, kind: Kind::Redis, version, from_distribution: true };
    let local = ground.local_of_scripts(Engines::of(vec![binary.clone()]));
    let told = tried(&local, &binary, stream(b"REDIS0010")).await.unwrap_err();
    let Trouble::Dataset { reason } = told else { panic!("{told}") };
    // 1 GB and twice 64 MB; 2 minutes and a second for each 4 MB.
    assert_eq!(reason, "v=1179648 t=136 n=64 f=32768 c=0 nice=19");
    leaves_nothing(&ground);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_control_plane_left_is_removed_by_the_next() {
    let ground = Ground::new(90);
    let binary = usual_redis().await;
    let trials = ground.data.path().join("trials");
    let make = |name: &str| {
        let directory = trials.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("owner.lock"), "").unwrap();
        let mut engine = Command::new(&binary.path);
        engine.args(["--port", "0", "--unixsocket", "s.sock"]).current_dir(&directory);
        engine.stdout(Stdio::null()).spawn().unwrap()
    };
    let (mut left, mut owned) = (make("1-0"), make("2-0"));
    let lock = std::fs::File::open(trials.join("2-0/owner.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    std::fs::create_dir(trials.join("3-0")).unwrap();
    let _local = ground.local(Engines::of(vec![binary.clone()]));
    // It may have been waited for already.
    let _ = left.wait();
    assert!(!processes_in(&trials).contains(&i32::try_from(left.id()).unwrap()));
    assert!(owned.try_wait().unwrap().is_none(), "another control plane's trial was ended");
    let names: Vec<_> =
        std::fs::read_dir(&trials).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["2-0"]);
    kill(i32::try_from(owned.id()).unwrap());
    owned.wait().unwrap();
}
