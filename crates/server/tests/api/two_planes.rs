//! Two control planes on one PostgreSQL: each acts for its own machine only, and of two for one
//! machine the one that claimed it last. Who slept meanwhile finds that out and ends, wherever it
//! fell asleep: no engine is started, ended or given another role by it, and nothing is charged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ourkv_store::testing::TemporaryPostgres;
use redis::Commands;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Ourkv, PASSWORD};
use crate::failover::{events, until_followed, write_again, write_to_both};
use crate::postgres::beside;
use crate::tenant::{engines, id, login};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: [(&str, &str); 2] =
    [("InstanceClass", "redis.master.small.default"), ("EngineVersion", "4.0")];

/// A machine, and the control planes that claimed it, one after the other. They stay until the end:
/// whoever drops one ends the engines, too.
struct Machine {
    url: String,
    planes: Vec<Ourkv>,
    /// Since when the one before the last one sleeps.
    asleep: Instant,
}

/// Who sleeps for less is not replaced meanwhile, but in a test.
const SLEEP: Duration = Duration::from_secs(1);

impl Machine {
    fn start() -> Self {
        let url = TemporaryPostgres::shared().url();
        let first = Ourkv::start_with(&[], &[("OURKV_DATABASE", &url)]);
        Self { url, planes: vec![first], asleep: Instant::now() }
    }

    /// The one that acts.
    fn plane(&self) -> &Ourkv {
        self.planes.last().unwrap()
    }

    /// Stops the one that acts, and has another one take the machine over.
    fn fall_asleep(&mut self) {
        self.plane().signal(Signal::STOP);
        self.asleep = Instant::now();
        let mut next = self.plane().twin(&[("OURKV_DATABASE", &self.url)]);
        // Who fell asleep in the middle of a transaction holds its claim until PostgreSQL has
        // enough of that.
        next.serve();
        self.planes.push(next);
    }

    /// Wakes the one that slept, and waits for its end.
    fn wake_up(&mut self) {
        std::thread::sleep(SLEEP.saturating_sub(self.asleep.elapsed()));
        let sleeper = self.planes.len() - 2;
        let sleeper = &mut self.planes[sleeper];
        sleeper.signal(Signal::CONT);
        sleeper.until_it_ends();
        let log = sleeper.log();
        assert!(log.contains("another control plane has taken this machine over"), "{log}");
    }

    fn engines(&self) -> BTreeMap<String, u32> {
        engines(&self.plane().dir)
    }

    /// What is left of the root account's money.
    fn balance(&self) -> String {
        let accounts = self.plane().cli(&["account", "ls", "--output", "json"]);
        let accounts: Value = serde_json::from_str(&accounts).unwrap();
        accounts[0]["balance"].as_str().unwrap().to_owned()
    }

    /// How many instances the account has.
    fn count(&self) -> usize {
        let listed = self.plane().client().call("DescribeInstances", &[]).expect_ok();
        listed["Instances"]["KVStoreInstance"].as_array().unwrap().len()
    }
}

fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).unwrap();
}

/// The engine that holds the address.
fn master(plane: &Ourkv, pair: &Value) -> Pid {
    let info: String = redis::cmd("INFO").arg("server").query(&mut login(pair)).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap();
    let pid: u32 = line.trim().parse().unwrap();
    assert!(engines(&plane.dir).values().any(|one| *one == pid));
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

#[test]
fn who_slept_while_another_took_the_machine_over_acts_no_more() {
    let mut machine = Machine::start();
    let single = machine.plane().normal(&[STANDALONE]);
    let pair = machine.plane().normal(&PAIR);
    write_to_both(&mut login(&pair), "before");
    let mut tenant = login(&single);
    let () = tenant.set("kept", "yes").unwrap();
    let before = machine.engines();

    machine.fall_asleep();
    for created in [&single, &pair] {
        machine.plane().wait_for(id(created), "Normal");
    }
    assert_eq!(machine.engines(), before, "they are adopted");
    // The sleeper knows nothing of what follows.
    kill(master(machine.plane(), &pair));
    write_again(&pair, PASSWORD, "afterwards");
    until_followed(machine.plane(), &pair);
    machine.plane().wait_for(id(&pair), "Normal");
    machine.plane().until("the journal has it", |plane| events(plane, &pair) == ["FailedOver"]);
    let doomed = machine.plane().normal(&[STANDALONE]);
    let in_advance = [STANDALONE, ("ChargeType", "PrePaid"), ("Period", "1")];
    let third = machine.plane().normal(&in_advance);
    machine.plane().client().call("DeleteInstance", &[("InstanceId", id(&doomed))]).expect_ok();
    machine.plane().until("it is gone", |plane| plane.engine_dirs().len() == 3);
    let (before, balance) = (machine.engines(), machine.balance());

    machine.wake_up();
    for created in [&single, &pair, &third] {
        machine.plane().wait_for(id(created), "Normal");
    }
    assert_eq!((machine.engines(), machine.balance()), (before, balance));
    assert_eq!(events(machine.plane(), &pair), ["FailedOver"]);
    assert_eq!(tenant.get::<_, String>("kept").unwrap(), "yes", "on a connection from before");
    let keys: Vec<Option<String>> = login(&pair).mget(&["before", "afterwards"]).unwrap();
    assert!(keys.iter().all(Option::is_some), "{keys:?}");
    assert_eq!((machine.count(), machine.plane().engine_dirs().len()), (3, 3));
}

#[test]
fn nobody_acts_for_the_machine_of_another() {
    let machine = Machine::start();
    let env = [("OURKV_DATABASE", machine.url.as_str())];
    let (here, there) = (machine.plane(), beside(machine.plane(), &env));
    let pair = here.normal(&PAIR);
    here.signal(Signal::STOP);
    kill(master(here, &pair));
    // Whatever the other one would do about it, it does before or while it serves these.
    let own = [there.normal(&[STANDALONE]), there.normal(&[STANDALONE])];
    assert_eq!((machine.engines().len(), there.engine_dirs().len()), (1, own.len()));
    there.client().call("DeleteInstance", &[("InstanceId", id(&pair))]).expect_ok();
    there.client().call("DeleteInstance", &[("InstanceId", id(&own[0]))]).expect_ok();
    there.until("its own is gone", |there| there.engine_dirs().len() == 1);
    assert_eq!(machine.engines().len(), 1, "it is wanted away, by the one that sleeps");
    here.signal(Signal::CONT);
    here.until("it is gone", |here| here.engine_dirs().is_empty());
    there.wait_for(id(&own[1]), "Normal");
}

/// Sleeps that begin at a step.
#[cfg(feature = "failpoints")]
mod in_the_middle {
    use rstest::rstest;

    use super::*;
    use crate::failpoints::{points_of_lives, points_of_roles};

    /// How long a step takes at which the control plane falls asleep, and when it does.
    const STEP: &str = "1*sleep(1200)->off";
    const REACHED: Duration = Duration::from_millis(300);

    impl Machine {
        /// Has the one that acts be slow at a step from now on.
        fn linger_at(&mut self, point: &str) {
            let env =
                [("OURKV_DATABASE", self.url.clone()), ("FAILPOINTS", format!("{point}={STEP}"))];
            let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.planes.last_mut().unwrap().restart(&env);
        }
    }

    /// Those of some steps.
    fn among(points: Vec<String>, steps: &[&str]) -> Vec<String> {
        let chosen = |point: &String| steps.iter().any(|step| point.starts_with(step));
        let points: Vec<_> = points.into_iter().filter(chosen).collect();
        assert!(points.len() >= 2 * steps.len(), "{points:?}");
        points
    }

    #[rstest]
    #[case(false, &["fence", "elect", "take_over", "declare", "promote"])]
    #[case(true, &["halt", "take_over", "declare", "demote", "promote"])]
    fn of_a_change_of_masters(#[case] planned: bool, #[case] steps: &[&str]) {
        let mut machine = Machine::start();
        let pair = machine.plane().normal(&PAIR);
        for (round, point) in among(points_of_roles(), steps).iter().enumerate() {
            let key = format!("round-{round}");
            write_to_both(&mut login(&pair), &key);
            machine.linger_at(point);
            machine.plane().wait_for(id(&pair), "Normal");
            if planned {
                let params = [("InstanceId", id(&pair))];
                machine.plane().client().call("SwitchInstanceHA", &params).expect_ok();
            } else {
                kill(master(machine.plane(), &pair));
            }
            std::thread::sleep(REACHED);
            machine.fall_asleep();
            drop(write_again(&pair, PASSWORD, "afterwards"));
            until_followed(machine.plane(), &pair);
            machine.plane().wait_for(id(&pair), "Normal");
            let (before, told) = (machine.engines(), events(machine.plane(), &pair));
            let last = master(machine.plane(), &pair);
            machine.wake_up();
            until_followed(machine.plane(), &pair);
            machine.plane().wait_for(id(&pair), "Normal");
            assert_eq!(master(machine.plane(), &pair), last, "{point}");
            assert_eq!(machine.engines(), before, "{point}");
            assert_eq!(events(machine.plane(), &pair), told, "{point}");
            let kept: String = login(&pair).get(&key).unwrap();
            assert_eq!(kept, key, "{point}");
        }
    }

    #[test]
    fn of_a_creation() {
        let mut machine = Machine::start();
        let steps = ["prepare", "start_first", "start_second", "link", "login", "record_normal"];
        for point in among(points_of_lives(), &steps) {
            machine.linger_at(&point);
            let pair = machine.plane().create(&PAIR);
            std::thread::sleep(REACHED);
            machine.fall_asleep();
            machine.plane().wait_for(id(&pair), "Normal");
            write_to_both(&mut login(&pair), "kept");
            let before = machine.engines();
            machine.wake_up();
            machine.plane().wait_for(id(&pair), "Normal");
            until_followed(machine.plane(), &pair);
            assert_eq!(machine.engines(), before, "{point}");
            assert_eq!(login(&pair).get::<_, String>("kept").unwrap(), "kept", "{point}");
            delete(&machine, &pair);
            machine.plane().until(&point, |plane| plane.engine_dirs().is_empty());
        }
    }

    fn delete(machine: &Machine, created: &Value) {
        let params = [("InstanceId", id(created))];
        machine.plane().client().call("DeleteInstance", &params).expect_ok();
    }

    #[test]
    fn of_a_deletion() {
        let mut machine = Machine::start();
        for point in among(points_of_lives(), &["discard_first", "remove", "forget"]) {
            let former = machine.plane().normal(&[STANDALONE]);
            machine.linger_at(&point);
            machine.plane().wait_for(id(&former), "Normal");
            delete(&machine, &former);
            std::thread::sleep(REACHED);
            machine.fall_asleep();
            machine.plane().until(&point, |plane| plane.engine_dirs().is_empty());
            // It gets an address that somebody had: the sleeper may think that it still does.
            let created = machine.plane().normal(&[STANDALONE]);
            let mut tenant = login(&created);
            let () = tenant.set("kept", "yes").unwrap();
            let before = machine.engines();
            machine.wake_up();
            machine.plane().wait_for(id(&created), "Normal");
            assert_eq!(machine.engines(), before, "{point}");
            assert_eq!(tenant.get::<_, String>("kept").unwrap(), "yes", "{point}");
            delete(&machine, &created);
            machine.plane().until(&point, |plane| plane.engine_dirs().is_empty());
        }
    }

    #[test]
    fn of_a_call_that_costs_money() {
        let mut machine = Machine::start();
        for (round, point) in ["action.before", "action.after"].iter().enumerate() {
            machine.linger_at(point);
            let (before, token) = (machine.balance(), format!("token-{round}"));
            let region = ("RegionId", "cn-hongkong");
            let paid = [("ChargeType", "PrePaid"), ("Period", "1"), ("Token", token.as_str())];
            let params = [&[region, STANDALONE, ("Password", PASSWORD)][..], &paid].concat();
            let client = machine.plane().client();
            std::thread::scope(|scope| {
                let early = scope.spawn(|| client.try_call("CreateInstance", &params));
                std::thread::sleep(REACHED);
                machine.fall_asleep();
                let made = machine.plane().client().call("CreateInstance", &params).expect_ok();
                machine.plane().wait_for(id(&made), "Normal");
                let (engines, balance) = (machine.engines(), machine.balance());
                assert_ne!(balance, before, "it is paid for");
                machine.wake_up();
                // Who waited that long may be told what came of it, or find nobody there.
                if let Ok(reply) = early.join().unwrap()
                    && reply.status == 200
                {
                    assert_eq!(reply.json()["InstanceId"], made["InstanceId"], "{point}");
                }
                assert_eq!((machine.engines(), machine.balance()), (engines, balance), "{point}");
                assert_eq!(machine.count(), round + 1, "{point}");
            });
        }
    }
}
