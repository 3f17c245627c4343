//! Backups that were damaged on the shelf, in ways that sealing finds and in ways that only an
//! engine does: refused before anything live is touched, and told why.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use ourkv_control::backup::{Archive, Place, Shelf};
use ourkv_domain::backup::BackupId;
use ourkv_domain::mint::Mint;
use ourkv_store::StoreError;
use redis::Commands;
use rstest::rstest;
use serde_json::Value;

use crate::common::{Ourkv, PASSWORD};
use crate::shelf::{backup_id, download};
use crate::tenant::{content, engines, fill, id, log_in_with, login, noise};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");

/// An instance whose backup is to be broken.
struct Threatened {
    server: Ourkv,
    created: Value,
    backup: String,
    plain: Vec<u8>,
    content: BTreeMap<String, String>,
    pids: BTreeMap<String, u32>,
}

impl Threatened {
    fn new(class: (&str, &str), version: &str) -> Self {
        let server = Ourkv::start();
        let created = server.normal(&[class, ("EngineVersion", version)]);
        let mut tenant = login(&created);
        fill(&mut tenant, "backed up");
        let () = tenant.set("noise", noise(2_500_000)).unwrap();
        let backup = server.back_up(id(&created));
        server.proven(&backup_id(&backup));
        let plain = download(backup["BackupDownloadURL"].as_str().unwrap()).bytes;
        let () = tenant.set("only", "the live data has this").unwrap();
        let content = content(&mut tenant);
        let pids = engines(&server.dir);
        Self { created, backup: backup_id(&backup), plain, content, pids, server }
    }

    fn object(&self) -> std::path::PathBuf {
        self.server.object(id(&self.created), &self.backup)
    }

    /// Puts this in the place of what was stored, sealed as it must be; `known` says whether what
    /// is remembered of the backup is changed with it.
    fn substitute(&self, plain: &[u8], known: bool) {
        let server = &self.server;
        let folder = Shelf::open(&Place::Folder(server.dir.join("backups"))).unwrap();
        let mint = Arc::new(Mint::from_seed([6; 32]));
        let archive = Archive::new(folder, server.sealer(), mint);
        let number: BackupId = self.backup.parse().unwrap();
        let stored = server.store().write_blocking::<_, StoreError>(move |tx| tx.backup(number));
        let (stored, plain) = (stored.unwrap().unwrap(), Bytes::copy_from_slice(plain));
        let stream = futures::stream::iter([Ok(plain)]).boxed();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let kept = runtime.block_on(archive.keep(&stored, stream)).unwrap();
        if known {
            server.rewrite_taken(&self.backup, move |taken| {
                taken.digest.clone_from(&kept.digest);
                taken.bytes = kept.bytes;
            });
        }
    }

    /// Restores, which must change nothing and be said.
    #[track_caller]
    fn is_refused(&self, how: &str) {
        let server = &self.server;
        let before = server.events(id(&self.created)).len();
        let reply = server.ask_to_restore(id(&self.created), &self.backup);
        reply.expect_ok();
        // Its engines are the same and answer for as long as it lasts.
        server.until(&format!("{how}: given up"), |server| {
            let read = log_in_with(&self.created, PASSWORD)
                .and_then(|mut tenant| tenant.get::<_, Option<String>>("only"));
            let read = read.unwrap_or_else(|error| panic!("{how}: {error}\n{}", server.log()));
            assert_eq!(read.as_deref(), Some("the live data has this"), "{how}");
            server.attributes(id(&self.created))["InstanceStatus"] == "Normal"
        });
        assert_eq!(content(&mut login(&self.created)), self.content, "{how}");
        assert_eq!(engines(&server.dir), self.pids, "{how}: nothing live is touched");
        let events = server.events(id(&self.created));
        assert!(events.len() > before, "{how}: {events:?}");
        let last = &events[events.len() - 1];
        assert_eq!(last["event"], "RestoreGivenUp", "{how}");
        let why = last["detail"].as_str().unwrap();
        assert!(!why.contains("[info]") && !why.contains("WARNING"), "{how}: {why}");
    }
}

#[rstest]
#[case(STANDALONE, "2.8")]
#[case(PAIR, "4.0")]
#[case(PAIR, "5.0")]
fn a_sealed_object_that_was_changed_is_refused(#[case] class: (&str, &str), #[case] version: &str) {
    let it = Threatened::new(class, version);
    let sealed = std::fs::read(it.object()).unwrap();
    let other = backup_id(&it.server.back_up(id(&it.created)));
    let other = std::fs::read(it.server.object(id(&it.created), &other)).unwrap();
    let middle = sealed.len() / 2;
    let flipped = |at: usize| {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        changed
    };
    for (how, content) in [
        ("its first byte flipped", flipped(0)),
        ("a byte of its head flipped", flipped(30)),
        ("a byte of its middle flipped", flipped(middle)),
        ("its last byte flipped", flipped(sealed.len() - 1)),
        ("cut by a byte", sealed[..sealed.len() - 1].to_vec()),
        ("cut at a chunk", sealed[..middle].to_vec()),
        ("cut to nothing", Vec::new()),
        ("longer", [&sealed[..], &[0]].concat()),
        ("another's", other),
    ] {
        std::fs::write(it.object(), content).unwrap();
        it.is_refused(how);
    }
    std::fs::remove_file(it.object()).unwrap();
    it.is_refused("missing");
    std::fs::write(it.object(), sealed).unwrap();
    it.server.restore(id(&it.created), &it.backup);
    assert!(!login(&it.created).exists::<_, bool>("only").unwrap());
}

/// A file that begins as a file of Redis does, with `content`, its end, and no checksum.
fn crafted(content: &[u8]) -> Vec<u8> {
    [b"REDIS0006\xfe\x00", content, b"\xff", &[0; 8]].concat()
}

/// Files that no engine may be given, each with what it is.
fn bad_files(plain: &[u8]) -> Vec<(String, Vec<u8>)> {
    let newer = [b"REDIS0099", &plain[9..]].concat();
    let huge = crafted(b"\x00\x80\x7f\xff\xff\xffkey");
    let module = crafted(b"\x07\x01k\x81\x00\x00\x00\x00\x00\x00\x00\x01\x00");
    let mut bad = vec![
        ("of a newer engine".into(), newer),
        ("with a string of 2 GiB that is not there".into(), huge),
        ("with data of a module".into(), module),
        ("of an unknown type".into(), crafted(b"\x6b\x01k\x01v")),
        ("no such file".into(), b"*1\r\n$8\r\nFLUSHALL\r\n".to_vec()),
        ("nothing".into(), Vec::new()),
    ];
    for part in 1..=3 {
        bad.push((format!("cut at part {part}"), plain[..plain.len() * part / 4].to_vec()));
    }
    for part in 0..6 {
        let at = (plain.len() - 1) * part / 5;
        let mut flipped = plain.to_vec();
        flipped[at] ^= 0x55;
        bad.push((format!("with byte {at} flipped"), flipped));
    }
    bad
}

#[rstest]
#[case(STANDALONE, "2.8")]
#[case(PAIR, "4.0")]
#[case(PAIR, "5.0")]
fn a_file_that_no_engine_loads_is_refused_though_sealed_and_digested_well(
    #[case] class: (&str, &str),
    #[case] version: &str,
) {
    let it = Threatened::new(class, version);
    for (how, file) in bad_files(&it.plain) {
        it.substitute(&file, true);
        it.is_refused(&how);
    }
    it.substitute(&it.plain, true);
    it.server.restore(id(&it.created), &it.backup);
    assert!(!login(&it.created).exists::<_, bool>("only").unwrap());
    it.server.until_tidy("after refused restores");
}

#[test]
fn a_verification_finds_that_a_file_is_not_what_was_taken() {
    let it = Threatened::new(STANDALONE, "5.0");
    // Without a checksum of its own an engine loads it.
    let mut other = it.plain.clone();
    let end = other.len() - 8;
    other[end..].fill(0);
    it.substitute(&other, false);
    let verified = it.server.try_cli(&["backup", "verify", &it.backup]);
    assert!(!verified.status.success(), "{verified:?}");
    let listed = &it.server.backups(id(&it.created))[0];
    assert_eq!(listed["BackupStatus"], "Failed", "{listed}");
    let refused = it.server.ask_to_restore(id(&it.created), &it.backup).refusal();
    assert_eq!(refused.1, "IncorrectBackupSetState");
}
