//! Callers who act all the time and keep in mind what they were told: of instances, of a password
//! and a name, of backups.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::backup_faults::only_whole_ones_are_listed;
use crate::common::{Client, Ourkv, PASSWORD};
use crate::shelf::{EVER, backup_id};
use crate::tenant::{id, log_in_with};

/// How many instances, and how many backups, one has at most.
const AT_MOST: usize = 4;
const CLASSES: [&str; 3] =
    ["redis.basic.small.default", "redis.master.small.default", "memcache.master.small.default"];

/// An instance that a caller asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    token: String,
    class: &'static str,
    /// Where the answer came.
    pub(crate) id: Option<String>,
    pub(crate) end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Wanted,
    /// Someone asked for its deletion, and was not told what came of it.
    Asked,
    Acknowledged,
}

/// One who creates and deletes instances.
pub(crate) struct Creator {
    pub(crate) asked: Vec<Asked>,
    random: StdRng,
    name: u64,
    tokens: usize,
    /// The longest that a call took that was acknowledged.
    pub(crate) slowest: Duration,
    pub(crate) acknowledged: usize,
}

impl Creator {
    pub(crate) fn begin(name: u64, seed: u64) -> Self {
        Self {
            asked: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            name,
            tokens: 0,
            slowest: Duration::ZERO,
            acknowledged: 0,
        }
    }

    pub(crate) fn act(&mut self, client: &Client) {
        let began = Instant::now();
        let living: Vec<_> = (0..self.asked.len())
            .filter(|at| self.asked[*at].end == End::Wanted && self.asked[*at].id.is_some())
            .collect();
        // Those that nobody answered for are asked for again, and then are there.
        let wanted = self.asked.iter().filter(|asked| asked.end == End::Wanted).count();
        let creates = wanted < AT_MOST && (living.is_empty() || self.random.random_bool(0.6));
        let done = if creates {
            self.tokens += 1;
            let token = format!("token-{}-{}", self.name, self.tokens);
            let class = CLASSES[self.random.random_range(0..CLASSES.len())];
            self.asked.push(Asked { token, class, id: None, end: End::Wanted });
            self.asked.last_mut().unwrap().create(client)
        } else if living.is_empty() {
            false
        } else {
            let chosen = living[self.random.random_range(0..living.len())];
            self.asked[chosen].delete(client)
        };
        if done {
            self.acknowledged += 1;
            self.slowest = self.slowest.max(began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(self.random.random_range(0..40)));
    }
}

impl Asked {
    /// Whether it is acknowledged.
    pub(crate) fn create(&mut self, client: &Client) -> bool {
        let kind = if self.class.starts_with("mem") { "Memcache" } else { "Redis" };
        let params = [
            ("RegionId", "cn-hongkong"),
            ("InstanceClass", self.class),
            ("InstanceType", kind),
            ("Password", PASSWORD),
            ("Token", &self.token),
        ];
        let Ok(reply) = client.try_call("CreateInstance", &params) else {
            return false;
        };
        let told = reply.json()["InstanceId"].as_str().map(str::to_owned);
        if let (Some(told), Some(known)) = (&told, &self.id) {
            assert_eq!(told, known, "the token stands for one instance");
        }
        let is_told = told.is_some();
        assert!(is_told || reply.status >= 500, "{reply:?}");
        self.id = told.or(self.id.take());
        is_told
    }

    fn delete(&mut self, client: &Client) -> bool {
        let params = [("InstanceId", self.id.as_deref().unwrap())];
        self.end = End::Asked;
        let reply = client.try_call("DeleteInstance", &params);
        let done = reply.as_ref().is_ok_and(|reply| reply.status == 200);
        if done {
            self.end = End::Acknowledged;
        } else if reply.is_ok_and(|reply| reply.status < 500) {
            // It is not deleted while it is being made: that changes nothing.
            self.end = End::Wanted;
        }
        done
    }
}

/// One who changes the password and the name of an instance, in turns.
pub(crate) struct Changer {
    pub(crate) created: Value,
    password: Change,
    name: Change,
    pub(crate) acknowledged: usize,
}

/// A value that is changed again and again.
struct Change {
    acknowledged: String,
    /// What was asked for since, without an answer.
    asked: Vec<String>,
    count: usize,
}

impl Change {
    fn from(value: &str) -> Self {
        Self { acknowledged: value.into(), asked: Vec::new(), count: 0 }
    }

    fn act(&mut self, prefix: &str, call: impl FnOnce(&str) -> bool) -> bool {
        self.count += 1;
        let next = format!("{prefix}{}", self.count);
        self.asked.push(next.clone());
        let done = call(&next);
        if done {
            *self = Self { acknowledged: next, asked: Vec::new(), count: self.count };
        }
        done
    }

    /// What it may be: what was acknowledged, or what was asked for since.
    fn candidates(&self) -> Vec<String> {
        [vec![self.acknowledged.clone()], self.asked.clone()].concat()
    }
}

impl Changer {
    pub(crate) fn of(created: Value) -> Self {
        let (password, name) = (Change::from(PASSWORD), Change::from(""));
        Self { created, password, name, acknowledged: 0 }
    }

    pub(crate) fn act(&mut self, client: &Client) {
        let instance = id(&self.created);
        let call = |action, more: [(&str, &str); 2]| {
            let params = [&[("InstanceId", instance)], &more[..]].concat();
            client.try_call(action, &params).is_ok_and(|reply| reply.status == 200)
        };
        let password = self.password.act("Passw0rd-", |next| {
            call("ResetAccountPassword", [("AccountName", instance), ("AccountPassword", next)])
        });
        let name = self.name.act("name-", |next| {
            call("ModifyInstanceAttribute", [("InstanceName", next), ("RegionId", "cn-hongkong")])
        });
        self.acknowledged += usize::from(password) + usize::from(name);
        std::thread::sleep(Duration::from_millis(15));
    }

    /// What is in force is what was acknowledged last, or what was asked for since.
    pub(crate) fn check(&mut self, server: &Ourkv) {
        let attributes = server.wait_for(id(&self.created), "Normal");
        let name = attributes["InstanceName"].as_str().unwrap().to_owned();
        let names = self.name.candidates();
        assert!(names.contains(&name), "{name}: {names:?}");
        self.name = Change { count: self.name.count, ..Change::from(&name) };
        let passwords = self.password.candidates();
        let mut opens = None;
        server.until(&format!("one of {passwords:?} opens alone"), |_| {
            let good = passwords.iter().filter(|one| log_in_with(&self.created, one).is_ok());
            let good: Vec<_> = good.collect();
            opens = good.first().map(|one| (*one).clone());
            good.len() == 1
        });
        self.password = Change { count: self.password.count, ..Change::from(&opens.unwrap()) };
    }
}

/// One who takes and deletes backups of an instance.
pub(crate) struct Saver {
    pub(crate) created: Value,
    /// Those that were told to be good.
    good: Vec<String>,
    /// Those whose deletion was asked for, and those where it was acknowledged.
    doomed: HashSet<String>,
    deleted: HashSet<String>,
    pub(crate) acknowledged: usize,
}

impl Saver {
    pub(crate) fn of(created: Value) -> Self {
        let (doomed, deleted) = (HashSet::new(), HashSet::new());
        Self { created, good: Vec::new(), doomed, deleted, acknowledged: 0 }
    }

    pub(crate) fn act(&mut self, client: &Client) {
        let instance = ("InstanceId", id(&self.created));
        let call = |action, more: &[(&str, &str)]| {
            let reply = client.try_call(action, &[&[instance], more].concat()).ok()?;
            (reply.status == 200).then(|| reply.json())
        };
        // One that is under way is in the way of the next.
        self.acknowledged += usize::from(call("CreateBackup", &[]).is_some());
        if let Some(listed) = call("DescribeBackups", &EVER) {
            let listed = listed["Backups"]["Backup"].as_array().unwrap().clone();
            let good = listed.iter().filter(|backup| backup["BackupStatus"] == "Success");
            self.good = good.map(backup_id).collect();
        }
        if self.good.len() >= AT_MOST {
            let oldest = self.good.pop().unwrap();
            self.doomed.insert(oldest.clone());
            if call("DeleteBackup", &[("BackupId", &oldest)]).is_some() {
                self.deleted.insert(oldest);
                self.acknowledged += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }

    /// Good ones are there and can be had, deleted ones are not, and nothing is left of any other.
    pub(crate) fn check(&self, server: &Ourkv) {
        only_whole_ones_are_listed(server, id(&self.created), "after a cut");
        let listed: Vec<_> = server.backups(id(&self.created)).iter().map(backup_id).collect();
        for one in &self.good {
            assert!(
                self.doomed.contains(one) || listed.contains(one),
                "{one} was good: {listed:?}"
            );
        }
        for one in &self.deleted {
            assert!(!listed.contains(one), "{one} was deleted");
        }
    }
}
