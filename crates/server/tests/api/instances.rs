//! What comes up: real engines that let their tenant in, survive, and go.

use std::os::unix::fs::PermissionsExt;

use crate::common::{Ourkv, PASSWORD};
use crate::tenant::{engines, id, login};
use redis::Commands;
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");

#[rstest]
fn a_redis_instance_lets_its_tenant_in_and_nobody_else(
    #[values(STANDALONE, PAIR)] class: (&str, &str),
) {
    let server = Ourkv::start();
    // Served by the distribution's engine, whatever older ones are installed: those below 6 know
    // the first form only.
    let created = server.normal(&[class, ("EngineVersion", "4.0")]);
    let auth = |arguments: &[&str]| -> redis::RedisResult<String> {
        redis::cmd("AUTH").arg(arguments).query(&mut Ourkv::redis(&created)?)
    };
    let combined = format!("{}:{PASSWORD}", id(&created));
    for arguments in [&[PASSWORD][..], &[&combined], &[id(&created), PASSWORD]] {
        assert_eq!(auth(arguments).unwrap(), "OK", "{arguments:?}");
    }
    for arguments in [&["wrong"][..], &[id(&created), "wrong"], &["cp_admin", PASSWORD]] {
        auth(arguments).unwrap_err();
    }
    let ping: redis::RedisResult<String> =
        redis::cmd("PING").query(&mut Ourkv::redis(&created).unwrap());
    assert!(ping.unwrap_err().to_string().contains("NOAUTH"));
    let mut tenant = login(&created);
    let () = tenant.set("key", "value").unwrap();
    assert_eq!(tenant.get::<_, String>("key").unwrap(), "value");
    let memory: String = redis::cmd("INFO").arg("memory").query(&mut tenant).unwrap();
    assert!(memory.contains(&format!("maxmemory:{}", 1024 * 1024 * 1024)), "{memory}");
    redis::cmd("CONFIG").arg(&["GET", "maxmemory"]).query::<redis::Value>(&mut tenant).unwrap_err();
}

#[test]
fn a_cache_takes_a_sasl_login_as_the_instance() {
    let server = Ourkv::start();
    let created = server.normal(&[
        ("InstanceClass", "memcache.master.small.default"),
        ("InstanceType", "Memcache"),
    ]);
    assert!(id(&created).starts_with("m-j6c"));
    assert_eq!(created["Port"], 11211);
    // The login itself is part of being `Normal`; the SDK tests use a real client.
    let address = format!("{}:11211", created["PrivateIpAddr"].as_str().unwrap());
    std::net::TcpStream::connect(address).unwrap();
}

#[test]
fn without_a_password_nobody_can_log_in() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE, ("Password", "")]);
    let mut connection = Ourkv::redis(&created).unwrap();
    let ping: redis::RedisResult<String> = redis::cmd("PING").query(&mut connection);
    assert!(ping.unwrap_err().to_string().contains("NOAUTH"));
    for password in ["", "default", id(&created)] {
        redis::cmd("AUTH").arg(password).query::<String>(&mut connection).unwrap_err();
    }
}

#[test]
fn a_config_reaches_the_engine_and_the_answers() {
    let server = Ourkv::start();
    let config = r#"{"maxmemory-policy":"allkeys-lru","hash-max-ziplist-entries":"7"}"#;
    let created = server.normal(&[STANDALONE, ("Config", config), ("EngineVersion", "4.0")]);
    let echoed: Value = serde_json::from_str(created["Config"].as_str().unwrap()).unwrap();
    assert_eq!(echoed["EvictionPolicy"], "allkeys-lru");
    assert_eq!(echoed["hash-max-ziplist-entries"], 7);
    assert_eq!(server.attributes(id(&created))["Config"], created["Config"]);
    let mut tenant = login(&created);
    let memory: String = redis::cmd("INFO").arg("memory").query(&mut tenant).unwrap();
    assert!(memory.contains("maxmemory_policy:allkeys-lru"), "{memory}");
    let fields: Vec<_> = (0..8).map(|n| (n, n)).collect();
    let () = tenant.hset_multiple("hash", &fields).unwrap();
    let encoding: String =
        redis::cmd("OBJECT").arg(&["ENCODING", "hash"]).query(&mut tenant).unwrap();
    assert_eq!(encoding, "hashtable");
}

#[test]
fn a_deleted_instance_is_gone_at_once_and_leaves_nothing() {
    let server = Ourkv::start();
    let created = server.normal(&[PAIR]);
    assert_eq!(engines(&server.dir).len(), 2);
    server.client().call("DeleteInstance", &[("InstanceId", id(&created))]).expect_ok();
    for action in ["DescribeInstanceAttribute", "DeleteInstance"] {
        server.client().call(action, &[("InstanceId", id(&created))]).expect_refusal(
            404,
            "InvalidInstanceId.NotFound",
            "The InstanceId provided does not exist in our records.",
        );
    }
    assert_eq!(server.client().call("DescribeInstances", &[]).expect_ok()["TotalCount"], 0);
    server.until("no engine, no directory", |server| {
        engines(&server.dir).is_empty() && server.engine_dirs().is_empty()
    });
    Ourkv::redis(&created).map(|_| ()).unwrap_err();
}

#[test]
fn others_can_read_nothing_that_engines_write() {
    let server = Ourkv::start();
    for class in [STANDALONE, PAIR] {
        for version in ["2.8", "4.0", "5.0"] {
            let created = server.normal(&[class, ("EngineVersion", version)]);
            let () = login(&created).set("written", 1).unwrap();
        }
    }
    let mut directories = vec![server.dir.clone()];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            // Engines rename files while they begin.
            let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
            assert_eq!(found.permissions().mode() & 0o077, 0, "{}", path.display());
            files += usize::from(found.is_file());
            directories.extend(found.is_dir().then_some(path));
        }
    }
    assert!(files > 20, "{files}");
}

#[test]
fn what_is_paid_for_in_advance_is_not_deleted() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE, ("ChargeType", "PrePaid"), ("Period", "1")]);
    let refused = server.client().call("DeleteInstance", &[("InstanceId", id(&created))]);
    assert_eq!(refused.refusal().1, "InvalidOrderCharge.NotSupport");
    server.wait_for(id(&created), "Normal");
}

#[test]
fn engines_outlive_the_control_plane_and_are_adopted() {
    let mut server = Ourkv::start();
    let created: Vec<_> = [STANDALONE, PAIR].iter().map(|class| server.normal(&[*class])).collect();
    let mut tenant = login(&created[1]);
    let () = tenant.set("kept", 1).unwrap();
    let before = engines(&server.dir);
    assert_eq!(before.len(), 3);
    server.kill();
    assert_eq!(tenant.get::<_, i64>("kept").unwrap(), 1, "the connection outlives ourkv");
    server.serve();
    for created in &created {
        server.wait_for(id(created), "Normal");
    }
    assert_eq!(engines(&server.dir), before);
    assert_eq!(tenant.get::<_, i64>("kept").unwrap(), 1);
}

#[test]
fn a_dead_engine_is_back_on_the_same_address_with_its_data() {
    let server = Ourkv::start();
    let created = server.normal(&[PAIR]);
    let () = login(&created).set("kept", 1).unwrap();
    // AOF is synced every second; what was written before the last sync must come back.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let before = engines(&server.dir);
    for pid in before.values() {
        kill(*pid);
    }
    server.until("both engines are new ones", |server| {
        let now = engines(&server.dir);
        now.len() == 2 && now.values().all(|pid| before.values().all(|old| old != pid))
    });
    server.wait_for(id(&created), "Normal");
    assert_eq!(login(&created).get::<_, i64>("kept").unwrap(), 1);
}

#[test]
fn an_engine_that_hangs_is_ended_and_started_again() {
    let server = Ourkv::start();
    let created = server.normal(&[STANDALONE]);
    let (_, pid) = engines(&server.dir).pop_first().unwrap();
    // A moment is no reason.
    signal(pid, Signal::STOP);
    std::thread::sleep(std::time::Duration::from_secs(1));
    signal(pid, Signal::CONT);
    login(&created);
    assert_eq!(engines(&server.dir).into_values().collect::<Vec<_>>(), [pid]);
    signal(pid, Signal::STOP);
    server.until("another engine runs", |server| {
        engines(&server.dir).into_values().any(|running| running != pid)
    });
    server.wait_for(id(&created), "Normal");
    login(&created);
    server.until("the journal has it", |server| {
        server.cli(&["events", id(&created)]).contains("Fenced")
    });
}

#[test]
fn an_engine_that_ended_unwatched_is_not_shown_as_normal() {
    let mut server = Ourkv::start();
    let created: Vec<_> = (0..3).map(|_| server.normal(&[STANDALONE])).collect();
    for _ in 0..5 {
        server.kill();
        engines(&server.dir).into_values().for_each(kill);
        server.serve();
        let listed = server.client().call("DescribeInstances", &[]).expect_ok();
        for instance in listed["Instances"]["KVStoreInstance"].as_array().unwrap() {
            if instance["InstanceStatus"] == "Normal" {
                let address = format!("{}:6379", instance["PrivateIp"].as_str().unwrap());
                std::net::TcpStream::connect(address).unwrap();
            }
        }
        for created in &created {
            server.wait_for(id(created), "Normal");
        }
    }
}

fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn a_stranger_on_the_address_is_reported_and_left_alone() {
    let server = Ourkv::start();
    let first = server.normal(&[STANDALONE]);
    let [a, b, c, d] =
        first["PrivateIpAddr"].as_str().unwrap().parse::<std::net::Ipv4Addr>().unwrap().octets();
    let next = format!("{a}.{b}.{c}.{}:6379", d + 1);
    let stranger = std::net::TcpListener::bind(&next).unwrap();
    let second = server.create(&[STANDALONE]);
    assert_eq!(next, format!("{}:6379", second["PrivateIpAddr"].as_str().unwrap()));
    server.until("the conflict is reported", |server| {
        let attributes = server.attributes(id(&second));
        attributes["InstanceStatus"] == "Creating"
            && attributes["StatusReason"].as_str().is_some_and(|why| why.contains("in use"))
    });
    server.normal(&[STANDALONE]);
    stranger.set_nonblocking(true).unwrap();
    let knocked = std::iter::from_fn(|| stranger.accept().ok()).map(|(mut stream, _)| {
        stream.set_nonblocking(false).unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut stream, &mut said).unwrap();
        said
    });
    assert_eq!(knocked.collect::<String>(), "", "nothing is said to a stranger");
    drop(stranger);
    server.wait_for(id(&second), "Normal");
}

#[test]
fn filters_select() {
    let server = Ourkv::start();
    let cache = [("InstanceClass", "memcache.master.small.default"), ("InstanceType", "Memcache")];
    let a = server.create(&[STANDALONE, ("InstanceName", "alpha-one")]);
    let b = server.create(&[PAIR, ("InstanceName", "alpha-two"), ("EngineVersion", "5.0")]);
    let c =
        server.create(&[cache[0], cache[1], ("InstanceName", "beta"), ("RegionId", "cn-hangzhou")]);
    let list = |filter: &[(&str, &str)]| -> Vec<String> {
        let answer = server.client().call("DescribeInstances", filter).expect_ok();
        let instances = answer["Instances"]["KVStoreInstance"].as_array().unwrap();
        let mut names: Vec<_> = instances
            .iter()
            .map(|instance| instance["InstanceName"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    for (filter, expected) in [
        (&[][..], &["alpha-one", "alpha-two", "beta"][..]),
        (&[("RegionId", "cn-hangzhou")], &["beta"]),
        (&[("InstanceIds", &*format!("{},{}", id(&a), id(&c)))], &["alpha-one", "beta"]),
        (&[("SearchKey", "alpha")], &["alpha-one", "alpha-two"]),
        (&[("SearchKey", "%")], &[]),
        (&[("SearchKey", id(&b))], &["alpha-two"]),
        (&[("InstanceType", "Memcache")], &["beta"]),
        (&[("EngineVersion", "5.0")], &["alpha-two"]),
        (&[("NodeType", "single")], &["alpha-one"]),
        (&[("ChargeType", "PrePaid")], &[]),
        (&[("NetworkType", "CLASSIC"), ("InstanceClass", STANDALONE.1)], &["alpha-one"]),
        (&[("ArchitectureType", "cluster")], &[]),
        (&[("EditionType", "Enterprise")], &[]),
        (&[("PrivateIp", b["PrivateIpAddr"].as_str().unwrap())], &["alpha-two"]),
        (&[("ZoneId", "cn-hongkong-b")], &["alpha-one", "alpha-two"]),
        (&[("Expired", "false")], &["alpha-one", "alpha-two", "beta"]),
        (&[("Expired", "true")], &[]),
        (&[("RegionId", "cn-hangzhou"), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")], &[]),
        (&[("ResourceGroupId", "rg-acfmzygvt54kiry")], &[]),
        (&[("GlobalInstance", "true")], &[]),
        (&[("GlobalInstance", "false"), ("RegionId", "cn-hangzhou"), ("Tag.1.Key", "")], &["beta"]),
    ] {
        assert_eq!(list(filter), expected, "{filter:?}");
    }
}

#[test]
fn pages_divide() {
    let server = Ourkv::start();
    for _ in 0..3 {
        server.create(&[STANDALONE]);
    }
    let second = [("PageSize", "2"), ("PageNumber", "2")];
    let page = server.client().call("DescribeInstances", &second).expect_ok();
    for (key, value) in [("PageNumber", 2), ("PageSize", 2), ("TotalCount", 3)] {
        assert_eq!(page[key], value, "{key}");
    }
    assert_eq!(page["Instances"]["KVStoreInstance"].as_array().unwrap().len(), 1);
}

#[test]
fn filters_are_checked() {
    let server = Ourkv::start();
    for (name, value, code) in [
        ("InstanceIds", &*["r-a"; 31].join(","), "InvalidInstanceIds.Malformed"),
        ("PageSize", "51", "InvalidPageSize.Malformed"),
        ("PageNumber", "0", "InvalidPageNumber.Malformed"),
        ("InstanceStatus", "Dancing", "InvalidInstanceStatus.Malformed"),
        ("GlobalInstance", "maybe", "InvalidGlobalInstance.Malformed"),
        ("Tag.0.Key", "k", "InvalidTag.Malformed"),
        ("Tag.1.Key", "k", "MissingParameter"),
    ] {
        let refused = server.client().call("DescribeInstances", &[(name, value)]);
        assert_eq!(refused.refusal().1, code);
    }
}

#[test]
fn regions_and_zones_have_the_documented_shape() {
    let server = Ourkv::start();
    let regions =
        server.client().call("DescribeRegions", &[("AcceptLanguage", "en-US")]).expect_ok();
    let regions = regions["RegionIds"]["KVStoreRegion"].as_array().unwrap();
    let hongkong = regions.iter().find(|region| region["RegionId"] == "cn-hongkong").unwrap();
    assert_eq!(hongkong["LocalName"], "China (Hong Kong)");
    assert_eq!(hongkong["ZoneIds"], "cn-hongkong-b,cn-hongkong-c");
    assert_eq!(hongkong["ZoneIdList"]["ZoneId"][0], "cn-hongkong-b");
    let zones = server.client().call("DescribeZones", &[("RegionId", "cn-hongkong")]).expect_ok();
    let zone = &zones["Zones"]["KVStoreZone"][0];
    assert_eq!((&zone["ZoneId"], &zone["IsRds"]), (&"cn-hongkong-b".into(), &true.into()));
    server.client().call("DescribeZones", &[("RegionId", "nowhere")]).expect_refusal(
        404,
        "InvalidRegion.NotFound",
        "The specified region does not exist.",
    );
}
