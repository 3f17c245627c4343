//! Passwords that are replaced while they are used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use redis::Commands;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Client, Ourkv, PASSWORD};
use crate::tenant::{engines, id, log_in_with, login};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");
const WANTED: &str = "Wanted-Passw0rd";

fn reset(client: &Client, instance: &str, password: &str) {
    let account = [("InstanceId", instance), ("AccountName", instance)];
    let params = [&account[..], &[("AccountPassword", password)]].concat();
    let answer = client.call("ResetAccountPassword", &params).expect_ok();
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["RequestId"]);
}

impl Ourkv {
    /// Waits until that many passwords of an instance were replaced.
    #[track_caller]
    fn until_replaced(&self, instance: &str, times: usize) {
        self.until("the password is replaced", |server| {
            let events = server.events(instance);
            events.iter().filter(|event| event["event"] == "PasswordReset").count() == times
        });
    }
}

#[cfg(feature = "failpoints")]
impl Ourkv {
    /// Whether no change of a password is under way.
    fn is_changed(&self, instance: &str) -> bool {
        let instance = ourkv_domain::ids::InstanceId::parse(instance).unwrap();
        let secrets = self.store().read_blocking(move |tx| tx.secrets(&instance));
        secrets.unwrap().unwrap().change.is_none()
    }
}

/// A client that logged in before, and writes all the time.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn begin(created: &Value) -> Self {
        let mut tenant = login(created);
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (ends, counted) = (Arc::clone(&stop), Arc::clone(&written));
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let () = tenant.incr("counter", 1).unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, written, thread }
    }

    /// Ends it; whatever it met ends the test.
    fn end(self, server: &Ourkv) -> u64 {
        let before = self.written.load(Ordering::Relaxed);
        server.until("it writes on", |_| self.written.load(Ordering::Relaxed) > before + 100);
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.written.load(Ordering::Relaxed)
    }
}

fn field(tenant: &mut redis::Connection, section: &str, name: &str) -> String {
    let text: String = redis::cmd("INFO").arg(section).query(tenant).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_default().trim().to_owned()
}

#[test]
fn a_password_is_replaced_under_load_and_survives_what_ends() {
    let mut server = Ourkv::start();
    let created = server.normal(&[PAIR]);
    let instance = id(&created);
    let mut tenant = login(&created);
    let syncs = field(&mut tenant, "stats", "sync_full");
    let writers: Vec<_> = (0..3).map(|_| Writer::begin(&created)).collect();
    let passwords = ["First-Passw0rd", "Second-Passw0rd", WANTED];
    for (times, password) in passwords.iter().enumerate() {
        reset(&server.client(), instance, password);
        assert_eq!(server.attributes(instance)["InstanceStatus"], "Normal");
        server.until_replaced(instance, times + 1);
        log_in_with(&created, password).unwrap();
        assert_eq!(field(&mut tenant, "replication", "connected_slaves"), "1");
    }
    let written: u64 = writers.into_iter().map(|writer| writer.end(&server)).sum();
    assert_eq!(field(&mut tenant, "stats", "sync_full"), syncs, "replication never dropped");
    for former in [PASSWORD, passwords[0], passwords[1]] {
        assert!(log_in_with(&created, former).is_err());
    }
    assert_eq!(tenant.get::<_, u64>("counter").unwrap(), written);

    let before = engines(&server.dir);
    server.kill();
    server.serve();
    server.wait_for(instance, "Normal");
    assert_eq!(engines(&server.dir), before);
    for pid in before.values() {
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    }
    server.until("both engines are new ones", |server| {
        let now = engines(&server.dir);
        now.len() == 2 && now.values().all(|pid| before.values().all(|old| old != pid))
    });
    server.wait_for(instance, "Normal");
    log_in_with(&created, WANTED).unwrap();
    assert!(log_in_with(&created, PASSWORD).is_err());
}

#[test]
fn many_changes_at_once_end_with_the_last_one() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    let client = server.client();
    for number in 0..10 {
        reset(&client, id(&created), &format!("Passw0rd-{number}"));
    }
    server.until("the last one is in force", |server| {
        server.wait_for(id(&created), "Normal");
        log_in_with(&created, "Passw0rd-9").is_ok() && log_in_with(&created, "Passw0rd-8").is_err()
    });
    assert!(log_in_with(&created, PASSWORD).is_err());
    reset(&client, id(&created), WANTED);
    server.until("the former one is refused", |_| log_in_with(&created, "Passw0rd-9").is_err());
    log_in_with(&created, WANTED).unwrap();
}

#[test]
fn an_instance_gets_another_name_and_another_password() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE, ("InstanceName", "before")]);
    let of = ("InstanceId", id(&created));
    let modify = |more: &[(&str, &str)]| {
        server.client().call("ModifyInstanceAttribute", &[&[of], more].concat()).expect_ok()
    };
    modify(&[("InstanceName", "after")]);
    let attributes = server.attributes(of.1);
    assert_eq!(attributes["InstanceName"], "after");
    assert_eq!(attributes["InstanceStatus"], "Normal");
    modify(&[("InstanceName", "later"), ("NewPassword", WANTED)]);
    assert_eq!(server.attributes(of.1)["InstanceName"], "later");
    server.until_replaced(of.1, 1);
    log_in_with(&created, WANTED).unwrap();
    assert!(log_in_with(&created, PASSWORD).is_err());
    // Where one of the two is refused, nothing is changed.
    let both = [of, ("InstanceName", "never"), ("NewPassword", "short")];
    let refused = server.client().call("ModifyInstanceAttribute", &both);
    assert_eq!(refused.refusal().1, "InvalidPassword.Malformed");
    assert_eq!(server.attributes(of.1)["InstanceName"], "later");
}

#[test]
fn another_account_replaces_no_password() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    let account = server.made(&["account", "create", "--name", "other"]);
    let key = server.cli(&["key", "create", "--account", &account, "--output", "json"]);
    let key: Value = serde_json::from_str(&key).unwrap();
    let (key, secret) = (key["id"].as_str().unwrap(), key["secret"].as_str().unwrap());
    let other = Client::new(&server.address, key, secret);
    let of = [("InstanceId", id(&created)), ("AccountName", id(&created))];
    for (action, more) in [
        ("ResetAccountPassword", ("AccountPassword", WANTED)),
        ("ModifyInstanceAttribute", ("NewPassword", WANTED)),
        ("ModifyInstanceAttribute", ("InstanceName", "stolen")),
    ] {
        let refused = other.call(action, &[&of[..], &[more]].concat());
        assert_eq!(refused.refusal().1, "InvalidInstanceId.NotFound");
    }
    log_in_with(&created, PASSWORD).unwrap();
}

#[cfg(feature = "failpoints")]
#[test]
fn a_process_that_ends_at_any_step_leaves_a_way_in_and_is_followed_by_one_that_goes_on() {
    let mut server = Ourkv::start();
    let shapes = [&[STANDALONE][..], &[PAIR], &[PAIR, ("EngineVersion", "4.0")]];
    let created: Vec<_> = shapes.iter().map(|shape| server.normal(shape)).collect();
    let mut former = PASSWORD.to_owned();
    let points = crate::failpoints::points_of_passwords();
    assert_eq!(points.len(), 8, "{points:?}");
    for (times, point) in points.into_iter().enumerate() {
        let wanted = format!("Wanted-Passw0rd-{times}");
        server.restart(&[("FAILPOINTS", &format!("{point}=return(abort)"))]);
        let mut sessions: Vec<_> =
            created.iter().map(|one| log_in_with(one, &former).unwrap()).collect();
        for one in &created {
            server.wait_for(id(one), "Normal");
        }
        // The first change that gets there ends the process; the others are never heard of or wait.
        let mut asked = Vec::new();
        for one in &created {
            let account = [("InstanceId", id(one)), ("AccountName", id(one))];
            let params = [&account[..], &[("AccountPassword", &wanted)]].concat();
            let reply = server.client().try_call("ResetAccountPassword", &params);
            asked.push(reply.is_ok_and(|reply| reply.status == 200));
        }
        assert!(asked[0]);
        server.until_it_ends();
        for one in &created {
            let good = [&former, &wanted].iter().any(|password| log_in_with(one, password).is_ok());
            assert!(good, "{point}: nobody gets in");
        }
        server.restart(&[]);
        for (one, asked) in created.iter().zip(asked) {
            if !asked {
                server.wait_for(id(one), "Normal");
                reset(&server.client(), id(one), &wanted);
            }
            server.until("the change is done", |server| server.is_changed(id(one)));
            assert!(log_in_with(one, &wanted).is_ok() && log_in_with(one, &former).is_err());
            server.wait_for(id(one), "Normal");
        }
        for session in &mut sessions {
            let () = session.set("goes on", 1).unwrap();
        }
        former = wanted;
    }
}
