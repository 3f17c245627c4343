//! Addresses outside 127.0.0.0/8. Each test runs itself once more in a network namespace of its
//! own, where `lo` is all there is: no address is ever added to, or looked for on, the network of
//! the machine.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;

use ourkv_control::substrate::local::{Local, may_add_addresses};
use ourkv_control::substrate::{Member, Stop, Substrate, Trouble, Unit};
use ourkv_domain::instance::{EngineVersion, InstanceType, NodeType};
use ourkv_domain::network::HostAddresses;

use super::ground::{Ground, PASSWORD, bring_up, client, installed, kill, run, take_down};
use super::own_namespace;

/// Runs the test called `name` again, in a network of its own; there, runs `test`.
fn in_own_network(name: &str, test: impl Future<Output = ()>) {
    own_namespace::in_own_network(name, || {
        tokio::runtime::Runtime::new().unwrap().block_on(test);
    });
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn carried(unit: &Unit) -> Vec<String> {
    let listed = ip(&format!("-o -4 address show to {}/32", unit.address.ip()));
    listed.lines().map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect()
}

fn at(unit: Unit, ip: [u8; 4]) -> Unit {
    Unit { address: SocketAddrV4::new(Ipv4Addr::from(ip), unit.address.port()), ..unit }
}

async fn any(ground: &Ground) -> Local {
    Local::new(ground.data.path(), installed().await, HostAddresses::Any).unwrap()
}

#[test]
fn an_address_is_on_lo_while_its_engine_is_meant_to_run() {
    in_own_network("host_address::an_address_is_on_lo_while_its_engine_is_meant_to_run", async {
        assert!(may_add_addresses());
        let mut ground = Ground::new(61);
        let local = any(&ground).await;
        for (kind, node) in [
            (InstanceType::Redis, NodeType::MasterSlave),
            (InstanceType::Memcache, NodeType::StandAlone),
        ] {
            let unit = at(ground.unit(kind, node, EngineVersion::V5_0), [10, 61, 0, 1]);
            bring_up(&local, &unit).await;
            assert_eq!(carried(&unit), ["lo"]);
            local.start(&unit, Member::First).await.unwrap();
            assert_eq!(carried(&unit), ["lo"], "once");

            for member in unit.members().iter().rev() {
                local.stop(&unit, *member, Stop::Keep).await.unwrap();
            }
            assert!(carried(&unit).is_empty(), "nothing runs there");
            bring_up(&local, &unit).await;
            assert_eq!(carried(&unit), ["lo"], "back again");
            take_down(&local, &unit).await;
            assert!(carried(&unit).is_empty());
            local.remove(&unit).await.unwrap();
        }
    });
}

#[test]
fn an_address_that_went_away_comes_back() {
    in_own_network("host_address::an_address_that_went_away_comes_back", async {
        let mut ground = Ground::new(62);
        let local = any(&ground).await;
        let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
        let unit = at(unit, [10, 62, 0, 1]);
        bring_up(&local, &unit).await;
        ip("address delete 10.62.0.1/32 dev lo");
        local.login(&unit).await.unwrap();
        assert_eq!(carried(&unit), ["lo"], "under a running engine");

        // As after a reboot of the machine.
        kill(ground.pid(&unit, Member::First));
        ip("address delete 10.62.0.1/32 dev lo");
        let after = any(&ground).await;
        bring_up(&after, &unit).await;
        let mut connection = client(&unit, Some(PASSWORD)).await.unwrap();
        run(&mut connection, "PING").await.unwrap();

        kill(ground.pid(&unit, Member::First));
        take_down(&after, &unit).await;
        assert!(carried(&unit).is_empty(), "also after an engine that ended by itself");
    });
}

#[test]
fn without_being_asked_to_it_adds_nothing() {
    in_own_network("host_address::without_being_asked_to_it_adds_nothing", async {
        let mut ground = Ground::new(63);
        let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
        let unit = at(unit, [10, 63, 0, 1]);
        let asked = any(&ground).await;
        bring_up(&asked, &unit).await;
        ip("address delete 10.63.0.1/32 dev lo");
        let local = ground.local(installed().await);
        let refused = local.login(&unit).await.unwrap_err();
        assert!(matches!(refused, Trouble::AddressNotAdded { .. }), "{refused}");
        let refused = local.start(&unit, Member::First).await.unwrap_err();
        assert!(refused.to_string().contains("10.63.0.1 is not on this machine"), "{refused}");
        assert!(carried(&unit).is_empty());

        bring_up(&asked, &unit).await;
        take_down(&local, &unit).await;
        assert!(carried(&unit).is_empty(), "what was added is removed all the same");
    });
}

#[test]
fn addresses_of_others_are_left_alone() {
    in_own_network("host_address::addresses_of_others_are_left_alone", async {
        ip("link add veth0 type veth peer name veth1");
        ip("address add 10.64.0.1/24 dev veth0");
        ip("link set veth0 up");
        ip("route add default via 10.64.0.254");
        ip("address add 10.64.9.9/32 dev lo");
        let mut ground = Ground::new(64);
        let local = any(&ground).await;
        let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
        local.prepare(&unit).await.unwrap();

        let on_veth = at(unit.clone(), [10, 64, 0, 1]);
        let refused = local.start(&on_veth, Member::First).await.unwrap_err().to_string();
        assert_eq!(refused, "address 10.64.0.1 is on interface veth0 of this machine");
        local.stop(&on_veth, Member::First, Stop::Discard).await.unwrap();
        local.remove(&on_veth).await.unwrap();
        assert_eq!(carried(&on_veth), ["veth0"]);

        let gateway = at(unit.clone(), [10, 64, 0, 254]);
        let refused = local.start(&gateway, Member::First).await.unwrap_err().to_string();
        assert_eq!(refused, "address 10.64.0.254 is a gateway of this machine");
        assert!(carried(&gateway).is_empty());

        let operators = at(unit, [10, 64, 9, 9]);
        bring_up(&local, &operators).await;
        take_down(&local, &operators).await;
        assert_eq!(carried(&operators), ["lo"], "an operator put it there");
    });
}

#[test]
fn an_address_stays_while_somebody_listens_on_it() {
    in_own_network("host_address::an_address_stays_while_somebody_listens_on_it", async {
        let mut ground = Ground::new(65);
        let local = any(&ground).await;
        let unit = ground.redis(NodeType::StandAlone, EngineVersion::V5_0);
        let unit = at(unit, [10, 65, 0, 1]);
        bring_up(&local, &unit).await;
        let other = std::net::TcpListener::bind((*unit.address.ip(), 0)).unwrap();
        local.stop(&unit, Member::First, Stop::Discard).await.unwrap();
        assert_eq!(carried(&unit), ["lo"]);
        drop(other);
        local.remove(&unit).await.unwrap();
        assert!(carried(&unit).is_empty());
    });
}
