//! What a tenant can and cannot run, on every installed Redis.

use ourkv_control::engine::{Binary, Engines};
use ourkv_control::substrate::{Substrate, Unit};
use ourkv_domain::instance::{InstanceType, NodeType};
use ourkv_domain::parameter::Parameters;
use redis::aio::MultiplexedConnection;

use super::ground::{ADMIN, Ground, LINK, PASSWORD, bring_up, client, each_redis, run, take_down};

/// Refused on every version. Commands that a version lacks are refused as well.
const REFUSED: &[&str] = &[
    "SHUTDOWN",
    "SHUTDOWN NOSAVE",
    "shutdown abort",
    "SAVE",
    "BGSAVE",
    "BGSAVE SCHEDULE",
    "BGREWRITEAOF",
    "LASTSAVE",
    "SLAVEOF NO ONE",
    "SLAVEOF 127.0.0.1 1",
    "REPLICAOF NO ONE",
    "MIGRATE 127.0.0.1 1 k 0 10",
    "RESTORE-ASKING k 0 x",
    "DEBUG",
    "DEBUG SLEEP 0",
    "DEBUG OBJECT key",
    "DEBUG SEGFAULT",
    "debug help",
    "MODULE",
    "MODULE LIST",
    "MODULE LOAD /tmp/x.so",
    "MODULE LOADEX /tmp/x.so",
    "MODULE UNLOAD x",
    "module help",
    "CONFIG",
    "CONFIG GET *",
    "CONFIG GET maxmemory",
    "CONFIG GET masterauth",
    "CONFIG SET maxmemory 1",
    "CONFIG SET dir /tmp",
    "CONFIG SET requirepass x",
    "CONFIG REWRITE",
    "CONFIG RESETSTAT",
    "config help",
    "CLIENT PAUSE 1",
    "CLIENT UNPAUSE",
    "CLIENT REPLY ON",
    "CLIENT KILL ID 1",
    "CLIENT KILL TYPE replica",
    "CLIENT KILL 127.0.0.1:1",
    "CLIENT NO-EVICT ON",
    "SLOWLOG RESET",
    "CLUSTER",
    "CLUSTER INFO",
    "CLUSTER NODES",
    "CLUSTER RESET",
    "ACL",
    "ACL WHOAMI",
    "ACL LIST",
    "ACL SETUSER default nopass",
    "ACL GETUSER cp_admin",
    "ACL CAT",
    "acl help",
    "FAILOVER",
    "PFDEBUG GETREG key",
    "PFSELFTEST",
];

/// Refused only where subcommands can be told apart.
const REFUSED_BY_ACL: &[&str] = &[
    "SYNC",
    "PSYNC ? -1",
    "REPLCONF listening-port 1",
    "SCRIPT DEBUG YES",
    "SCRIPT DEBUG NO",
    "SCRIPT DEBUG SYNC",
];

/// Allowed on every version that has them.
const ALLOWED: &[(&str, (u16, u16))] = &[
    ("PING", (2, 8)),
    ("ECHO x", (2, 8)),
    ("SELECT 3", (2, 8)),
    ("SELECT 0", (2, 8)),
    ("SET key v", (2, 8)),
    ("GET key", (2, 8)),
    ("KEYS *", (2, 8)),
    ("SCAN 0", (2, 8)),
    ("OBJECT ENCODING key", (2, 8)),
    ("ROLE", (2, 8)),
    ("INFO", (2, 8)),
    ("TIME", (2, 8)),
    ("COMMAND COUNT", (2, 8)),
    ("DBSIZE", (2, 8)),
    ("RPUSH list 2 1", (2, 8)),
    ("BLPOP list 1", (2, 8)),
    ("SORT list", (2, 8)),
    ("HSET hash f v", (2, 8)),
    ("HGETALL hash", (2, 8)),
    ("ZADD z 1 a", (2, 8)),
    ("SADD s a", (2, 8)),
    ("SETBIT bits 1 1", (2, 8)),
    ("PFADD hll a", (2, 8)),
    ("PFCOUNT hll", (2, 8)),
    ("PUBLISH channel message", (2, 8)),
    ("DUMP key", (2, 8)),
    ("RANDOMKEY", (2, 8)),
    ("EVAL return(1) 0", (2, 8)),
    ("SCRIPT LOAD return(1)", (2, 8)),
    ("EVALSHA 930269f31393d0be681588b6ab08dccee7d6bb67 0", (2, 8)),
    ("SCRIPT FLUSH", (2, 8)),
    ("SCRIPT EXISTS a", (2, 8)),
    ("LATENCY LATEST", (2, 8)),
    ("LATENCY RESET", (2, 8)),
    ("GEOADD geo 1 1 a", (3, 2)),
    ("WAIT 0 1", (3, 0)),
    ("MEMORY USAGE key", (4, 0)),
    ("MEMORY DOCTOR", (4, 0)),
    ("SWAPDB 1 2", (4, 0)),
    ("UNLINK key", (4, 0)),
    ("XADD stream * f v", (5, 0)),
    ("XINFO STREAM stream", (5, 0)),
    ("CLIENT LIST", (6, 0)),
    ("CLIENT ID", (6, 0)),
    ("CLIENT SETNAME me", (6, 0)),
    ("CLIENT GETNAME", (6, 0)),
    ("SLOWLOG GET", (6, 0)),
    ("SLOWLOG LEN", (6, 0)),
    ("HELLO 2", (6, 0)),
    ("COPY s s2", (6, 2)),
    ("CLIENT INFO", (6, 2)),
    ("FUNCTION LIST", (7, 0)),
    ("SORT_RO list", (7, 0)),
    ("OBJECT HELP", (6, 2)),
    ("CLIENT SETINFO LIB-NAME x", (7, 2)),
    ("FLUSHDB", (2, 8)),
    ("FLUSHALL", (2, 8)),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_disables_is_refused_and_the_rest_works() {
    let mut ground = Ground::new(21);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
        run(&mut tenant, "SET key v").await.unwrap();
        let by_acl = if binary.has_acl() { REFUSED_BY_ACL } else { &[] };
        for command in REFUSED.iter().chain(by_acl) {
            is_refused(&binary, &mut tenant, command).await;
        }
        for (command, _) in ALLOWED.iter().filter(|(_, since)| *since <= binary.level()) {
            let answer = run(&mut tenant, command).await;
            answer.unwrap_or_else(|error| panic!("{binary}: {command}: {error}"));
        }
        // After all this the link stands and the tenant gets in.
        local.link(&unit).await.unwrap();
        local.login(&unit).await.unwrap();
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_replica_nobody_can_act_as_one() {
    let mut ground = Ground::new(25);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
        for command in ["SYNC", "PSYNC ? -1", "REPLCONF listening-port 1"] {
            is_refused(&binary, &mut tenant, command).await;
        }
        take_down(&local, &unit).await;
    }
}

/// Refused as such, from Lua, and in a transaction.
async fn is_refused(binary: &Binary, tenant: &mut MultiplexedConnection, command: &str) {
    let error = run(tenant, command).await.expect_err(&format!("{binary}: {command}"));
    // Without arguments, an engine may complain about their number first.
    let bare = !command.contains(' ') && error.to_string().contains("number of arguments");
    assert!(bare || is_a_refusal(&error), "{binary}: {command}: {error}");
    let words: Vec<String> = command.split(' ').map(|word| format!("'{word}'")).collect();
    let script = format!("return redis.call({})", words.join(","));
    let mut eval = redis::cmd("EVAL");
    eval.arg(script).arg(0);
    let from_lua: redis::RedisResult<redis::Value> = eval.query_async(tenant).await;
    assert!(from_lua.is_err(), "{binary}: {command} from Lua");
    run(tenant, "MULTI").await.unwrap();
    let queued = run(tenant, command).await;
    let done = run(tenant, "EXEC").await;
    assert!(queued.is_err() && done.is_err(), "{binary}: {command} in MULTI");
}

/// Not merely a wrong number of arguments, nor a broken connection.
fn is_a_refusal(error: &redis::RedisError) -> bool {
    let text = error.to_string().to_lowercase();
    ["noperm", "unknown command", "unknown subcommand", "not allowed"]
        .iter()
        .any(|reason| text.contains(reason) || error.code() == Some("NOPERM"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_an_engine_calls_dangerous_is_left_but_what_is_listed() {
    const WANTED: &[&str] = &[
        "flushall",
        "flushdb",
        "info",
        "keys",
        "latency",
        "latency|doctor",
        "latency|graph",
        "latency|histogram",
        "latency|history",
        "latency|latest",
        "latency|reset",
        "latency|help",
        "client|list",
        "monitor",
        "restore",
        "role",
        "slowlog|get",
        "slowlog|len",
        "sort",
        "sort_ro",
        "swapdb",
        "slowlog|help",
    ];
    let mut ground = Ground::new(22);
    for (binary, version) in each_redis().await.into_iter().filter(|(b, _)| b.level() >= (7, 0)) {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        let mut admin = admin(&unit).await;
        for class in ["admin", "dangerous"] {
            let commands: Vec<String> = ask(&mut admin, &["ACL", "CAT", class]).await;
            assert!(commands.len() > 10);
            for command in commands {
                let allowed = dry_run_allows(&mut admin, &unit, &command).await;
                assert!(!allowed || WANTED.contains(&command.as_str()), "{binary}: {command}");
            }
        }
        take_down(&local, &unit).await;
    }
}

async fn admin(unit: &Unit) -> MultiplexedConnection {
    let mut admin = client(unit, None).await.unwrap();
    run(&mut admin, &format!("AUTH cp_admin {ADMIN}")).await.unwrap();
    admin
}

async fn ask<T: redis::FromRedisValue>(admin: &mut MultiplexedConnection, words: &[&str]) -> T {
    let mut request = redis::cmd(words[0]);
    request.arg(&words[1..]);
    request.query_async(admin).await.unwrap()
}

/// `ACL DRYRUN` wants a plausible number of arguments, so several are tried. Only the answer that
/// the user has no permission is a refusal.
async fn dry_run_allows(admin: &mut MultiplexedConnection, unit: &Unit, command: &str) -> bool {
    let words: Vec<&str> = command.split('|').collect();
    for extra in 0..8 {
        let mut request = redis::cmd("ACL");
        request.arg("DRYRUN").arg(unit.id.as_str()).arg(&words).arg(vec!["1"; extra]);
        match request.query_async::<String>(admin).await {
            Ok(answer) if answer == "OK" => return true,
            Ok(answer) => assert!(answer.contains("no permission"), "{command}: {answer}"),
            Err(error) => assert!(error.to_string().contains("number of arguments"), "{error}"),
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_the_owner_took_away_are_gone() {
    let mut ground = Ground::new(23);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let mut unit = ground.redis(NodeType::StandAlone, version);
        let config = r##"{"#no_loose_disabled-commands":"flushall,flushdb,keys,hgetall,eval,evalsha,script"}"##;
        unit.parameters = Parameters::parse_config(config, InstanceType::Redis, version).unwrap();
        bring_up(&local, &unit).await;
        let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
        for command in [
            "FLUSHALL",
            "FLUSHDB",
            "KEYS *",
            "HGETALL h",
            "EVAL return(1) 0",
            "EVALSHA a 0",
            "EVAL_RO return(1) 0",
            "EVALSHA_RO a 0",
            "SCRIPT LOAD return(1)",
            "SCRIPT FLUSH",
        ] {
            let error = run(&mut tenant, command).await.expect_err(command);
            assert!(is_a_refusal(&error), "{binary}: {command}: {error}");
        }
        run(&mut tenant, "SET key v").await.unwrap();
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_tenant_can_watch_shows_no_secret_of_ours() {
    let mut ground = Ground::new(24);
    for (binary, version) in each_redis().await.into_iter().filter(|(b, _)| b.has_acl()) {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let mut unit = ground.redis(NodeType::MasterSlave, version);
        let config = r#"{"slowlog-log-slower-than":0,"slowlog-max-len":10000}"#;
        unit.parameters = Parameters::parse_config(config, InstanceType::Redis, version).unwrap();
        bring_up(&local, &unit).await;
        let mut monitor = monitor(&unit).await;
        // Everything that ourkv says to an engine that runs.
        local_says_everything(&local, &unit).await;
        let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
        let mut shown = String::new();
        for command in ["SLOWLOG GET 10000", "CLIENT LIST", "INFO everything", "LATENCY DOCTOR"] {
            shown = format!("{shown}{:?}", run(&mut tenant, command).await.unwrap());
        }
        run(&mut tenant, "SET the end").await.unwrap();
        shown.push_str(&read_until(&mut monitor, "\"end\"").await);
        for secret in [ADMIN, LINK, PASSWORD] {
            assert!(!shown.contains(secret), "{binary}: {secret}");
        }
        take_down(&local, &unit).await;
    }
}

async fn local_says_everything(local: &dyn Substrate, unit: &Unit) {
    for member in unit.members() {
        local.start(unit, *member).await.unwrap();
    }
    local.observe(unit).await.unwrap();
    local.link(unit).await.unwrap();
    local.login(unit).await.unwrap();
}

async fn monitor(unit: &Unit) -> tokio::net::TcpStream {
    use tokio::io::AsyncWriteExt;
    let mut stream = tokio::net::TcpStream::connect(unit.address).await.unwrap();
    let hello = format!("AUTH {PASSWORD}\r\nMONITOR\r\n");
    stream.write_all(hello.as_bytes()).await.unwrap();
    assert!(read_until(&mut stream, "+OK\r\n+OK\r\n").await.contains("+OK"));
    stream
}

async fn read_until(stream: &mut tokio::net::TcpStream, end: &str) -> String {
    use tokio::io::AsyncReadExt;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(end) {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.unwrap();
        assert!(length > 0, "the engine hung up");
        seen.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}
