//! A request from anyone: parsing, the string to sign, the verdict, and the rendered refusal.
//!
//! The input is the text of a request: `METHOD PATH?QUERY`, headers line by line, an empty line,
//! the body.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use ourkv_wire::{Format, Limits, RawRequest, parse, refusal_format, render_error};

fuzz_target!(|data: &[u8]| {
    let (head, body) = split(data, b"\n\n");
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let (method, target) =
        lines.next().and_then(|line| line.split_once(' ')).unwrap_or(("GET", "/"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let raw = RawRequest { method, path, query, headers: &headers, body };
    refusal_format(&raw);
    match parse(&raw, &Limits::default()) {
        Ok(call) => {
            let _ = call.check_time(Timestamp::UNIX_EPOCH);
            let _ = call.check_format();
            call.nonce_expires();
            assert!(call.string_to_sign().len() <= 16 * (1 << 20));
            if let Err(fault) = call.verify("a secret that nobody signed with") {
                for format in [Format::Json, Format::Xml] {
                    render_error(format, &fault.envelope("ID", "host"));
                }
            }
        }
        Err(rejected) => {
            assert!((400..500).contains(&rejected.fault.status));
            for format in [Format::Json, Format::Xml] {
                render_error(format, &rejected.fault.envelope("ID", "host"));
            }
        }
    }
});

fn split<'a>(data: &'a [u8], at: &[u8]) -> (&'a [u8], &'a [u8]) {
    let found = data.windows(at.len()).position(|window| window == at);
    found.map_or((data, &[][..]), |found| (&data[..found], &data[found + at.len()..]))
}
