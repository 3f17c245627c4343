//! Lua: what a script can name, what it can break, and that it can do nothing to ourkv.

use std::fmt::Write as _;

use ourkv_control::engine::{Binary, Engines, Kind};
use ourkv_domain::instance::NodeType;

use super::super::ground::{Ground, bring_up, each_redis, installed, take_down};
use super::verdict::name_of;
use super::wire::{Answer, Wire};
use super::witness::Witness;

/// Names that lead out of a script, or to what scripts share.
const DOORS: &[&str] = &[
    "os",
    "os.execute",
    "os.getenv",
    "os.remove",
    "io",
    "io.open",
    "io.popen",
    "package",
    "package.loadlib",
    "require",
    "module",
    "dofile",
    "loadfile",
    "debug",
    "debug.getregistry",
    "print",
    "newproxy",
    "getfenv",
    "setfenv",
];

/// Attempts to run code, to read or to crash; each is answered by an engine that is patched.
const ATTACKS: &[&str] = &[
    "return os.execute('id')",
    "return io.open('/etc/passwd'):read('*a')",
    "return package.loadlib('libc.so.6', 'system')('id')",
    "return require('os').execute('id')",
    "return dofile('/etc/passwd')",
    "return loadfile('/proc/self/environ')",
    "return debug.getregistry()",
    // Byte code is refused, whoever made it.
    "return loadstring(string.dump(function() return 1 end))()",
    "return loadstring('\\27Lua' .. string.rep('\\0', 100))()",
    "return load(function() return nil end)()",
    // CVE-2024-31449.
    "return bit.tohex(65535, -2147483648)",
    // CVE-2025-46817.
    "return {unpack({1, 2, 3}, -2, 2147483647)}",
    "return {unpack({1}, 0, 2147483647)}",
    "return {unpack({}, -2147483648, 2147483647)}",
    // CVE-2025-46819.
    "return loadstring('return [' .. string.rep('=', 100000) .. '[x')",
    "return loadstring('return \"' .. string.rep('\\\\', 99999))",
    // CVE-2025-49844: the name of a chunk is collected while the chunk is read.
    "for i = 1, 200 do loadstring(string.rep('x=1 ', i), string.rep('n', i * 100)) \
     collectgarbage('collect') end return 1",
    "return cjson.decode(string.rep('[', 100000))",
    "local t = {} t[1] = t return cjson.encode(t)",
    "return cmsgpack.unpack(string.rep('\\129', 100000))",
    "local t = {} for i = 1, 100 do t = {t} end return cmsgpack.pack(t)",
    "return struct.pack('>I2147483647', '10')",
    "return struct.unpack('c2147483647', 'x')",
    "return struct.pack('i100000000', '1')",
    "return string.format('%99999d', 1)",
    "return string.format('%s', string.rep('x', 7000000))",
    "local function f() return f() + 1 end return f()",
    "return coroutine.wrap(function() return coroutine.wrap(function() error('x') end)() end)()",
    "return redis.setresp(9)",
    "return redis.log(redis.LOG_WARNING, string.rep('x', 100000))",
    "return redis.acl_check_cmd('CONFIG', 'GET', 'dir')",
    "return redis.sha1hex()",
    "return redis.error_reply(string.rep('x', 100000))",
    "return redis.status_reply('a\\r\\nb')",
    "return {err = 'x\\r\\n+OK'}",
    "return redis.call()",
    "return redis.call({})",
    "return redis.call('GET', {})",
];

/// Attempts to change what other scripts see.
const POISON: &[&str] = &[
    "x = 1 return 1",
    "_G.x = 1 return 1",
    "rawset(_G, 'x', 1) return 1",
    "setfenv(0, {}) return 1",
    "setmetatable(_G, nil) return 1",
    "getmetatable(_G).__index = function() return 7 end return 1",
    "getmetatable('').__index = function() return 7 end return 1",
    "redis = nil return 1",
    "redis.call = function() return 'poisoned' end return 1",
    "string.format = function() return 'poisoned' end return 1",
    "table.insert = nil return 1",
    "math.random = function() return 7 end return 1",
    "tostring = nil return 1",
    "KEYS = {'poisoned'} return 1",
    "__redis__err__handler = nil return 1",
    "setmetatable(redis, {__index = function() return 7 end}) return 1",
    "collectgarbage('stop') return 1",
];

/// What a script that is not poisoned finds.
const CLEAN: &str = "return {type(redis.call), string.format('%d', 3), tostring(rawget(_G, 'x')), \
    #ARGV, ('abc'):upper(), redis.call('PING')['ok']}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_script_can_name_is_known() {
    let mut ground = Ground::new(148);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        let mut wire = Wire::tenant(unit.address);
        let mut seen = String::new();
        for door in DOORS {
            let script = format!(
                "local there, what = pcall(function() return {door} end) \
                 return there and type(what) or 'nil'"
            );
            let what = wire.ask(&["EVAL", &script, "0"]).text();
            writeln!(seen, "{door}: {what}").unwrap();
        }
        insta::assert_snapshot!(name_of(&binary), seen);
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patched_engine_withstands_scripts() {
    let mut ground = Ground::new(149);
    let patched = patched().await;
    for (binary, version) in each_redis().await {
        if !patched.contains(&binary.path) {
            continue;
        }
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        let witness = Witness::of(&ground, &binary, &unit).await;
        for script in ATTACKS {
            let mut wire = Wire::tenant(unit.address);
            wire.say(&["EVAL", script, "0"]);
            assert!(wire.answer().is_some(), "{binary}: {script}");
        }
        for script in POISON {
            Wire::tenant(unit.address).ask(&["EVAL", script, "0"]);
            let found = Wire::tenant(unit.address).ask(&["EVAL", CLEAN, "0"]);
            let clean = ["function", "3", "nil"].map(|text| Answer::Text(text.into())).into_iter();
            let clean = clean.chain([Answer::Number(0)]);
            let clean = clean.chain(["ABC", "PONG"].map(|text| Answer::Text(text.into())));
            assert_eq!(found, Answer::Many(clean.collect()), "{binary}: {script}");
        }
        witness.finds_nothing_changed(&ground, &local, &unit).await;
        take_down(&local, &unit).await;
    }
}

/// Where scripts can break what all of them share, they break the tenant's scripts and nothing
/// else: ourkv runs none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_reaches_nobody_but_the_tenant() {
    let mut ground = Ground::new(150);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        let witness = Witness::of(&ground, &binary, &unit).await;
        let mut wire = Wire::tenant(unit.address);
        for script in POISON {
            wire.ask(&["EVAL", script, "0"]);
            may_not_read_settings(&binary, &mut wire);
            // One poison at a time: several together end an engine that is not patched.
            wire.ask(&["SCRIPT", "FLUSH"]);
        }
        assert_eq!(wire.ask(&["SET", "key", "value"]), Answer::Text(b"OK".to_vec()));
        witness.finds_nothing_changed(&ground, &local, &unit).await;
        take_down(&local, &unit).await;
    }
}

fn may_not_read_settings(binary: &Binary, wire: &mut Wire) {
    for script in
        ["return redis.call('CONFIG', 'GET', 'dir')", "return redis.pcall('ACL', 'WHOAMI')"]
    {
        let answer = wire.ask(&["EVAL", script, "0"]);
        // A poisoned interpreter may answer with what the poison made of it.
        let harmless = answer.error().is_some()
            || answer == Answer::Text(b"poisoned".to_vec())
            || answer == Answer::Number(7);
        assert!(harmless, "{binary}: {script}: {answer:?}");
    }
}

/// The programs that are free of the known escapes: those that may serve any instance.
async fn patched() -> Vec<std::path::PathBuf> {
    let installed = installed().await;
    let patched: Vec<_> = installed
        .binaries()
        .into_iter()
        .filter(|binary| binary.kind != Kind::Memcached && binary.is_patched())
        .map(|binary| binary.path.clone())
        .collect();
    assert!(!patched.is_empty());
    patched
}
