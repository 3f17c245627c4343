//! Cuts of the machine's power, while clients write and callers create, delete and change. What was
//! acknowledged is there afterwards; of what engines acknowledged, all but the last two seconds.
//!
//! `OURKV_TEST_CUTS` says how many, one after the other on one disk; `OURKV_TEST_SEED` replays one
//! choice of moments.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::Commands;
use serde_json::Value;

use crate::callers::{Changer, Creator, End, Saver};
use crate::common::{Client, KEY_ID, KEY_SECRET, Ourkv};
use crate::disk::{Cut, Disk, begin_run, is_of, lose_power};
use crate::host_faults::small_files;
use crate::own_namespace::with_roots_mounts;
use crate::tenant::{id, login};

/// How many cuts there are if nobody says otherwise.
const CUTS: u64 = 6;
/// How long the machine lives between two of them.
const LIFE: std::ops::Range<Duration> = Duration::from_millis(300)..Duration::from_secs(5);
/// For how long everybody goes on after the file system is gone: nothing may be acknowledged.
const AFTERWARDS: Duration = Duration::from_millis(100);
/// The most that an engine may lose that forces its file to the disk every second.
const EVERYSEC: Duration = Duration::from_secs(2);
/// Callers that create and delete.
const CREATORS: u64 = 2;
const ALL_CALLS_ARE_TAKEN: [(&str, &str); 2] =
    [("OURKV_BACKUP_FINAL", "false"), ("OURKV_BACKUP_PER_DAY", "1000")];
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");

/// One who writes to a pair, and keeps a ledger: the number of each write is its place in it.
struct Writer {
    created: Value,
    version: &'static str,
    /// When each write of this life was acknowledged.
    ledger: Vec<Instant>,
    sent: usize,
    /// How long the lists of former lives are.
    former: Vec<usize>,
}

impl Writer {
    fn list(&self) -> String {
        format!("life:{}", self.former.len())
    }

    /// Writes until it fails; says when that was, and why.
    fn write(&mut self, stop: &AtomicBool) -> (Instant, String) {
        let mut tenant = login(&self.created);
        let list = self.list();
        (self.ledger, self.sent) = (Vec::new(), 0);
        while !stop.load(Ordering::Relaxed) {
            self.sent += 1;
            if let Err(error) = tenant.rpush::<_, _, ()>(&list, self.sent) {
                return (Instant::now(), error.to_string());
            }
            self.ledger.push(Instant::now());
            std::thread::sleep(Duration::from_micros(300));
        }
        (Instant::now(), "it was told to stop".into())
    }

    /// Everything is there in its order, but for the end. Returns how many acknowledged writes are
    /// lost, and how long before the cut the oldest of them was acknowledged.
    fn check(&mut self, cut: Instant, slowest: Duration) -> (usize, Duration) {
        let mut tenant = login(&self.created);
        let list = self.list();
        let found: Vec<usize> = tenant.lrange(&list, 0, -1).unwrap();
        let whole: Vec<_> = (1..=found.len()).collect();
        assert_eq!(found, whole, "{}: {list} has a hole", self.version);
        assert!(found.len() <= self.sent, "{}: nobody wrote that", self.version);
        for (life, length) in self.former.iter().enumerate() {
            let kept: usize = tenant.llen(format!("life:{life}")).unwrap();
            assert_eq!(kept, *length, "{}: what was there after cut {life}", self.version);
        }
        self.former.push(found.len());

        let before = self.ledger.iter().take_while(|at| **at < cut).count();
        let waits = self.ledger.windows(2).map(|pair| pair[1] - pair[0]);
        // One that is under way, and the one before it, may each take as long as any.
        let bound = EVERYSEC + 2 * (slowest + waits.max().unwrap_or_default());
        let Some(oldest) = self.ledger[..before].get(found.len()) else {
            return (0, Duration::ZERO);
        };
        let age = cut - *oldest;
        assert!(age <= bound, "{}: lost what was acknowledged {age:?} before", self.version);
        (before - found.len(), age)
    }
}

/// Everybody who asks for something.
struct World {
    server: Ourkv,
    disk: Disk,
    creators: Vec<Creator>,
    changer: Changer,
    saver: Saver,
    writers: Vec<Writer>,
}

impl World {
    fn begin(random: &mut StdRng) -> Self {
        let mut server = Ourkv::prepare(&[], &ALL_CALLS_ARE_TAKEN);
        let disk = Disk::mounted(&server.dir, 192);
        begin_run(&disk, 0);
        server.serve();
        let pair = |version| server.normal(&[("EngineVersion", version), PAIR]);
        let writers = ["2.8", "4.0", "5.0"].map(|version| Writer {
            created: pair(version),
            version,
            ledger: Vec::new(),
            sent: 0,
            former: Vec::new(),
        });
        let changer = Changer::of(pair("5.0"));
        let saver = Saver::of(pair("5.0"));
        let creators = (0..CREATORS).map(|name| Creator::begin(name, random.random()));
        let (creators, writers) = (creators.collect(), writers.into());
        Self { server, disk, creators, changer, saver, writers }
    }

    /// All of them act for a while, until the power is cut. Returns when that was.
    fn live(&mut self, life: Duration, how: Cut) -> Instant {
        let stop = AtomicBool::new(false);
        let stop = &stop;
        let address = self.server.address.clone();
        let client = || Client::new(&address, KEY_ID, KEY_SECRET);
        let (cut, broke) = std::thread::scope(|scope| {
            let writers = self.writers.iter_mut();
            let writers: Vec<_> =
                writers.map(|writer| scope.spawn(move || writer.write(stop))).collect();
            for creator in &mut self.creators {
                let client = client();
                scope.spawn(move || until(stop, || creator.act(&client)));
            }
            let (changer, caller) = (&mut self.changer, client());
            scope.spawn(move || until(stop, || changer.act(&caller)));
            let (saver, caller) = (&mut self.saver, client());
            scope.spawn(move || until(stop, || saver.act(&caller)));
            std::thread::sleep(life);
            let cut = Instant::now();
            self.disk.cut(how);
            std::thread::sleep(AFTERWARDS);
            stop.store(true, Ordering::Relaxed);
            self.server.kill();
            let broke: Vec<_> = writers.into_iter().map(|it| it.join().unwrap()).collect();
            (cut, broke)
        });
        for ((at, why), writer) in broke.into_iter().zip(&self.writers) {
            let log = || self.server.log();
            assert!(at > cut, "{}: failed before the cut: {why}\n{}", writer.version, log());
        }
        cut
    }

    /// What ourkv wrote for engines with data on the disk is whole or not there. How long a process
    /// was silent is not forced to the disk: the process is gone with the power.
    fn files_are_whole(&self) {
        let durable = self.writers.iter().map(|writer| &writer.created);
        for created in durable.chain([&self.changer.created, &self.saver.created]) {
            let dirs = self.server.engine_dirs();
            let dir = dirs.into_iter().find(|dir| is_of(dir, created)).unwrap();
            let of_a_process = |file: &PathBuf| file.display().to_string().contains("/silence-");
            for file in small_files(dir).into_iter().filter(|file| !of_a_process(file)) {
                let text = std::fs::read(&file).unwrap();
                let whole = serde_json::from_slice::<Value>(&text).is_ok();
                assert!(whole, "{} has {} bytes", file.display(), text.len());
            }
        }
    }

    /// The machine starts again; everything that was acknowledged is there.
    fn check(&mut self, cut: Instant) -> Vec<(usize, Duration)> {
        let client = self.server.client();
        for creator in &mut self.creators {
            for asked in &mut creator.asked {
                // Who was not told asks again; who was told is told the same.
                assert!(asked.create(&client), "{asked:?}");
            }
        }
        let listed = self.server.listed();
        let all = self.creators.iter_mut().flat_map(|creator| &mut creator.asked);
        let mut known: HashSet<_> = self.writers.iter().map(|it| id(&it.created)).collect();
        known.extend([&self.changer.created, &self.saver.created].map(id));
        for asked in all {
            let id = asked.id.as_deref().unwrap();
            assert!(asked.end != End::Wanted || listed.contains(id), "{asked:?} is not there");
            assert!(asked.end != End::Acknowledged || !listed.contains(id), "{asked:?} is there");
            asked.end = if listed.contains(id) { End::Wanted } else { End::Acknowledged };
            known.insert(id);
        }
        assert!(listed.iter().all(|id| known.contains(&**id)), "{listed:?}: {known:?}");
        // One that is gone is a stranger from here on, should it come back.
        for creator in &mut self.creators {
            creator.asked.retain(|asked| asked.end == End::Wanted);
        }
        for id in &listed {
            self.server.wait_for(id, "Normal");
        }
        self.changer.check(&self.server);
        self.saver.check(&self.server);
        let slowest = self.creators.iter().map(|creator| creator.slowest).max().unwrap();
        let losses = self.writers.iter_mut().map(|writer| writer.check(cut, slowest)).collect();
        let dirs = self.server.engine_dirs();
        self.server.until(&format!("a directory for each of {listed:?} of {dirs:?}"), |server| {
            server.engine_dirs().len() == listed.len()
        });
        losses
    }

    fn end(&self) {
        let doctor = self.server.try_cli(&["doctor"]);
        assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
        let log = self.server.log();
        assert!(!log.contains("panicked"), "{log}");
        for id in self.server.listed() {
            self.server.client().call("DeleteInstance", &[("InstanceId", &id)]).expect_ok();
        }
        self.server.until("nothing is left", |server| server.engine_dirs().is_empty());
    }
}

/// Acts until told to stop.
fn until(stop: &AtomicBool, mut act: impl FnMut()) {
    while !stop.load(Ordering::Relaxed) {
        act();
    }
}

/// A number that someone may have given.
fn given(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |number| number.parse().unwrap())
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    with_roots_mounts("power_cuts::a_power_cut_loses_nothing_that_was_acknowledged", || {
        let (seed, cuts) = (given("OURKV_TEST_SEED", 42), given("OURKV_TEST_CUTS", CUTS));
        println!("OURKV_TEST_SEED={seed} OURKV_TEST_CUTS={cuts} replays this");
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = World::begin(&mut random);
        for number in 1..=cuts {
            let life = random.random_range(LIFE);
            let how = if random.random_bool(0.7) { Cut::AtOnce } else { Cut::AfterJournal };
            let cut = world.live(life, how);
            lose_power(&mut world.server, &world.disk, number.try_into().unwrap());
            world.files_are_whole();
            let began = Instant::now();
            world.server.serve();
            let serving = began.elapsed();
            let losses = world.check(cut);
            let ages = losses.iter().map(|(count, age)| format!("{count} in {age:?}"));
            let ages: Vec<_> = ages.collect();
            let back = began.elapsed();
            println!(
                "cut {number} {how:?} after {life:?}: serving {serving:?}, all {back:?}, lost {ages:?}"
            );
        }
        let calls: usize = world.creators.iter().map(|creator| creator.acknowledged).sum();
        let (changes, saves) = (world.changer.acknowledged, world.saver.acknowledged);
        let kept: usize = world.writers.iter().flat_map(|writer| &writer.former).sum();
        println!(
            "acknowledged: {calls} creations and deletions, {changes} changes of an instance, \
             {saves} of backups; {kept} writes kept"
        );
        world.end();
    });
}
