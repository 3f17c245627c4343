//! Whether an engine lets a tenant run a command, and by which ways.

use std::net::SocketAddrV4;

use ourkv_control::engine::Binary;

use super::wire::{Answer, Wire};

/// The ways by which a command is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ways {
    /// Said to the engine, in any protocol and spelling.
    pub(super) directly: bool,
    /// Between MULTI and EXEC.
    pub(super) in_a_transaction: bool,
    /// From Lua: EVAL, and functions where there are any.
    pub(super) from_a_script: bool,
}

impl Ways {
    pub(super) const NONE: Self =
        Self { directly: false, in_a_transaction: false, from_a_script: false };
}

/// What an engine says of commands that it does not let one run. A command that it does not know
/// counts as refused.
const REFUSALS: [&str; 9] = [
    "noperm",
    "noauth",
    "unknown command",
    "unknown redis command called from",
    "unknown subcommand",
    "command not allowed",
    "is not allowed from script",
    "inside multi is not allowed",
    "can't run this command or subcommand",
];

/// Whether this first line of an answer lets the command through. What the engine finds wrong with
/// its arguments does not matter: it looks at them after it has let the command through. One that
/// hangs up has not.
pub(super) fn lets_through(line: Option<&str>) -> bool {
    let Some(line) = line else { return false };
    let said = line.to_lowercase();
    !(said.starts_with('-') && REFUSALS.iter().any(|refusal| said.contains(refusal)))
}

/// Commands that a transaction is made of, or that end the connection that holds it.
const NOT_IN_A_TRANSACTION: [&str; 5] = ["multi", "exec", "discard", "quit", "reset"];

/// Snapshots are of a line of versions: what patches change would be a surprise.
pub(super) fn name_of(binary: &Binary) -> String {
    let (major, minor, _) = binary.version;
    format!("{}_{major}_{minor}", binary.kind).to_lowercase()
}

/// A library whose one function runs what it is told.
const LIBRARY: &str = "#!lua name=hostile\n\
    redis.register_function('run', function(keys, args) return redis.call(unpack(args)) end)";

/// Tries a command by every way, each in a connection of its own. Ways that should not differ, such
/// as the protocols, are asserted not to.
pub(super) fn ways(binary: &Binary, address: SocketAddrV4, words: &[&str]) -> Ways {
    let directly = agreed(binary, words, &directly(binary, address, words));
    let in_a_transaction = !NOT_IN_A_TRANSACTION.contains(&words[0].to_lowercase().as_str())
        && in_a_transaction(address, words);
    let from_a_script = agreed(binary, words, &from_scripts(binary, address, words));
    Ways { directly, in_a_transaction, from_a_script }
}

/// Whether someone who did not log in may run it.
pub(super) fn strangers_may(address: SocketAddrV4, words: &[&str]) -> bool {
    let mut wire = Wire::stranger(address);
    wire.say(words);
    lets_through(wire.line().as_deref())
}

fn agreed(binary: &Binary, words: &[&str], verdicts: &[(&str, bool, String)]) -> bool {
    let first = verdicts[0].1;
    assert!(
        verdicts.iter().all(|(_, let_through, _)| *let_through == first),
        "{binary}: {words:?}: {verdicts:?}"
    );
    first
}

fn directly<'a>(
    binary: &Binary,
    address: SocketAddrV4,
    words: &[&str],
) -> Vec<(&'a str, bool, String)> {
    let mut verdicts = Vec::new();
    let mut verdict = |way, mut wire: Wire| {
        let line = wire.line();
        verdicts.push((way, lets_through(line.as_deref()), line.unwrap_or_default()));
    };
    for (way, spelling) in [
        ("resp2", spelled_low as fn(&str) -> String),
        ("capitals", spelled_high),
        ("mixed", spelled_mixed),
    ] {
        let mut wire = Wire::tenant(address);
        wire.say(&spelled(words, spelling));
        verdict(way, wire);
    }
    let mut wire = Wire::tenant(address);
    wire.send(format!("{}\r\n", words.join(" ")).as_bytes());
    verdict("inline", wire);
    if binary.has_acl() {
        let mut wire = Wire::tenant(address);
        assert!(wire.ask(&["HELLO", "3"]).error().is_none());
        wire.say(&spelled(words, spelled_mixed));
        verdict("resp3", wire);
    }
    verdicts
}

/// The command and what may be a subcommand, in another spelling; arguments stay.
fn spelled(words: &[&str], spelling: fn(&str) -> String) -> Vec<String> {
    let (names, arguments) = words.split_at(words.len().min(2));
    names.iter().map(|name| spelling(name)).chain(arguments.iter().map(|&a| a.to_owned())).collect()
}

fn spelled_low(word: &str) -> String {
    word.to_lowercase()
}

fn spelled_high(word: &str) -> String {
    word.to_uppercase()
}

fn spelled_mixed(word: &str) -> String {
    let letters = word.chars().enumerate();
    letters
        .map(
            |(at, letter)| {
                if at % 2 == 0 { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() }
            },
        )
        .collect()
}

fn in_a_transaction(address: SocketAddrV4, words: &[&str]) -> bool {
    let mut wire = Wire::tenant(address);
    assert!(wire.ask(&["MULTI"]).error().is_none());
    wire.say(words);
    let queued = wire.line();
    if queued.as_deref() != Some("+QUEUED") {
        return lets_through(queued.as_deref());
    }
    wire.say(&["EXEC"]);
    match wire.line().as_deref() {
        Some("*1") => lets_through(wire.line().as_deref()),
        other => lets_through(other),
    }
}

fn from_scripts<'a>(
    binary: &Binary,
    address: SocketAddrV4,
    words: &[&str],
) -> Vec<(&'a str, bool, String)> {
    let script = |way: &str| format!("return redis.{way}(unpack(ARGV))");
    let mut calls = vec![
        ("call", vec!["EVAL".to_owned(), script("call")]),
        ("pcall", vec!["EVAL".to_owned(), script("pcall")]),
    ];
    if binary.level() >= (7, 0) {
        calls.push(("function", vec!["FCALL".to_owned(), "run".to_owned()]));
    }
    let run = |(way, mut call): (&'a str, Vec<String>)| {
        let mut wire = Wire::tenant(address);
        if call[0] == "FCALL" {
            let loaded = wire.ask(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]);
            assert_eq!(loaded, Answer::Text(b"hostile".to_vec()));
        }
        call.push("0".to_owned());
        call.extend(words.iter().map(|&word| word.to_owned()));
        wire.say(&call);
        let line = wire.line();
        (way, lets_through(line.as_deref()), line.unwrap_or_default())
    };
    calls.into_iter().map(run).collect()
}
