//! Kill upon kill: recovery is itself cut off, and fifty kills come in a row. Once they stop,
//! everything is what was acknowledged, and nothing else.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::common::{Ourkv, PASSWORD};

const KILLS: usize = 50;
const TOKENS: usize = 8;

/// The longest that a process lives between two kills.
const LIFE: Duration = Duration::from_millis(120);

/// What callers were told.
#[derive(Default)]
struct Told {
    /// Ids by token.
    created: HashMap<usize, String>,
    /// Ids that someone tried to delete, whatever came of it.
    doomed: HashSet<String>,
    /// Ids whose deletion was acknowledged.
    deleted: HashSet<String>,
}

impl Told {
    /// Creates or deletes something, if the server lives long enough.
    fn act(&mut self, server: &Ourkv, random: &mut StdRng) {
        let token = random.random_range(0..TOKENS);
        match self.created.get(&token).cloned() {
            Some(id) if random.random_bool(0.4) => {
                self.doomed.insert(id.clone());
                let reply = server.client().try_call("DeleteInstance", &[("InstanceId", &id)]);
                if reply.is_ok_and(|reply| reply.status == 200) {
                    self.deleted.insert(id);
                }
            }
            _ => {
                let reply = create(server, token);
                if let Some(id) = reply {
                    let known = self.created.entry(token).or_insert_with(|| id.clone());
                    assert_eq!(*known, id, "the token stands for one instance");
                }
            }
        }
    }
}

/// Creates the instance of a token; its id, where an answer came.
fn create(server: &Ourkv, token: usize) -> Option<String> {
    let classes = ["redis.basic.small.default", "redis.master.small.default"];
    let token_text = format!("token-{token}");
    let params = [
        ("RegionId", "cn-hongkong"),
        ("InstanceClass", classes[token % classes.len()]),
        ("Password", PASSWORD),
        ("Token", &token_text),
    ];
    let reply = server.client().try_call("CreateInstance", &params).ok()?;
    reply.json()["InstanceId"].as_str().map(str::to_owned)
}

#[test]
fn fifty_kills_in_a_row_converge() {
    let seed = std::env::var("OURKV_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(42);
    println!("OURKV_TEST_SEED={seed} replays this");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Ourkv::start();
    let mut told = Told::default();
    for _ in 0..KILLS {
        let life = random.random_range(Duration::ZERO..LIFE);
        let began = Instant::now();
        while began.elapsed() < life {
            told.act(&server, &mut random);
        }
        server.restart(&[]);
    }
    assert!(!told.created.is_empty(), "no process lived long enough to be asked for anything");
    converges(&server, &told);
}

fn converges(server: &Ourkv, told: &Told) {
    for (token, id) in &told.created {
        assert_eq!(create(server, *token).as_ref(), Some(id), "token {token}");
    }
    let mut listed = server.listed();
    for id in told.created.values() {
        assert!(!told.deleted.contains(id) || !listed.contains(id), "{id} was deleted");
        assert!(told.doomed.contains(id) || listed.contains(id), "{id} was created");
    }
    for id in &listed {
        server.wait_for(id, "Normal");
    }
    server.until("one directory for each instance", |server| {
        server.engine_dirs().len() == listed.len()
    });
    for id in listed.drain() {
        server.client().call("DeleteInstance", &[("InstanceId", &id)]).expect_ok();
    }
    server.until("nothing is left", |server| server.engine_dirs().is_empty());
}

/// The first kill leaves a pair half made; the second comes at each step of mending it.
#[cfg(feature = "failpoints")]
#[test]
fn a_kill_during_recovery_is_recovered_from() {
    for point in crate::failpoints::points_of_lives() {
        let mut server =
            Ourkv::start_with(&[], &[("FAILPOINTS", "start_first.after=return(abort)")]);
        let acknowledged = create(&server, 1);
        server.until_it_ends();
        server.restart(&[("FAILPOINTS", &format!("{point}=return(abort)"))]);
        let began = Instant::now();
        while server.runs() && began.elapsed() < LIFE {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.restart(&[]);
        let id = create(&server, 1).unwrap();
        assert!(acknowledged.is_none_or(|acknowledged| acknowledged == id), "{point}");
        server.wait_for(&id, "Normal");
        server.client().call("DeleteInstance", &[("InstanceId", &id)]).expect_ok();
        server.until(&format!("{point}: nothing left"), |server| server.engine_dirs().is_empty());
    }
}
