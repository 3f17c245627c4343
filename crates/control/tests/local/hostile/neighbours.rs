//! One tenant against another's instance, and anyone against the ways that are not for tenants.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;

use ourkv_control::engine::Engines;
use ourkv_control::substrate::{Member, Substrate, Unit};
use ourkv_domain::instance::{InstanceType, NodeType};
use procfs::process::{FDTarget, Process};

use super::super::ground::{
    ADMIN, Ground, LINK, PASSWORD, bring_up, each_redis, installed, take_down,
};
use super::verdict::lets_through;
use super::wire::Wire;
use super::witness::Witness;

const OTHER_PASSWORD: &str = "0therPassw0rd";

/// What another protocol begins with, and a command behind it.
const OTHER_PROTOCOLS: &[&[u8]] = &[
    b"PROXY TCP4 127.0.0.1 127.0.0.1 1 6379\r\nGET key\r\n",
    b"PROXY UNKNOWN\r\nGET key\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x01GET key\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET key\r\n",
    b"\x16\x03\x01\0\x05\x01\0\0\x01\0\r\nGET key\r\n",
    b"Host: x\r\nGET key\r\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_opens_one_instance_does_not_open_another() {
    let mut ground = Ground::new(151);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let own = ground.redis(NodeType::StandAlone, version);
        let mut other = ground.redis(NodeType::MasterSlave, version);
        other.secrets.password = Some(OTHER_PASSWORD.into());
        other.secrets.admin = "OtherAdmin0123456789abcdefghijkl".into();
        other.secrets.replication = "OtherLink0123456789abcdefghijklm".into();
        bring_up(&local, &own).await;
        bring_up(&local, &other).await;
        let (own_id, other_id) = (own.id.as_str(), other.id.as_str());
        let forms = [own_id, other_id].map(|id| format!("{id}:{PASSWORD}"));
        let logins: Vec<Vec<&str>> = [PASSWORD, ADMIN, LINK, &forms[0], &forms[1]]
            .into_iter()
            .map(|password| vec!["AUTH", password])
            .chain([own_id, other_id, "default"].map(|user| vec!["AUTH", user, PASSWORD]))
            .chain([("cp_admin", ADMIN), ("cp_repl", LINK)].map(|(u, p)| vec!["AUTH", u, p]))
            .collect();
        for login in logins {
            let mut wire = Wire::stranger(other.address);
            assert!(wire.ask(&login).error().is_some(), "{binary}: {login:?}");
            let answer = wire.ask(&["GET", "key"]);
            assert!(answer.error().unwrap().contains("NOAUTH"), "{binary}: {answer:?}");
        }
        local.login(&other).await.unwrap();
        take_down(&local, &own).await;
        take_down(&local, &other).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_one_way_in_and_it_asks_for_a_login() {
    let mut ground = Ground::new(152);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        let witness = Witness::of(&ground, &binary, &unit).await;
        let address = SocketAddr::from(unit.address);
        assert_eq!(listening(&ground, &unit, Member::First), BTreeSet::from([address]));
        assert_eq!(listening(&ground, &unit, Member::Second), BTreeSet::new());
        for member in unit.members() {
            let directory = ground.directory(&unit, *member);
            assert_eq!(mode(&directory), 0o700, "{binary}");
            assert_eq!(mode(&directory.join("admin.sock")), 0o600, "{binary}");
        }
        // The same address, written as one of IPv6, leads to the same login or nowhere.
        let mapped = IpAddr::V6(Ipv6Addr::from(unit.address.ip().to_ipv6_mapped().octets()));
        if let Ok(mut wire) = Wire::try_stranger((mapped, unit.address.port())) {
            let answer = wire.ask(&["GET", "key"]);
            assert!(answer.error().unwrap().contains("NOAUTH"), "{binary}: {answer:?}");
        }
        for bytes in OTHER_PROTOCOLS {
            let mut wire = Wire::stranger(unit.address);
            wire.send(bytes);
            wire.end();
            while let Some(line) = wire.line() {
                let refused = !lets_through(Some(&line)) || line.contains("Protocol error");
                assert!(refused, "{binary}: {bytes:?}: {line}");
            }
        }
        witness.finds_nothing_changed(&ground, &local, &unit).await;
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_listens_at_its_address_and_nowhere_else() {
    let mut ground = Ground::new(153);
    let local = ground.local(installed().await);
    let version = ourkv_domain::instance::EngineVersion::V2_8;
    let unit = ground.unit(InstanceType::Memcache, NodeType::StandAlone, version);
    bring_up(&local, &unit).await;
    let address = SocketAddr::from(unit.address);
    assert_eq!(listening(&ground, &unit, Member::First), BTreeSet::from([address]));
    take_down(&local, &unit).await;
}

/// Where a member's engine takes connections or datagrams.
fn listening(ground: &Ground, unit: &Unit, member: Member) -> BTreeSet<SocketAddr> {
    let process = Process::new(ground.pid(unit, member)).unwrap();
    let sockets: BTreeSet<u64> = process
        .fd()
        .unwrap()
        .filter_map(|fd| match fd.unwrap().target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    let tcp =
        procfs::net::tcp().unwrap().into_iter().chain(procfs::net::tcp6().unwrap_or_default());
    let udp =
        procfs::net::udp().unwrap().into_iter().chain(procfs::net::udp6().unwrap_or_default());
    let tcp = tcp.filter(|entry| entry.state == procfs::net::TcpState::Listen);
    tcp.map(|entry| (entry.inode, entry.local_address))
        .chain(udp.map(|entry| (entry.inode, entry.local_address)))
        .filter(|(inode, _)| sockets.contains(inode))
        .map(|(_, address)| address)
        .collect()
}

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
