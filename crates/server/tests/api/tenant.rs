//! A tenant of an instance: logs in as its clients do, and has data of every type there.

use std::collections::BTreeMap;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::{Commands, Connection, RedisResult};
use serde_json::Value;

use crate::common::{Ourkv, PASSWORD};

/// How many keys go into one MSET.
const AT_ONCE: usize = 1000;

pub(crate) fn id(created: &Value) -> &str {
    created["InstanceId"].as_str().unwrap()
}

/// A connection that is logged in as the tenant.
pub(crate) fn login(created: &Value) -> Connection {
    log_in_with(created, PASSWORD).unwrap()
}

pub(crate) fn log_in_with(created: &Value, password: &str) -> RedisResult<Connection> {
    let mut connection = Ourkv::redis(created)?;
    let () = redis::cmd("AUTH").arg(password).query(&mut connection)?;
    Ok(connection)
}

/// Writes a key of every type, each of which tells `mark`, in two databases.
pub(crate) fn fill(tenant: &mut Connection, mark: &str) {
    for key in ["string", "list", "hash", "set", "sorted", "mortal"] {
        let () = tenant.del(key).unwrap();
    }
    let () = tenant.set("string", mark).unwrap();
    let () = tenant.set("number", 1_234_567).unwrap();
    let () = tenant.set("bytes", &[0_u8, 255, 10, 13]).unwrap();
    let () = tenant.set("long", format!("{mark} ").repeat(5000)).unwrap();
    for item in ["a", "b", mark] {
        let () = tenant.rpush("list", item).unwrap();
        let () = tenant.hset("hash", item, mark).unwrap();
        let () = tenant.sadd("set", item).unwrap();
        let () = tenant.zadd("sorted", item, 1.5).unwrap();
    }
    let () = tenant.set_ex("mortal", mark, 100_000).unwrap();
    select(tenant, 1);
    let () = tenant.set("elsewhere", mark).unwrap();
    select(tenant, 0);
}

fn select(tenant: &mut Connection, database: u8) {
    let () = redis::cmd("SELECT").arg(database).query(tenant).unwrap();
}

/// Everything that the tenant finds, by database and key.
pub(crate) fn content(tenant: &mut Connection) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for database in [1, 0] {
        select(tenant, database);
        let keys: Vec<String> = tenant.scan().unwrap().map(Result::unwrap).collect();
        for key in keys {
            let held = held(tenant, &key);
            found.insert(format!("{database}/{key}"), held);
        }
    }
    found
}

/// The value of a key, whatever its type, and whether it expires.
fn held(tenant: &mut Connection, key: &str) -> String {
    let kind: String = redis::cmd("TYPE").arg(key).query(tenant).unwrap();
    let value: redis::Value = match &*kind {
        "string" => tenant.get(key).unwrap(),
        "list" => tenant.lrange(key, 0, -1).unwrap(),
        "hash" => {
            let fields: BTreeMap<String, String> = tenant.hgetall(key).unwrap();
            return format!("{fields:?}");
        }
        "set" => {
            let members: std::collections::BTreeSet<String> = tenant.smembers(key).unwrap();
            return format!("{members:?}");
        }
        "zset" => tenant.zrange_withscores(key, 0, -1).unwrap(),
        other => panic!("{key} is a {other}"),
    };
    let mortal = tenant.ttl::<_, i64>(key).unwrap() > 0;
    format!("{value:?} mortal: {mortal}")
}

/// Bytes that no engine and no cipher makes fewer.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut noise = vec![0; length];
    StdRng::seed_from_u64(7).fill(&mut noise[..]);
    noise
}

/// Writes so many keys of 100 bytes that saving them takes a while.
pub(crate) fn bulk(tenant: &mut Connection, keys: usize) {
    let value = "x".repeat(100);
    for first in (0..keys).step_by(AT_ONCE) {
        let pairs: Vec<_> =
            (first..first + AT_ONCE).map(|n| (format!("bulk:{n}"), &*value)).collect();
        let () = tenant.mset(&pairs).unwrap();
    }
}

/// The engines under a data directory, by the directory that they run in. Those that prove
/// backups are not among them.
pub(crate) fn engines(dir: &Path) -> BTreeMap<String, u32> {
    let root = dir.join("engines").canonicalize().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let home = std::fs::read_link(entry.path().join("cwd")).ok()?;
        home.starts_with(&root).then(|| (home.display().to_string(), pid))
    });
    processes.collect()
}
