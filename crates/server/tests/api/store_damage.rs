//! Damage to the store's files: each start serves what was there, or refuses and says what to do.
//! It never begins anew, and no engine is touched.

use std::fs;

use serde_json::Value;

use crate::common::Ourkv;
use crate::rebuild::until_kept;
use crate::tenant::{engines, id, login};

const PAGE: usize = 4096;

/// A server that was stopped, and what it had.
struct Stopped {
    server: Ourkv,
    created: Value,
    told: Vec<Value>,
    pids: std::collections::BTreeMap<String, u32>,
    whole: Vec<u8>,
}

/// What is vouched for of an instance: who, what and where.
fn told(server: &Ourkv, created: &Value) -> Vec<Value> {
    let attributes = server.attributes(id(created));
    let names = [
        "InstanceId",
        "InstanceClass",
        "ConnectionDomain",
        "Port",
        "Capacity",
        "ZoneId",
        "NetworkType",
        "EngineVersion",
        "InstanceType",
        "CreateTime",
        "PrivateIp",
    ];
    names.iter().map(|name| attributes[*name].clone()).collect()
}

impl Stopped {
    fn new() -> Self {
        let mut server = Ourkv::start();
        let created = server.normal(&[("InstanceClass", "redis.basic.small.default")]);
        until_kept(&server, id(&created));
        let told = told(&server, &created);
        let pids = engines(&server.dir);
        server.kill();
        // A command that opens it alone leaves everything in the one file.
        server.cli(&["ls"]);
        let whole = fs::read(server.dir.join("ourkv.db")).unwrap();
        assert!(whole.len() > 20 * PAGE);
        assert!(!server.dir.join("ourkv.db-wal").exists());
        Self { server, created, told, pids, whole }
    }

    /// Starts it with this store; says whether that served. Engines are as they were.
    fn serves(&mut self, store: Option<&[u8]>, what: &str) -> bool {
        let path = self.server.dir.join("ourkv.db");
        for ending in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.server.dir.join(format!("ourkv.db{ending}")));
        }
        if let Some(store) = store {
            fs::write(&path, store).unwrap();
        }
        let served = match self.server.try_serve() {
            Ok(()) => {
                self.server.wait_for(id(&self.created), "Normal");
                assert_eq!(told(&self.server, &self.created), self.told, "{what}");
                login(&self.created);
                true
            }
            Err(log) => {
                assert!(log.contains("ourkv doctor --rebuild"), "{what}: {log}");
                let left = fs::read(&path).ok();
                assert_eq!(left.as_deref(), store, "{what}: it was changed");
                false
            }
        };
        self.server.kill();
        assert_eq!(engines(&self.server.dir), self.pids, "{what}");
        served
    }

    /// Lets the rest of the test end in order.
    fn heal(mut self) {
        let whole = self.whole.clone();
        assert!(self.serves(Some(&whole), "healed"));
    }
}

#[test]
fn a_flipped_byte_in_any_page_is_found_or_does_no_harm() {
    let mut stopped = Stopped::new();
    let mut refused = 0;
    for page in 0..stopped.whole.len() / PAGE {
        // The head of a page, which says what is in it, and somewhere in what it holds.
        for at in [page % 8, PAGE - 1 - 37 * page % 600] {
            let mut store = stopped.whole.clone();
            store[page * PAGE + at] ^= 0xff;
            let served = stopped.serves(Some(&store), &format!("page {page}, byte {at}"));
            refused += u32::from(!served);
        }
    }
    assert!(refused > 20, "{refused}");
    stopped.heal();
}

#[test]
fn a_store_without_its_log_is_not_taken_for_a_new_one() {
    let mut server = Ourkv::start();
    let created = server.normal(&[("InstanceClass", "redis.basic.small.default")]);
    until_kept(&server, id(&created));
    let pids = engines(&server.dir);
    server.kill();
    for ending in ["-wal", "-shm"] {
        fs::remove_file(server.dir.join(format!("ourkv.db{ending}"))).unwrap();
    }
    let refused = server.try_serve().unwrap_err();
    assert!(refused.contains("ourkv doctor --rebuild"), "{refused}");
    server.cli(&["doctor", "--rebuild"]);
    server.serve();
    server.wait_for(id(&created), "Normal");
    login(&created);
    assert_eq!(engines(&server.dir), pids);
}

#[test]
fn a_cut_empty_or_lost_store_is_never_begun_anew() {
    let mut stopped = Stopped::new();
    assert!(!stopped.serves(None, "lost"));
    let length = stopped.whole.len();
    let sizes =
        [0, 1, 15, 16, 99, 100, 511, 512, PAGE - 1, PAGE, PAGE + 1, length - PAGE, length - 1];
    let pages = (2..length / PAGE).step_by(7).map(|page| page * PAGE + page);
    for size in sizes.into_iter().chain(pages) {
        let store = stopped.whole[..size].to_vec();
        assert!(!stopped.serves(Some(&store), &format!("cut at {size}")), "cut at {size}");
    }
    stopped.heal();
}
