use std::net::SocketAddrV4;
use std::path::PathBuf;

use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{EngineVersion, InstanceType, Secrets};
use ourkv_domain::parameter::Parameters;
use rstest::rstest;

use super::*;
use crate::engine::{Kind, Version};
use crate::substrate::Lead;

fn unit(node_type: NodeType) -> Unit {
    Unit {
        id: InstanceId::parse("r-bp1zxszhcgatnx").unwrap(),
        nonce: "nonce".into(),
        instance_type: InstanceType::Redis,
        node_type,
        version: EngineVersion::V2_8,
        capacity_mb: 1024,
        connections: 10_000,
        address: SocketAddrV4::new([127, 9, 8, 7].into(), 6379),
        parameters: Parameters::defaults(InstanceType::Redis, EngineVersion::V2_8),
        secrets: Secrets {
            password: Some("Passw0rd!".into()),
            admin: "admin".into(),
            replication: "link".into(),
            change: None,
        },
        lead: Lead::default(),
    }
}

fn binary(version: Version) -> Binary {
    Binary { path: PathBuf::new(), kind: Kind::Redis, version, from_distribution: true }
}

fn lines(unit: &Unit, member: Member, version: Version) -> Vec<String> {
    let text = text(unit, member, &binary(version)).unwrap();
    text.expose().lines().map(str::to_owned).collect()
}

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|l| l == line)
}

#[test]
fn a_master_listens_on_the_instances_address_and_a_replica_nowhere() {
    let unit = unit(NodeType::MasterSlave);
    let master = lines(&unit, Member::First, (7, 0, 15));
    assert!(has(&master, "bind 127.9.8.7") && has(&master, "port 6379"));
    assert!(!master.iter().any(|line| line.starts_with("replicaof")));
    let replica = lines(&unit, Member::Second, (7, 0, 15));
    assert!(has(&replica, "port 0") && has(&replica, "replicaof 127.9.8.7 6379"));
}

#[test]
fn a_replica_follows_from_the_instances_own_address() {
    let unit = unit(NodeType::MasterSlave);
    for (version, setting) in
        [((2, 8, 17), "bind"), ((6, 2, 14), "bind"), ((7, 0, 15), "bind-source-addr")]
    {
        let replica = lines(&unit, Member::Second, version);
        assert!(has(&replica, &format!("{setting} 127.9.8.7")), "{version:?}");
    }
}

#[test]
fn either_engine_can_be_the_one_at_the_address() {
    let mut unit = unit(NodeType::MasterSlave);
    unit.lead = unit.lead.passed_to(Member::Second);
    for version in [(2, 8, 17), (5, 0, 7), (6, 2, 14), (7, 0, 15)] {
        let master = lines(&unit, Member::Second, version);
        assert!(has(&master, "bind 127.9.8.7") && has(&master, "port 6379"));
        assert!(!master.iter().any(|line| line.contains("of 127.9.8.7")));
        let replica = lines(&unit, Member::First, version);
        assert!(has(&replica, "port 0"));
        assert!(replica.iter().any(|line| line.ends_with("of 127.9.8.7 6379")));
    }
}

#[test]
fn limits_follow_the_class() {
    let lines = lines(&unit(NodeType::StandAlone), Member::First, (7, 0, 15));
    assert!(has(&lines, "maxmemory 1073741824"));
    assert!(has(&lines, "maxclients 10004"));
    assert!(has(&lines, "databases 256"));
}

#[test]
fn clients_that_do_not_read_have_a_limit_on_each_version() {
    for (version, all) in [((2, 8, 17), false), ((6, 2, 14), false), ((7, 0, 15), true)] {
        let lines = lines(&unit(NodeType::StandAlone), Member::First, version);
        assert!(has(&lines, "client-output-buffer-limit normal 1073741824 0 0"), "{version:?}");
        assert!(has(&lines, "client-output-buffer-limit pubsub 33554432 8388608 60"));
        assert_eq!(has(&lines, "maxmemory-clients 1073741824"), all, "{version:?}");
    }
}

#[test]
fn a_standalone_keeps_nothing_and_a_pair_its_data() {
    let standalone = lines(&unit(NodeType::StandAlone), Member::First, (7, 0, 15));
    assert!(has(&standalone, "appendonly no"));
    let mut pair = unit(NodeType::MasterSlave);
    let lines_of_pair = lines(&pair, Member::Second, (7, 0, 15));
    assert!(has(&lines_of_pair, "appendonly yes") && has(&lines_of_pair, "appendfsync everysec"));
    pair.parameters = pair.parameters.merged(r#"{"appendonly":"no"}"#).unwrap();
    assert!(has(&lines(&pair, Member::First, (7, 0, 15)), "appendonly no"));
}

#[test]
fn the_clock_is_slow_unless_the_owner_set_it_or_an_old_pair_needs_it() {
    let hz = |unit: &Unit, version| {
        let lines = lines(unit, Member::First, version);
        lines.into_iter().filter(|line| line.starts_with("hz ")).collect::<Vec<_>>()
    };
    assert_eq!(hz(&unit(NodeType::StandAlone), (2, 8, 17)), ["hz 1"]);
    assert_eq!(hz(&unit(NodeType::MasterSlave), (7, 0, 15)), ["hz 1"]);
    assert_eq!(hz(&unit(NodeType::MasterSlave), (5, 0, 7)), ["hz 10"]);
    let mut faster = unit(NodeType::StandAlone);
    faster.version = EngineVersion::V5_0;
    faster.parameters =
        Parameters::parse_config(r#"{"hz":50}"#, InstanceType::Redis, faster.version).unwrap();
    assert_eq!(hz(&faster, (7, 0, 15)), ["hz 50"]);
}

#[rstest]
#[case::redis_2_8((2, 8, 17))]
#[case::redis_5_0((5, 0, 7))]
#[case::redis_6_0((6, 0, 9))]
#[case::redis_7_0((7, 0, 15))]
fn without_a_password_no_login_is_open(#[case] version: Version) {
    let mut unit = unit(NodeType::StandAlone);
    unit.secrets.password = None;
    let lines = lines(&unit, Member::First, version);
    if version >= (6, 0, 0) {
        assert!(has(&lines, "user default reset off"));
        assert!(!lines.iter().any(|line| line.contains(unit.id.as_str())));
    } else {
        assert!(has(&lines, "requirepass admin"));
    }
    assert!(!lines.iter().any(|line| line.contains("nopass")));
}

#[test]
fn passwords_of_users_stand_there_only_as_hashes() {
    let text = text(&unit(NodeType::StandAlone), Member::First, &binary((7, 0, 15))).unwrap();
    assert!(!text.expose().contains("Passw0rd!"));
    assert!(text.expose().contains("user cp_admin reset on #8c6976e5b5410415bde908bd4dee15df"));
}

#[rstest]
#[case("Pass\nword")]
#[case("Pass word")]
#[case("Pass\"word")]
#[case("Pass'word")]
#[case("Pass\\word")]
#[case("Pässword")]
#[case("")]
fn a_value_that_could_break_its_line_is_refused(#[case] password: &str) {
    let mut unit = unit(NodeType::StandAlone);
    unit.secrets.password = Some(password.into());
    let refused = text(&unit, Member::First, &binary((5, 0, 7))).unwrap_err();
    assert_eq!(refused, Unwritable { setting: "requirepass" });
    let refused = text(&unit, Member::First, &binary((7, 0, 15))).unwrap_err();
    assert_eq!(refused, Unwritable { setting: "user" });
}

#[rstest]
#[case("KEA", "AKE", true)]
#[case("g$lshzxeKE", "AKE", true)]
#[case("g$lshzxeKE", "g$lshzxeKE", true)]
#[case("Ex", "xE", true)]
#[case("", "", true)]
#[case("KEA", "", false)]
#[case("Ex", "AKE", false)]
fn event_flags_are_compared_by_meaning(
    #[case] wanted: &str,
    #[case] answer: &str,
    #[case] met: bool,
) {
    assert_eq!(Setting::new("notify-keyspace-events", wanted).is_met_by(answer), met);
}

#[test]
fn limits_are_found_among_those_of_other_classes() {
    let limits = Setting::new("client-output-buffer-limit", "pubsub 3 2 1");
    assert!(limits.is_met_by("normal 0 0 0 slave 9 9 9 pubsub 3 2 1"));
    assert!(!limits.is_met_by("normal 0 0 0 slave 9 9 9 pubsub 33 2 1"));
}
