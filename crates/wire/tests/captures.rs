//! Every recorded SDK request gets its verdict, over the very string that the SDK signed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::fs;
use std::path::{Path, PathBuf};

use ourkv_wire::{Call, Limits, RawRequest, parse};
use serde::Deserialize;

#[derive(Deserialize)]
struct Capture {
    access_key_id: String,
    access_key_secret: String,
    action: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    expected_signature_verdict: Verdict,
    string_to_sign: String,
    signed_at: jiff::Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Valid,
    Invalid,
}

impl Capture {
    fn call(&self) -> Call {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        let raw = RawRequest {
            method: &self.method,
            path,
            query,
            headers: &headers,
            body: self.body.as_bytes(),
        };
        parse(&raw, &Limits::default()).expect("a capture has the form of a call")
    }
}

fn captures() -> Vec<(String, Capture)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk-captures");
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let capture = serde_json::from_slice(&fs::read(&path).unwrap())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, capture)
        })
        .collect()
}

#[test]
fn every_capture_gets_its_verdict_over_its_own_string() {
    let captures = captures();
    assert!(captures.len() >= 58, "{} captures", captures.len());
    for (name, capture) in captures {
        let call = capture.call();
        assert_eq!(call.string_to_sign(), capture.string_to_sign, "{name}");
        let checked = call.verify(&capture.access_key_secret);
        let verdict = if checked.is_ok() { Verdict::Valid } else { Verdict::Invalid };
        assert_eq!(verdict, capture.expected_signature_verdict, "{name}");
        if let Err(fault) = checked {
            assert_eq!(fault.code, "SignatureDoesNotMatch", "{name}");
            assert!(fault.message.ends_with(&capture.string_to_sign), "{name}");
        }
    }
}

#[test]
fn every_valid_capture_says_what_the_sdk_was_told() {
    for (name, capture) in captures() {
        if capture.expected_signature_verdict == Verdict::Invalid {
            continue;
        }
        let call = capture.call();
        assert_eq!(call.action, capture.action, "{name}");
        assert_eq!(call.version, "2015-01-01", "{name}");
        assert_eq!(call.access_key_id, capture.access_key_id, "{name}");
        assert_eq!(call.timestamp, capture.signed_at, "{name}");
        assert_eq!(call.check_time(capture.signed_at), Ok(()), "{name}");
        let sts = name.contains("-sts-");
        assert_eq!(call.security_token.is_some(), sts, "{name}");
        let format_is_served = !name.contains("formatNone");
        assert_eq!(call.check_format().is_ok(), format_is_served, "{name}");
    }
}

#[test]
fn texts_arrive_as_they_were_given_to_the_sdk() {
    let mut seen = 0;
    for (name, capture) in captures() {
        let valid = capture.expected_signature_verdict == Verdict::Valid;
        let call = capture.call();
        if let (true, Some(password)) = (valid, call.params.get("Password")) {
            assert_eq!(password, "Aa1!@#$%^&*()_+-=", "{name}");
            assert_eq!(call.params.get("InstanceName"), Some("测试实例-A1"), "{name}");
            seen += 1;
        }
    }
    assert!(seen >= 9, "{seen} captures of CreateInstance");
}
