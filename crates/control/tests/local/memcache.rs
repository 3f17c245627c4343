//! Memcache instances on the distribution's memcached.

use ourkv_control::engine::memcached::{Answer, Client};
use ourkv_control::substrate::{Health, Member, Substrate};
use ourkv_domain::instance::{EngineVersion, InstanceType, NodeType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ground::{Ground, PASSWORD, bring_up, installed, kill, take_down};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_tenant_logs_in_and_a_stranger_does_not() {
    let mut ground = Ground::new(31);
    let local = ground.local(installed().await);
    let unit = ground.unit(InstanceType::Memcache, NodeType::MasterSlave, EngineVersion::V2_8);
    bring_up(&local, &unit).await;
    // What needs a login ends the connection.
    let mut stranger = Client::connect(unit.address).await.unwrap();
    assert_eq!(stranger.no_op().await.unwrap(), Answer::NotLoggedIn);
    assert!(stranger.no_op().await.is_err());
    for (user, password) in [(unit.id.as_str(), "wrong"), ("other", PASSWORD), ("", "")] {
        let mut stranger = Client::connect(unit.address).await.unwrap();
        let answer = stranger.log_in(user, &password.into()).await.unwrap();
        assert_eq!(answer, Answer::NotLoggedIn, "{user:?}");
    }
    let mut tenant = Client::connect(unit.address).await.unwrap();
    assert_eq!(tenant.log_in(unit.id.as_str(), &PASSWORD.into()).await.unwrap(), Answer::Ok);
    assert_eq!(tenant.no_op().await.unwrap(), Answer::Ok);
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_password_nobody_gets_in() {
    let mut ground = Ground::new(32);
    let local = ground.local(installed().await);
    let mut unit = ground.unit(InstanceType::Memcache, NodeType::StandAlone, EngineVersion::V2_8);
    unit.secrets.password = None;
    bring_up(&local, &unit).await;
    for password in ["", "x", PASSWORD] {
        let mut client = Client::connect(unit.address).await.unwrap();
        let answer = client.log_in(unit.id.as_str(), &password.into()).await.unwrap();
        assert_eq!(answer, Answer::NotLoggedIn, "{password:?}");
        assert_eq!(client.no_op().await.unwrap(), Answer::NotLoggedIn);
    }
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_protocol_and_udp_are_closed() {
    let mut ground = Ground::new(33);
    let local = ground.local(installed().await);
    let unit = ground.unit(InstanceType::Memcache, NodeType::StandAlone, EngineVersion::V2_8);
    bring_up(&local, &unit).await;
    for command in ["get a", "stats", "shutdown", "flush_all"] {
        let mut stream = tokio::net::TcpStream::connect(unit.address).await.unwrap();
        // It looks at what it reads once that is as long as a binary header.
        stream.write_all(format!("{command}\r\n").repeat(24).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // It hangs up, with or without a reset.
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(String::from_utf8_lossy(&answer), "", "{command:?}");
    }
    std::net::UdpSocket::bind(unit.address).expect("UDP is in use");
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_has_the_limits_asked_for_and_shows_no_secret() {
    let mut ground = Ground::new(34);
    let local = ground.local(installed().await);
    let unit = ground.unit(InstanceType::Memcache, NodeType::StandAlone, EngineVersion::V2_8);
    bring_up(&local, &unit).await;
    let process = procfs::process::Process::new(ground.pid(&unit, Member::First)).unwrap();
    let argv = process.cmdline().unwrap();
    let after = |flag: &str| argv.iter().skip_while(|word| *word != flag).nth(1).cloned();
    assert_eq!(after("-m").as_deref(), Some("64"));
    assert_eq!(after("-c").as_deref(), Some("54"));
    assert_eq!(after("-l"), Some(unit.address.ip().to_string()));
    assert!(!argv.join(" ").contains(PASSWORD));
    assert!(!format!("{:?}", process.environ().unwrap()).contains(PASSWORD));
    for entry in std::fs::read_dir(ground.directory(&unit, Member::First)).unwrap() {
        let entry = entry.unwrap();
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "{:?}", entry.file_name());
        let text = std::fs::read(entry.path()).unwrap();
        let holds = String::from_utf8_lossy(&text).contains(PASSWORD);
        assert!(!holds || entry.file_name() == "sasldb", "{:?}", entry.file_name());
    }
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_comes_back_and_is_adopted() {
    let mut ground = Ground::new(35);
    let local = ground.local(installed().await);
    let unit = ground.unit(InstanceType::Memcache, NodeType::StandAlone, EngineVersion::V2_8);
    bring_up(&local, &unit).await;
    let mut deaths = local.deaths();
    kill(ground.pid(&unit, Member::First));
    assert_eq!(deaths.recv().await.unwrap(), unit.id);
    bring_up(&local, &unit).await;
    let pid = ground.pid(&unit, Member::First);
    let next = ground.local(installed().await);
    let seen = next.observe(&unit).await.unwrap();
    assert_eq!(seen.running[&Member::First], Health::Answering);
    assert_eq!(ground.pid(&unit, Member::First), pid);
    take_down(&next, &unit).await;
}
