//! Every refusal that an action declares, each reached through a real state that an operator
//! sets with `ourkv`; and none that is not declared.

use std::collections::BTreeSet;

use ourkv::actions::ACTIONS;

use crate::common::{Ourkv, with};
use crate::shelf::text;

/// No instance ever comes up, so that one is to be had that is still being created.
const HELD: (&str, &str) = ("FAILPOINTS", "prepare.before=pause");

/// No backup is begun, so that one is to be had that waits.
const QUEUED: (&str, &str) = ("FAILPOINTS", "backup_begin.before=pause");

/// No restore gets on, so that an instance is to be had that is being restored.
const RESTORING: (&str, &str) = ("FAILPOINTS", "fetch.before=pause");

/// Two backups by hand.
const FEW: (&str, &str) = ("OURKV_BACKUP_PER_DAY", "2");

const STANDALONE: &[(&str, &str)] = &[("InstanceClass", "redis.basic.small.default")];

const CREATE: &str = "CreateInstance";

/// What was answered: action, status, code and message.
type Answered = BTreeSet<(String, u16, String, String)>;

/// Asks, and keeps the refusals.
struct Asker {
    server: Ourkv,
    answered: Answered,
}

impl Asker {
    /// Asks for an action that must be refused.
    #[track_caller]
    fn refused(&mut self, action: &str, params: &[(&str, &str)]) {
        let (status, code, message) = self.server.client().call(action, params).refusal();
        assert_ne!(status, 200, "{action} {params:?} was not refused");
        self.answered.insert((action.to_owned(), status, code, message));
    }

    /// Asks for an instance that must be refused.
    #[track_caller]
    fn no_instance(&mut self, more: &[(&str, &str)]) {
        let base = [("RegionId", "cn-hongkong"), ("InstanceClass", "redis.basic.small.default")];
        self.refused(CREATE, &with(&base, more));
    }

    /// Has an operator change a state, asks, and changes it back.
    #[track_caller]
    fn no_instance_while(&mut self, set: &str, unset: &str, more: &[(&str, &str)]) {
        self.operator(set);
        self.no_instance(more);
        self.operator(unset);
    }

    /// Asks for something about an instance that must be refused.
    #[track_caller]
    fn refused_of(&mut self, action: &str, instance: &str, more: &[(&str, &str)]) {
        self.refused(action, &[&[("InstanceId", instance)], more].concat());
    }

    fn operator(&self, command: &str) {
        self.server.cli(&command.split(' ').collect::<Vec<_>>());
    }
}

#[test]
fn every_declared_refusal_is_reached_and_no_other() {
    let mut asker = Asker { server: Ourkv::start_with(&[], &[HELD]), answered: Answered::new() };
    malformed(&mut asker);
    unknown(&mut asker);
    states_of_the_account(&mut asker);
    networks(&mut asker);
    let listed = asker.server.client().call("DescribeInstances", &[]).expect_ok();
    assert_eq!(listed["TotalCount"], 0, "a refused call creates nothing");
    with_instances(&mut asker);
    of_whitelists(&mut asker);
    of_form_on_backups(&mut asker);
    with_backups(&mut asker);

    let mut common = common_refusals();
    let declared: Answered = ACTIONS
        .iter()
        .map(|action| action.descriptor())
        .flat_map(|action| {
            let faults = action.faults.iter().copied().flatten();
            faults.map(|fault| {
                let (code, message) = (fault.code.to_string(), fault.message.to_string());
                (action.name.to_owned(), fault.status, code, message)
            })
        })
        .collect();
    let missing: Vec<_> = declared.difference(&asker.answered).collect();
    assert!(missing.is_empty(), "declared and never answered: {missing:#?}");
    common.extend(declared);
    let undeclared: Vec<_> = asker.answered.difference(&common).collect();
    assert!(undeclared.is_empty(), "answered and not declared: {undeclared:#?}");
}

/// Refusals of form that every parameter has, which no action declares for itself.
fn common_refusals() -> Answered {
    let missing = [
        "RegionId",
        "VpcId",
        "VSwitchId",
        "AutoRenewPeriod",
        "BackupId",
        "InstanceId",
        "StartTime",
        "EndTime",
        "AccountName",
        "AccountPassword",
        "PreferredBackupTime",
        "PreferredBackupPeriod",
        "SecurityIps",
    ];
    let missing = missing.map(|name| {
        ("MissingParameter".to_owned(), format!("{name} is mandatory for this action."))
    });
    let malformed = [
        "BackupId",
        "BackupJobId",
        "Capacity",
        "ChargeType",
        "EnableBackupLog",
        "JobMode",
        "PageSize",
        "Period",
        "RestoreType",
        "SwitchMode",
        "SwitchType",
    ];
    let malformed = malformed.map(|name| {
        let message = format!("The Specified parameter \"{name}\" is not valid.");
        (format!("Invalid{name}.Malformed"), message)
    });
    let of_form = missing.into_iter().chain(malformed);
    of_form
        .flat_map(|(code, message)| {
            ACTIONS.iter().map(move |action| {
                (action.descriptor().name.to_owned(), 400, code.clone(), message.clone())
            })
        })
        .collect()
}

fn malformed(asker: &mut Asker) {
    asker.refused(CREATE, &[]);
    asker.refused(CREATE, &[("RegionId", "cn-hongkong")]);
    for more in [
        &[("Capacity", "much")][..],
        &[("Token", "é")],
        &[("InstanceName", "1")],
        &[("Password", "password")],
        &[("Config", "{")],
        &[("Config", r#"{"stream-node-max-bytes":1}"#)],
        &[("ChargeType", "Free")],
        &[("ChargeType", "PrePaid")],
        &[("ChargeType", "PrePaid"), ("Period", "10")],
        &[("Period", "1")],
        &[("EngineVersion", "7.0")],
        &[("AutoRenew", "true")],
        &[("SrcDBInstanceId", "r-bp1xxxxxxxxxxxxxx")],
        &[("NetworkType", "VPC")],
        &[("NetworkType", "VPC"), ("VpcId", "vpc-none")],
        &[("PrivateIpAddress", "172.16.0.10")],
    ] {
        asker.no_instance(more);
    }
    asker.refused("DescribeInstances", &[("InstanceIds", "../etc/passwd")]);
    asker.refused("DescribeInstances", &[("PageSize", "51")]);
}

fn unknown(asker: &mut Asker) {
    asker.refused("DescribeZones", &[("RegionId", "cn-atlantis")]);
    for action in ["DescribeInstanceAttribute", "DeleteInstance", "SwitchInstanceHA"] {
        asker.refused(action, &[]);
        asker.refused(action, &[("InstanceId", "r-none")]);
    }
    passwords(asker, "r-none");
    asker.refused("ModifyInstanceAttribute", &[]);
    asker.refused_of("ModifyInstanceAttribute", "r-none", &[("InstanceName", "1")]);
    asker.refused_of("ModifyInstanceAttribute", "r-none", &[]);
    asker.refused(CREATE, &[("RegionId", "cn-hongkong"), ("Capacity", "123")]);
    for more in [
        &[("RegionId", "cn-atlantis")][..],
        &[("ZoneId", "cn-hangzhou-b")],
        &[("InstanceClass", "redis.master.gigantic.default")],
        &[("InstanceClass", "redis.sharding.small.default")],
        &[("NodeType", "MASTER_SLAVE")],
        &[("RegionId", "cn-wulanchabu")],
        &[("SrcDBInstanceId", "r-bp1xxxxxxxxxxxxxx"), ("BackupId", "111111111")],
        &[("ChargeType", "PrePaid"), ("Period", "1"), ("CouponNo", "none")],
        &[("DryRun", "true")],
    ] {
        asker.no_instance(more);
    }
}

/// Passwords for an instance that is not there, or still being created.
fn passwords(asker: &mut Asker, instance: &str) {
    const RESET: &str = "ResetAccountPassword";
    let account = ("AccountName", instance);
    asker.refused_of(RESET, instance, &[]);
    asker.refused_of(RESET, instance, &[account]);
    asker.refused_of(RESET, instance, &[account, ("AccountPassword", "password")]);
    for name in [instance, "default"] {
        let named = [("AccountName", name), ("AccountPassword", "Second-1")];
        asker.refused_of(RESET, instance, &named);
    }
    for password in ["password", "Second-1"] {
        asker.refused_of("ModifyInstanceAttribute", instance, &[("NewPassword", password)]);
    }
}

fn states_of_the_account(asker: &mut Asker) {
    let prepaid = [("ChargeType", "PrePaid"), ("Period", "1")];
    for (set, unset, more) in [
        ("--real-name false", "--real-name true", &[][..]),
        ("--finance true", "--finance false", &[]),
        ("--postpaid-quota 0", "--postpaid-quota 9", &[]),
        ("--postpaid-quota-per-region 0", "--postpaid-quota-per-region 9", &[]),
        ("--payment-method false", "--payment-method true", &[]),
        ("--balance 1", "--balance 10000", &prepaid),
    ] {
        let command = |flags| format!("account set {flags}");
        asker.no_instance_while(&command(set), &command(unset), more);
    }
    let zone = [("ZoneId", "cn-hongkong-b")];
    let (set, unset) =
        ("zone set cn-hongkong-b --quota-mb 1000", "zone set cn-hongkong-b --quota-mb none");
    asker.no_instance_while(set, unset, &zone);
}

fn networks(asker: &mut Asker) {
    let (vpc, vswitch) = asker.server.vswitch("cn-hongkong-b", "172.16.0.0/24");
    let within = [("NetworkType", "VPC"), ("VpcId", &*vpc), ("VSwitchId", &*vswitch)];
    asker.no_instance_while("vpc service down", "vpc service up", &within);
    let (set, unset) = ("zone set cn-hongkong-b --vpc off", "zone set cn-hongkong-b --vpc default");
    asker.no_instance_while(set, unset, &within);
    for outside in ["172.16.1.10", "172.16.0.0", "172.16.0.255", "8.8.8.8"] {
        asker.no_instance(&[&within[..], &[("PrivateIpAddress", outside)]].concat());
    }
    asker.no_instance(&[&within[..], &[("ZoneId", "cn-hongkong-c")]].concat());
    asker.no_instance(&[("NetworkType", "VPC"), ("VpcId", "vpc-none"), ("VSwitchId", &vswitch)]);
}

fn with_instances(asker: &mut Asker) {
    let one = asker.server.create(&[("Token", "t"), ("ChargeType", "PrePaid"), ("Period", "1")]);
    asker.no_instance(&[("Token", "t")]);
    asker.refused("DeleteInstance", &[("InstanceId", one["InstanceId"].as_str().unwrap())]);
    let held = asker.server.create(&[]);
    passwords(asker, held["InstanceId"].as_str().unwrap());
    asker.refused("DeleteInstance", &[("InstanceId", held["InstanceId"].as_str().unwrap())]);
    for class in ["redis.basic.small.default", "redis.master.small.default"] {
        let held = asker.server.create(&[("InstanceClass", class)]);
        let id = held["InstanceId"].as_str().unwrap();
        asker.refused_of("SwitchInstanceHA", id, &[]);
        asker.refused_of("SwitchInstanceHA", id, &[("SwitchMode", "2")]);
        asker.refused_of("SwitchInstanceHA", id, &[("SwitchType", "Sometimes")]);
    }

    // A /29 has three addresses for instances.
    let (vpc, vswitch) = asker.server.vswitch("cn-hongkong-b", "172.16.9.0/29");
    let within = [("NetworkType", "VPC"), ("VpcId", &*vpc), ("VSwitchId", &*vswitch)];
    let taken = [&within[..], &[("PrivateIpAddress", "172.16.9.2")]].concat();
    asker.server.create(&taken);
    asker.no_instance(&taken);
    asker.server.create(&within);
    asker.server.create(&within);
    asker.no_instance(&within);
}

fn of_whitelists(asker: &mut Asker) {
    const MODIFY: &str = "ModifySecurityIps";
    for action in ["DescribeSecurityIps", MODIFY] {
        asker.refused(action, &[]);
        asker.refused_of(action, "r-none", &[("SecurityIps", "10.0.0.1")]);
    }
    let held = asker.server.create(&[]);
    let id = held["InstanceId"].as_str().unwrap();
    let addresses = |count: u32| {
        let address = |n: u32| format!("10.0.{}.{}", n / 256, n % 256);
        (0..count).map(address).collect::<Vec<_>>().join(",")
    };
    for list in [
        "",
        "10.0.0.1, 10.0.0.2",
        "10.0.0.0/33",
        "::ffff:10.0.0.1",
        "10。0。0。1",
        "10.0.0.1,10.0.0.1/32",
        &addresses(1001),
    ] {
        asker.refused_of(MODIFY, id, &[("SecurityIps", list)]);
    }
    let full = addresses(1000);
    asker.server.client().call(MODIFY, &[("InstanceId", id), ("SecurityIps", &full)]).expect_ok();
    let one = ("SecurityIps", "10.1.1.1");
    for more in [
        ("ModifyMode", "Append"),
        ("ModifyMode", "append"),
        ("SecurityIpGroupName", "Default"),
        ("SecurityIpGroupAttribute", "not hidden"),
    ] {
        asker.refused_of(MODIFY, id, &[one, more]);
    }
    let answer = asker.server.client().call("DescribeSecurityIps", &[("InstanceId", id)]);
    let group = &answer.expect_ok()["SecurityIpGroups"]["SecurityIpGroup"][0];
    assert_eq!(group["SecurityIpList"], full, "a refused call changes nothing");
}

fn of_form_on_backups(asker: &mut Asker) {
    const WINDOW: (&str, &str) = ("PreferredBackupTime", "01:00Z-02:00Z");
    const DAYS: (&str, &str) = ("PreferredBackupPeriod", "Monday");
    const START: (&str, &str) = ("StartTime", "2019-03-11T10:00Z");
    const END: (&str, &str) = ("EndTime", "2019-03-14T18:00Z");
    for (action, more) in [
        ("CreateBackup", &[("BackupRetentionPeriod", "6")][..]),
        ("DeleteBackup", &[]),
        ("DeleteBackup", &[("BackupId", "one")]),
        ("DescribeBackupTasks", &[("BackupJobId", "one")]),
        ("DescribeBackupTasks", &[("JobMode", "Sometimes")]),
        ("DescribeBackups", &[]),
        ("DescribeBackups", &[START]),
        ("DescribeBackups", &[("StartTime", "2019-03-11"), END]),
        ("DescribeBackups", &[START, ("EndTime", "2019-03-11T10:00Z")]),
        ("DescribeBackups", &[START, END, ("PageSize", "31")]),
        ("ModifyBackupPolicy", &[]),
        ("ModifyBackupPolicy", &[WINDOW]),
        ("ModifyBackupPolicy", &[("PreferredBackupTime", "18:00Z"), DAYS]),
        ("ModifyBackupPolicy", &[WINDOW, ("PreferredBackupPeriod", "daily")]),
        ("ModifyBackupPolicy", &[WINDOW, DAYS, ("BackupRetentionPeriod", "731")]),
        ("ModifyBackupPolicy", &[WINDOW, DAYS, ("EnableBackupLog", "1")]),
        ("ModifyBackupPolicy", &[WINDOW, DAYS, ("EnableBackupLog", "yes")]),
        ("RestoreInstance", &[]),
        ("RestoreInstance", &[("RestoreType", "1")]),
        ("RestoreInstance", &[("RestoreType", "2")]),
        ("RestoreInstance", &[("FilterKey", "a*")]),
    ] {
        asker.refused_of(action, "r-none", more);
    }
    let gone = [WINDOW, DAYS, START, END, ("BackupId", "100000000")];
    for action in ACTIONS.iter().map(|action| action.descriptor().name) {
        if action.contains("Backup") || action == "RestoreInstance" {
            asker.refused(action, &[]);
            asker.refused_of(action, "r-none", &gone);
        }
    }
    let memcached = asker.server.create(&[
        ("InstanceClass", "memcache.master.small.default"),
        ("InstanceType", "Memcache"),
    ]);
    for action in ["CreateBackup", "ModifyBackupPolicy", "RestoreInstance"] {
        asker.refused_of(action, memcached["InstanceId"].as_str().unwrap(), &gone);
    }
}

fn with_backups(asker: &mut Asker) {
    asker.server.restart(&[QUEUED, FEW]);
    let created = asker.server.normal(STANDALONE);
    let id = created["InstanceId"].as_str().unwrap();
    let first = asker.server.ask_for_backup(id);
    let shown = asker.server.cli(&["backup", "ls", id, "--output", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let waiting = text(&shown[0]["id"]);
    let waiting = ("BackupId", &*waiting);
    asker.refused_of("CreateBackup", id, &[]);
    asker.refused_of("DeleteBackup", id, &[waiting]);
    asker.refused_of("RestoreInstance", id, &[waiting]);
    asker.no_instance(&[("SrcDBInstanceId", id), waiting]);
    for action in ["DeleteBackup", "RestoreInstance"] {
        asker.refused_of(action, id, &[("BackupId", "100000000")]);
    }

    asker.server.restart(&[FEW]);
    let backup = asker.server.finished(id, &first)["BackupId"].to_string();
    let backup = ("BackupId", &*backup);
    asker.server.restart(&[QUEUED, FEW]);
    asker.server.ask_for_backup(id);
    asker.refused_of("RestoreInstance", id, &[backup]);

    asker.server.restart(&[RESTORING, FEW]);
    asker.server.until("the second backup is taken", |server| server.backups(id).len() == 2);
    asker.refused_of("CreateBackup", id, &[]);
    asker.server.client().call("RestoreInstance", &[("InstanceId", id), backup]).expect_ok();
    for action in ["CreateBackup", "RestoreInstance"] {
        asker.refused_of(action, id, &[backup]);
    }
}
