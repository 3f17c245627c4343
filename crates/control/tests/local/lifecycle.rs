//! Instances of every installed Redis: they are what was asked for, and they come back.

use ourkv_control::engine::{Binary, Engines};
use ourkv_control::substrate::local::Local;
use ourkv_control::substrate::{Health, Member, Stop, Substrate, Unit, contract};
use ourkv_domain::instance::{EngineVersion, InstanceType, NodeType};
use ourkv_domain::network::HostAddresses;
use ourkv_domain::parameter::Parameters;

use super::ground::{
    ADMIN, Ground, LINK, PASSWORD, bring_up, client, each_redis, kill, run, take_down, text,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_of_substrates() {
    let mut ground = Ground::new(1);
    let local = ground.local(super::ground::installed().await);
    for (kind, node) in [
        (InstanceType::Redis, NodeType::StandAlone),
        (InstanceType::Redis, NodeType::MasterSlave),
        (InstanceType::Memcache, NodeType::StandAlone),
        (InstanceType::Memcache, NodeType::MasterSlave),
    ] {
        let unit = ground.unit(kind, node, EngineVersion::V5_0);
        contract::holds(&local, &unit).await;
        let kill_first = || async { kill(ground.pid(&unit, Member::First)) };
        contract::a_death_is_reported(&local, &unit, kill_first).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_version_has_the_limits_and_parameters_asked_for() {
    let mut ground = Ground::new(2);
    for (binary, version) in each_redis().await {
        for node in [NodeType::StandAlone, NodeType::MasterSlave] {
            let local = ground.local(Engines::of(vec![binary.clone()]));
            let mut unit = ground.redis(node, version);
            let config = r#"{"maxmemory-policy":"allkeys-lru","notify-keyspace-events":"KEA",
                "hash-max-ziplist-entries":"99","slowlog-log-slower-than":0}"#;
            unit.parameters =
                Parameters::parse_config(config, InstanceType::Redis, version).unwrap();
            // Reads all of them back, or fails.
            bring_up(&local, &unit).await;
            has_the_limits(&unit, &binary).await;
            take_down(&local, &unit).await;
        }
    }
}

async fn has_the_limits(unit: &Unit, binary: &Binary) {
    let mut tenant = client(unit, Some(PASSWORD)).await.unwrap();
    run(&mut tenant, "SELECT 255").await.unwrap();
    run(&mut tenant, "SELECT 256").await.unwrap_err();
    let memory = text(&mut tenant, "INFO memory").await;
    if binary.level() >= (4, 0) {
        assert!(memory.contains("maxmemory:67108864\r\n"), "{binary}: {memory}");
        assert!(memory.contains("maxmemory_policy:allkeys-lru"), "{binary}: {memory}");
    }
    // As many clients as were bought get in beside ourkv and the replica, and not many more.
    let mut clients = Vec::new();
    for _ in 1..unit.connections {
        clients.push(client(unit, Some(PASSWORD)).await.unwrap());
    }
    let mut more = 0;
    while let Ok(client) = client(unit, Some(PASSWORD)).await {
        clients.push(client);
        more += 1;
        assert!(more <= 4, "{binary}: no limit on clients");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_whose_connections_are_all_in_use_is_no_failing_one() {
    let mut ground = Ground::new(40);
    let local = ground.local(super::ground::installed().await);
    for kind in [InstanceType::Redis, InstanceType::Memcache] {
        let unit = ground.unit(kind, NodeType::StandAlone, EngineVersion::V4_0);
        bring_up(&local, &unit).await;
        // As many as are taken, and some that find the door closed.
        let mut held = Vec::new();
        for _ in 0..unit.connections + 10 {
            held.push(tokio::net::TcpStream::connect(unit.address).await.unwrap());
        }
        let seen = local.observe(&unit).await.unwrap();
        assert_eq!(seen.running.get(&Member::First), Some(&Health::Answering), "{kind}");
        local.login(&unit).await.unwrap();
        drop(held);
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_version_lets_its_tenant_in_by_every_documented_form() {
    let mut ground = Ground::new(3);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        let mut plain = client(&unit, None).await.unwrap();
        let error = run(&mut plain, "PING").await.unwrap_err();
        assert_eq!(error.code(), Some("NOAUTH"), "{binary}");
        run(&mut plain, "AUTH wrong").await.unwrap_err();
        run(&mut plain, &format!("AUTH {ADMIN}")).await.unwrap_err();
        run(&mut plain, &format!("AUTH {PASSWORD}")).await.unwrap();
        let with_user = run(&mut plain, &format!("AUTH {} {PASSWORD}", unit.id)).await;
        let joined = run(&mut plain, &format!("AUTH {}:{PASSWORD}", unit.id)).await;
        let expected = binary.has_acl();
        assert_eq!((with_user.is_ok(), joined.is_ok()), (expected, expected), "{binary}");
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_password_nobody_gets_into_any_version() {
    let mut ground = Ground::new(4);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let mut unit = ground.redis(NodeType::MasterSlave, version);
        unit.secrets.password = None;
        bring_up(&local, &unit).await;
        let mut stranger = client(&unit, None).await.unwrap();
        run(&mut stranger, "PING").await.unwrap_err();
        for attempt in ["AUTH ", "AUTH default ", "AUTH x", "AUTH default x", "AUTH default nopass"]
        {
            run(&mut stranger, attempt).await.unwrap_err();
            run(&mut stranger, "PING").await.unwrap_err();
        }
        run(&mut stranger, &format!("AUTH {} x", unit.id)).await.unwrap_err();
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_of_each_version_replicates_and_has_its_data_back_after_a_death() {
    let mut ground = Ground::new(5);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
        run(&mut tenant, "SET key value").await.unwrap();
        let acknowledged: i64 =
            redis::from_redis_value(wait_for_replica(&mut tenant, &binary).await).unwrap();
        assert_eq!(acknowledged, 1, "{binary}");
        appends_to_a_file(&ground, &unit);

        let mut deaths = local.deaths();
        kill(ground.pid(&unit, Member::First));
        assert_eq!(deaths.recv().await.unwrap(), unit.id);
        local.start(&unit, Member::First).await.unwrap();
        local.link(&unit).await.unwrap();
        let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
        assert_eq!(text(&mut tenant, "GET key").await, "value", "{binary}");

        // Told to keep it, it is there after a stop of both as well.
        run(&mut tenant, "SET key newer").await.unwrap();
        for member in unit.members() {
            local.stop(&unit, *member, Stop::Keep).await.unwrap();
        }
        bring_up(&local, &unit).await;
        let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
        assert_eq!(text(&mut tenant, "GET key").await, "newer", "{binary}");
        take_down(&local, &unit).await;
    }
}

async fn wait_for_replica(
    tenant: &mut redis::aio::MultiplexedConnection,
    binary: &Binary,
) -> redis::Value {
    if binary.level() >= (3, 0) {
        run(tenant, "WAIT 1 20000").await.unwrap()
    } else {
        redis::Value::Int(1)
    }
}

/// Appended commands are written to the file before the answer, so a killed engine loses none.
fn appends_to_a_file(ground: &Ground, unit: &Unit) {
    let directory = ground.directory(unit, Member::First);
    let names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().starts_with("append")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standalone_of_each_version_comes_back_on_its_address() {
    let mut ground = Ground::new(6);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        let mut deaths = local.deaths();
        kill(ground.pid(&unit, Member::First));
        assert_eq!(deaths.recv().await.unwrap(), unit.id);
        assert!(local.observe(&unit).await.unwrap().running.is_empty());
        bring_up(&local, &unit).await;
        take_down(&local, &unit).await;
        assert!(deaths.try_recv().is_err(), "an engine that was stopped counts as dead");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_visible_from_outside() {
    let mut ground = Ground::new(7);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        for member in [Member::First, Member::Second] {
            let process = procfs::process::Process::new(ground.pid(&unit, member)).unwrap();
            let argv = process.cmdline().unwrap().join(" ");
            let environment = format!("{:?}", process.environ().unwrap());
            let mut exposed = vec![argv, environment];
            for entry in walk(&ground.directory(&unit, member)) {
                exposed.push(String::from_utf8_lossy(&std::fs::read(entry).unwrap()).into_owned());
            }
            for secret in [PASSWORD, ADMIN, LINK] {
                assert!(exposed.iter().all(|text| !text.contains(secret)), "{binary}: {secret}");
            }
        }
        take_down(&local, &unit).await;
    }
}

/// The regular files below a directory.
fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else if path.is_file() {
            files.push(path);
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_keeps_the_version_it_first_ran_on() {
    let mut ground = Ground::new(8);
    let mut all = each_redis().await;
    let (newest, _) = all.pop().unwrap();
    let Some((older, _)) = all.pop() else {
        panic!("only one Redis is installed; `make test` fetches more")
    };
    let unit = ground.redis(NodeType::StandAlone, EngineVersion::V2_8);
    let local = ground.local(Engines::of(vec![newest.clone()]));
    bring_up(&local, &unit).await;
    local.stop(&unit, Member::First, Stop::Keep).await.unwrap();

    let both = ground.local(Engines::of(vec![newest.clone(), older.clone()]));
    bring_up(&both, &unit).await;
    let mut tenant = client(&unit, Some(PASSWORD)).await.unwrap();
    let (major, minor, patch) = newest.version;
    let server = text(&mut tenant, "INFO server").await;
    assert!(server.contains(&format!("redis_version:{major}.{minor}.{patch}")), "{server}");
    both.stop(&unit, Member::First, Stop::Keep).await.unwrap();

    let only_older = ground.local(Engines::of(vec![older]));
    let refused = only_older.start(&unit, Member::First).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("{major}.{minor}.{patch}")), "{refused}");
    take_down(&only_older, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_data_directory_is_no_obstacle() {
    let mut ground = Ground::new(9);
    let long = ground.data.path().join("d".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let binary = super::ground::usual_redis().await;
    let local = Local::new(&long, Engines::of(vec![binary]), HostAddresses::LoopbackOnly).unwrap();
    let unit = ground.redis(NodeType::MasterSlave, EngineVersion::V5_0);
    bring_up(&local, &unit).await;
    let seen = local.observe(&unit).await.unwrap();
    assert_eq!(seen.running[&Member::Second], Health::Linked);
    take_down(&local, &unit).await;
}
