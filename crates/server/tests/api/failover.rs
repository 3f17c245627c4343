//! Failover as clients see it: one address, which has a master again soon, with what was
//! acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use redis::{Commands, Connection, RedisResult};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Ourkv, PASSWORD, PATIENCE};
use crate::tenant::{content, engines, fill, id, log_in_with, login};

/// An engine of each way to take an address: by a restart, and while it runs, as the distribution's
/// does that serves 4.0.
const VERSIONS: [&str; 2] = ["5.0", "4.0"];

fn pair(server: &Ourkv, version: &str) -> Value {
    server.normal(&[("InstanceClass", "redis.master.small.default"), ("EngineVersion", version)])
}

/// The process of an instance's first or second engine.
fn engine(server: &Ourkv, which: &str) -> Pid {
    let engines = engines(&server.dir);
    let found = engines.iter().find(|(dir, _)| dir.ends_with(which));
    let (_, pid) = found.unwrap_or_else(|| panic!("no engine {which} in {engines:?}"));
    Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap()
}

fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).unwrap();
}

/// What `ourkv events` tells, oldest first.
pub(crate) fn events(server: &Ourkv, created: &Value) -> Vec<String> {
    let told = server.cli(&["events", id(created), "--output", "json"]);
    let told: Vec<Value> = serde_json::from_str(&told).unwrap();
    told.iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
}

/// Writes that the replica has, too.
pub(crate) fn write_to_both(tenant: &mut Connection, key: &str) {
    let (): () = tenant.set(key, key).unwrap();
    let copies: u32 = redis::cmd("WAIT").arg(&[1, 5000]).query(tenant).unwrap();
    assert_eq!(copies, 1, "the replica does not follow");
}

/// Waits until the replica has what is written.
pub(crate) fn until_followed(server: &Ourkv, created: &Value) {
    server.until("a replica follows", |_| {
        let copies: RedisResult<u32> = log_in_with(created, PASSWORD).and_then(|mut tenant| {
            let () = tenant.set("followed", "?")?;
            redis::cmd("WAIT").arg(&[1, 100]).query(&mut tenant)
        });
        copies.is_ok_and(|copies| copies == 1)
    });
    let () = write_again(created, PASSWORD, "followed").del("followed").unwrap();
}

/// Connects and writes again and again until it is done, as clients do.
pub(crate) fn write_again(created: &Value, password: &str, key: &str) -> Connection {
    let began = Instant::now();
    loop {
        let written: RedisResult<Connection> = log_in_with(created, password)
            .and_then(|mut tenant| tenant.set::<_, _, ()>(key, key).map(|()| tenant));
        match written {
            Ok(tenant) => return tenant,
            Err(error) => assert!(began.elapsed() < PATIENCE, "not served again: {error}"),
        }
    }
}

#[rstest]
#[case(VERSIONS[0])]
#[case(VERSIONS[1])]
fn a_killed_master_is_replaced_at_the_same_address(#[case] version: &str) {
    let server = Ourkv::start();
    let created = pair(&server, version);
    let mut tenant = login(&created);
    fill(&mut tenant, "before");
    write_to_both(&mut tenant, "last");
    let before = content(&mut tenant);
    let (first, second) = (engine(&server, "/0"), engine(&server, "/1"));
    kill(first);
    let mut tenant = write_again(&created, PASSWORD, "afterwards");
    // The engine that can took over as it was.
    assert_eq!(engine(&server, "/1") == second, version == VERSIONS[1]);
    let second = engine(&server, "/1");
    let () = tenant.del("afterwards").unwrap();
    assert_eq!(content(&mut tenant), before);
    server.wait_for(id(&created), "Normal");
    // The old master is back, and follows.
    until_followed(&server, &created);
    assert_ne!(engine(&server, "/0"), first);
    server.until("the journal has it", |server| events(server, &created) == ["FailedOver"]);
    // And once more, the other way round.
    kill(second);
    let mut tenant = write_again(&created, PASSWORD, "afterwards");
    let () = tenant.del("afterwards").unwrap();
    assert_eq!(content(&mut tenant), before);
}

#[test]
fn what_serve_was_not_there_for_is_made_up_for() {
    let mut server = Ourkv::start();
    let created = pair(&server, "4.0");
    let mut tenant = login(&created);
    write_to_both(&mut tenant, "before");
    let second = engine(&server, "/1");
    server.kill();
    kill(engine(&server, "/0"));
    server.serve();
    let mut tenant = write_again(&created, PASSWORD, "afterwards");
    assert_eq!(tenant.get::<_, String>("before").unwrap(), "before");
    server.wait_for(id(&created), "Normal");
    assert_eq!(engine(&server, "/1"), second, "no engine was touched that ran");
}

#[test]
fn a_pair_of_which_both_end_has_its_data_again() {
    let server = Ourkv::start();
    let created = pair(&server, "4.0");
    let mut tenant = login(&created);
    fill(&mut tenant, "before");
    write_to_both(&mut tenant, "last");
    let before = content(&mut tenant);
    let both = [engine(&server, "/0"), engine(&server, "/1")];
    both.into_iter().for_each(kill);
    let mut tenant = write_again(&created, PASSWORD, "afterwards");
    let () = tenant.del("afterwards").unwrap();
    assert_eq!(content(&mut tenant), before);
    server.wait_for(id(&created), "Normal");
}

#[rstest]
#[case(VERSIONS[0])]
#[case(VERSIONS[1])]
fn a_planned_switch_loses_nothing_that_was_acknowledged(#[case] version: &str) {
    let server = Ourkv::start();
    let created = pair(&server, version);
    write_to_both(&mut login(&created), "linked");
    let done = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut last, mut tenant) = (0_u64, Some(login(&created)));
            // A failure of the test leaves nobody to end it.
            let began = Instant::now();
            while !done.load(Ordering::Relaxed) && began.elapsed() < 4 * PATIENCE {
                let written = match &mut tenant {
                    Some(tenant) => tenant.set::<_, _, ()>("count", last + 1),
                    None => Ok(()),
                };
                match (written, &tenant) {
                    (Ok(()), Some(_)) => last += 1,
                    _ => tenant = log_in_with(&created, PASSWORD).ok(),
                }
            }
            last
        });
        let mut switched = 0;
        for turn in 1.. {
            let reply = server.client().call("SwitchInstanceHA", &[("InstanceId", id(&created))]);
            assert!(reply.expect_ok()["TaskId"].is_string());
            server.until("it is decided", |server| events(server, &created).len() == turn);
            server.wait_for(id(&created), "Normal");
            until_followed(&server, &created);
            // A busy machine may not get there in time, and is asked again.
            switched += usize::from(events(&server, &created)[turn - 1] == "Switched");
            if switched == 3 {
                break;
            }
            assert!(turn < 20, "never switched in time: {:?}", events(&server, &created));
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let count: u64 = login(&created).get("count").unwrap();
    // An answer may be lost, but no write that was answered.
    assert!(acknowledged > 0 && count >= acknowledged, "{count} is there of {acknowledged}");
}

/// A change of masters that the control plane begins and does not end, or ends in a moment.
#[cfg(feature = "failpoints")]
#[rstest]
fn a_change_that_is_cut_off_keeps_everything(
    #[values("return(abort)", "1*return(error)->off", "1*sleep(300)->off")] how: &str,
    #[values(true, false)] planned: bool,
) {
    let mut server = Ourkv::start();
    let mut died = 0;
    let points = crate::failpoints::points_of_roles();
    assert!(points.len() > 12, "{points:?}");
    for point in points {
        let created = pair(&server, "4.0");
        let mut tenant = login(&created);
        write_to_both(&mut tenant, "before");
        server.restart(&[("FAILPOINTS", &format!("{point}={how}"))]);
        if planned {
            let params = [("InstanceId", id(&created))];
            let _ = server.client().try_call("SwitchInstanceHA", &params);
        } else {
            kill(engine(&server, "/0"));
        }
        // Whoever aborts at a step that is not passed goes on.
        let began = Instant::now();
        while server.runs() && began.elapsed() < std::time::Duration::from_secs(1) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        died += u32::from(!server.runs());
        server.restart(&[]);
        let mut tenant = write_again(&created, PASSWORD, "afterwards");
        let kept: String = tenant.get("before").unwrap();
        assert_eq!(kept, "before", "{point}={how}");
        server.wait_for(id(&created), "Normal");
        until_followed(&server, &created);
        server.client().call("DeleteInstance", &[("InstanceId", id(&created))]).expect_ok();
        server.until("it is gone", |server| server.engine_dirs().is_empty());
    }
    // No error and no pause ends it; and a change has several steps.
    assert_eq!(died > 5, how.contains("abort"), "{died} times");
}

#[cfg(feature = "failpoints")]
#[test]
fn a_switch_is_shown_until_the_new_master_answers() {
    let mut server = Ourkv::start();
    let created = pair(&server, "4.0");
    write_to_both(&mut login(&created), "before");
    let status = |server: &Ourkv| server.attributes(id(&created))["InstanceStatus"].clone();
    // Decided and not done.
    let held = [("FAILPOINTS", "promote.before=pause")];
    server.restart(&held);
    for turn in 1.. {
        server.wait_for(id(&created), "Normal");
        server.client().call("SwitchInstanceHA", &[("InstanceId", id(&created))]).expect_ok();
        server.until("it is decided", |server| events(server, &created).len() == turn);
        // A busy machine may not get there in time, and is asked again.
        if events(&server, &created)[turn - 1] == "Switched" {
            break;
        }
        assert!(turn < 20, "never switched in time: {:?}", events(&server, &created));
    }
    assert_eq!(status(&server), "HASwitching");
    server.kill();
    server.serve();
    assert_eq!(status(&server), "HASwitching", "the next one promotes nobody yet");
    server.restart(&[]);
    server.wait_for(id(&created), "Normal");
    // At once, and not in the end.
    let kept: String = login(&created).get("before").unwrap();
    assert_eq!(kept, "before");
}

#[test]
fn the_switch_of_what_is_no_pair_is_refused_and_an_unknown_instance_is_none() {
    let server = Ourkv::start();
    let alone = server.normal(&[("InstanceClass", "redis.basic.small.default")]);
    let switch = |id: &str| server.client().call("SwitchInstanceHA", &[("InstanceId", id)]);
    assert_eq!(switch(id(&alone)).refusal().1, "IncorrectDBInstanceType");
    assert_eq!(switch("r-j6cnobody0000000").refusal().1, "InvalidInstanceId.NotFound");
    assert!(events(&server, &alone).is_empty());
}
