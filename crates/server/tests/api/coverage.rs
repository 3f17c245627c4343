//! Every action answers in both formats and refuses a bad signature; the list of actions says
//! which there are, so none can be left out.

use ourkv::actions::ACTIONS;
use ourkv_wire::Format;
use serde_json::Value;

use crate::common::{Client, KEY_ID, Ourkv};

/// Parameters with which an action succeeds on an instance; a backup that it needs is taken.
fn parameters(server: &Ourkv, action: &str, id: &str) -> Vec<(&'static str, String)> {
    let of = ("InstanceId", id.to_owned());
    let fixed = |more: &[(&'static str, &str)]| {
        more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
    };
    let number = |field: &str| server.back_up(id)[field].to_string();
    match action {
        "CreateInstance" => {
            fixed(&[("RegionId", "cn-hongkong"), ("InstanceClass", "redis.basic.small.default")])
        }
        "DescribeInstances" => fixed(&[("InstanceIds", id)]),
        "DescribeRegions" | "DescribeZones" => fixed(&[("AcceptLanguage", "en-US")]),
        "DescribeInstanceAttribute"
        | "DeleteInstance"
        | "SwitchInstanceHA"
        | "CreateBackup"
        | "DescribeBackupPolicy"
        | "DescribeSecurityIps" => {
            vec![of]
        }
        "ModifyInstanceAttribute" => vec![of, ("InstanceName", "another".into())],
        "ResetAccountPassword" => {
            vec![of, ("AccountName", id.into()), ("AccountPassword", "Second-1".into())]
        }
        "DescribeBackups" => {
            server.back_up(id);
            let window = [("StartTime", "2010-01-01T00:00Z"), ("EndTime", "2050-01-01T00:00Z")];
            [vec![of], fixed(&window)].concat()
        }
        "DescribeBackupTasks" => vec![of, ("BackupJobId", number("BackupJobID"))],
        "DeleteBackup" | "RestoreInstance" => vec![of, ("BackupId", number("BackupId"))],
        "ModifyBackupPolicy" => {
            let window = ("PreferredBackupTime", "01:00Z-02:00Z");
            [vec![of], fixed(&[window, ("PreferredBackupPeriod", "Monday,Friday")])].concat()
        }
        "ModifySecurityIps" => [vec![of], fixed(&[("SecurityIps", "10.0.0.0/8")])].concat(),
        other => panic!("say with which parameters {other} succeeds"),
    }
}

/// As they are sent.
fn borrowed<'a>(parameters: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    parameters.iter().map(|(name, value)| (*name, &**value)).collect()
}

/// The names of all fields, as paths, each with the type of its value.
fn shape(value: &Value, path: &str, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                shape(value, &format!("{path}/{name}"), lines);
            }
        }
        Value::Array(items) => {
            lines.push(format!("{path}[]"));
            items.iter().take(1).for_each(|item| shape(item, &format!("{path}[]"), lines));
        }
        Value::String(_) => lines.push(format!("{path}: string")),
        Value::Number(_) => lines.push(format!("{path}: number")),
        Value::Bool(_) => lines.push(format!("{path}: boolean")),
        Value::Null => panic!("{path} is null; what is absent is left out"),
    }
}

#[test]
fn every_action_answers_in_its_documented_shape_in_both_formats() {
    let server = Ourkv::start();
    for action in ACTIONS.iter().map(|action| action.descriptor().name) {
        let succeeding = || {
            let pair = action == "SwitchInstanceHA";
            let class =
                if pair { "redis.master.small.default" } else { "redis.basic.small.default" };
            let created = server.normal(&[("InstanceClass", class)]);
            parameters(&server, action, created["InstanceId"].as_str().unwrap())
        };
        let xml = server.client().call_v1(action, &borrowed(&succeeding()), Format::Xml);
        assert_eq!((xml.status, &*xml.content_type), (200, "text/xml;charset=utf-8"), "{action}");
        assert!(xml.text.contains(&format!("<{action}Response>")), "{}", xml.text);
        assert!(xml.text.contains(&format!("<RequestId>{}</RequestId>", xml.request_id)));

        let mut lines = Vec::new();
        let answer = server.client().call(action, &borrowed(&succeeding())).expect_ok();
        shape(&answer, "", &mut lines);
        insta::assert_snapshot!(action, lines.join("\n"));
    }
}

#[test]
fn every_action_refuses_a_bad_signature() {
    let server = Ourkv::start();
    let stranger = Client::new(&server.address, KEY_ID, "not-the-secret");
    for action in ACTIONS.iter().map(|action| action.descriptor().name) {
        let refused = stranger.call(action, &[("InstanceId", "r-none")]);
        assert_eq!(refused.refusal().1, "SignatureDoesNotMatch", "{action}");
    }
}
