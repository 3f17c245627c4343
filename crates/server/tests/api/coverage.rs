//! Every action answers in both formats and refuses a bad signature; the list of actions says
//! which there are, so none can be left out.

use ourkv::actions::ACTIONS;
use ourkv_wire::Format;
use serde_json::Value;

use crate::common::{Client, KEY_ID, Ourkv};

/// Parameters with which an action succeeds.
fn parameters<'a>(action: &str, id: &'a str) -> Vec<(&'a str, &'a str)> {
    match action {
        "CreateInstance" => {
            vec![("RegionId", "cn-hongkong"), ("InstanceClass", "redis.basic.small.default")]
        }
        "DescribeInstances" => vec![("InstanceIds", id)],
        "DescribeInstanceAttribute" | "DeleteInstance" => vec![("InstanceId", id)],
        "DescribeRegions" | "DescribeZones" => vec![("AcceptLanguage", "en-US")],
        other => panic!("say with which parameters {other} succeeds"),
    }
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
        let created = server.normal(&[("InstanceClass", "redis.basic.small.default")]);
        let id = created["InstanceId"].as_str().unwrap();
        let xml = server.client().call_v1(action, &parameters(action, id), Format::Xml);
        assert_eq!((xml.status, &*xml.content_type), (200, "text/xml;charset=utf-8"));
        assert!(xml.text.contains(&format!("<{action}Response>")), "{}", xml.text);
        assert!(xml.text.contains(&format!("<RequestId>{}</RequestId>", xml.request_id)));

        let created = server.normal(&[("InstanceClass", "redis.basic.small.default")]);
        let id = created["InstanceId"].as_str().unwrap();
        let mut lines = Vec::new();
        let answer = server.client().call(action, &parameters(action, id)).expect_ok();
        shape(&answer, "", &mut lines);
        insta::assert_snapshot!(action, lines.join("\n"));
    }
}

#[test]
fn every_action_refuses_a_bad_signature() {
    let server = Ourkv::start();
    let stranger = Client::new(&server.address, KEY_ID, "not-the-secret");
    for action in ACTIONS.iter().map(|action| action.descriptor().name) {
        let refused = stranger.call(action, &parameters(action, "r-none"));
        assert_eq!(refused.refusal().1, "SignatureDoesNotMatch", "{action}");
    }
}
