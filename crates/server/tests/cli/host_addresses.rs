//! `ourkv serve --host-addresses`, in a network namespace of its own: each test runs itself once
//! more there, with all its clients, so that no address is ever added to the machine's network.

use std::process::Command;

use crate::common::{Ourkv, PASSWORD};
use crate::own_namespace::in_own_network;

/// The addresses outside 127.0.0.0/8 that this network has.
fn added() -> Vec<String> {
    let output = Command::new("ip").args(["-o", "-4", "address", "show"]).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let all = listed.lines().map(|line| line.split_whitespace().nth(3).unwrap().to_owned());
    all.filter(|address| !address.starts_with("127.")).collect()
}

fn served_at(server: &Ourkv) -> String {
    let listed: serde_json::Value =
        serde_json::from_str(&server.cli(&["ls", "--output", "json"])).unwrap();
    listed[0]["served_at"].as_str().unwrap().to_owned()
}

/// Logs in at the address that the API returned and reads what was written.
fn ask(created: &serde_json::Value, command: &str) -> redis::Value {
    let mut connection = Ourkv::redis(created).unwrap();
    let () = redis::cmd("AUTH").arg(PASSWORD).query(&mut connection).unwrap();
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(word);
    });
    command.query(&mut connection).unwrap()
}

#[test]
fn the_address_of_a_vswitch_really_answers() {
    in_own_network("host_addresses::the_address_of_a_vswitch_really_answers", || {
        let mut server = Ourkv::start_with(&["--host-addresses"], &[]);
        let (vpc, vswitch) = server.vswitch("cn-hongkong-b", "172.16.0.0/24");
        let created = server.normal(&[
            ("NetworkType", "VPC"),
            ("VpcId", &vpc),
            ("VSwitchId", &vswitch),
            ("PrivateIpAddress", "172.16.0.10"),
        ]);
        assert_eq!(created["PrivateIpAddr"], "172.16.0.10");
        assert_eq!(served_at(&server), "172.16.0.10");
        assert_eq!(added(), ["172.16.0.10/32"]);
        ask(&created, "SET kept yes");

        server.kill();
        assert_eq!(added(), ["172.16.0.10/32"], "engines outlive the server, with their address");
        server.cli(&["down"]);
        assert!(added().is_empty());
        server.serve();
        let id = created["InstanceId"].as_str().unwrap();
        server.wait_for(id, "Normal");
        assert_eq!(ask(&created, "GET kept"), redis::Value::BulkString(b"yes".to_vec()));

        server.client().call("DeleteInstance", &[("InstanceId", id)]).expect_ok();
        server.until("the address is off the machine", |_| added().is_empty());
    });
}

#[test]
fn without_the_setting_a_loopback_address_serves() {
    in_own_network("host_addresses::without_the_setting_a_loopback_address_serves", || {
        let server = Ourkv::start();
        let (vpc, vswitch) = server.vswitch("cn-hongkong-b", "172.16.0.0/24");
        let created =
            server.normal(&[("NetworkType", "VPC"), ("VpcId", &vpc), ("VSwitchId", &vswitch)]);
        assert_eq!(created["PrivateIpAddr"], "172.16.0.1");
        assert!(served_at(&server).starts_with("127."));
        assert!(added().is_empty());
    });
}

#[test]
fn an_address_of_the_machine_is_reported_and_left_alone() {
    in_own_network("host_addresses::an_address_of_the_machine_is_reported_and_left_alone", || {
        let veth = "ip link add veth0 type veth peer name veth1 && \
                    ip address add 172.16.0.10/24 dev veth0";
        assert!(Command::new("sh").args(["-c", veth]).status().unwrap().success());
        let server = Ourkv::start_with(&[], &[("OURKV_NETWORK_HOST_ADDRESSES", "true")]);
        let (vpc, vswitch) = server.vswitch("cn-hongkong-b", "172.16.0.0/24");
        let created = server.create(&[
            ("NetworkType", "VPC"),
            ("VpcId", &vpc),
            ("VSwitchId", &vswitch),
            ("PrivateIpAddress", "172.16.0.10"),
        ]);
        let id = created["InstanceId"].as_str().unwrap();
        let trouble = "address 172.16.0.10 is on interface veth0 of this machine";
        server.until("the reason is shown", |server| {
            server.cli(&["ls", "--output", "json"]).contains(trouble)
                || server.attributes(id).to_string().contains(trouble)
        });
        server.client().call("DeleteInstance", &[("InstanceId", id)]).expect_ok();
        server.until("it is gone", |server| server.engine_dirs().is_empty());
        assert_eq!(added(), ["172.16.0.10/24"]);
    });
}

#[test]
fn without_the_capability_it_does_not_start_and_says_what_to_do() {
    let name = "host_addresses::without_the_capability_it_does_not_start_and_says_what_to_do";
    in_own_network(name, || {
        let home = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"]);
            command.arg(env!("CARGO_BIN_EXE_ourkv")).args(arguments);
            command.arg("--data-dir").arg(home.path().join("data"));
            command.env("OURKV_NETWORK_HOST_ADDRESSES", "true").output().unwrap()
        };
        let output = run(&["serve", "--listen", "127.0.0.1:0", "--dns", "off"]);
        let talk = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{talk}");
        assert!(output.stdout.is_empty(), "it answered nobody");
        assert!(talk.contains("CAP_NET_ADMIN") && talk.contains("turn the setting off"), "{talk}");

        let findings = run(&["doctor", "--output", "json"]).stdout;
        let findings: serde_json::Value = serde_json::from_slice(&findings).unwrap();
        let found = findings.as_array().unwrap().iter().find(|f| f["check"] == "host addresses");
        assert_eq!(found.unwrap()["state"], "problem", "{findings:#}");
    });
}
