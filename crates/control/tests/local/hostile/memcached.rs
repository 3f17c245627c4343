//! The same against a cache: every operation of its protocol, by a stranger and by the tenant.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use ourkv_control::substrate::{Member, Substrate, Unit};
use ourkv_domain::instance::{EngineVersion, InstanceType, NodeType};

use super::super::ground::{Ground, PASSWORD, bring_up, installed, take_down};

/// A key that must not get into a log.
const KEY: &[u8] = b"a-key-of-the-tenant";

const PATIENCE: Duration = Duration::from_mins(1);
const NO_OP: u8 = 0x0a;
const SET: u8 = 0x01;
const STAT: u8 = 0x10;
const SASL: u8 = 0x21;

/// Statuses of the binary protocol.
const NO_ERROR: u16 = 0x00;
const TOO_LARGE: u16 = 0x03;
const NOT_LOGGED_IN: u16 = 0x20;
const UNKNOWN: u16 = 0x81;

/// Shapes of a request: extras, key and value.
const SHAPES: [(&[u8], &[u8], &[u8]); 5] = [
    (b"", b"", b""),
    (b"", KEY, b""),
    (b"\0\0\0\0\0\0\0\0", KEY, b"v"),
    (b"\0\0\0\x02", b"", b""),
    (b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0", KEY, b""),
];

/// A connection that speaks the binary protocol without manners.
struct Wire(TcpStream);

impl Wire {
    fn stranger(address: SocketAddrV4) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn tenant(unit: &Unit) -> Self {
        let mut wire = Self::stranger(unit.address);
        let login = format!("\0{}\0{PASSWORD}", unit.id);
        wire.send(&request(SASL, b"", b"PLAIN", login.as_bytes()));
        assert_eq!(wire.answer().map(|answer| answer.1), Some(NO_ERROR));
        wire
    }

    fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Operation, status and body of the next answer, or nothing if it hung up.
    fn answer(&mut self) -> Option<(u8, u16, Vec<u8>)> {
        let mut header = [0; 24];
        self.0.read_exact(&mut header).ok()?;
        assert_eq!(header[0], 0x81);
        let length = u32::from_be_bytes(header[8..12].try_into().unwrap());
        let mut body = vec![0; length.try_into().unwrap()];
        self.0.read_exact(&mut body).ok()?;
        Some((header[1], u16::from_be_bytes([header[6], header[7]]), body))
    }

    /// The status of the answer to a request. A quiet operation is answered by one behind it; there
    /// are several, as what is behind an unknown operation is skipped by the length of its body.
    fn status(&mut self, operation: u8, shape: (&[u8], &[u8], &[u8])) -> Option<u16> {
        self.send(&request(operation, shape.0, shape.1, shape.2));
        self.send(&request(NO_OP, b"", b"", b"").repeat(4));
        self.answer().map(|(_, status, _)| status)
    }

    /// What it tells under a name, as lines.
    fn stats(&mut self, name: &str) -> String {
        self.send(&request(STAT, b"", name.as_bytes(), b""));
        let mut lines = String::new();
        while let Some((_, NO_ERROR, body)) = self.answer().filter(|answer| !answer.2.is_empty()) {
            writeln!(lines, "{}", String::from_utf8_lossy(&body)).unwrap();
        }
        lines
    }
}

fn request(operation: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = [extras, key, value].concat();
    let mut request = vec![0; 24];
    request[0] = 0x80;
    request[1] = operation;
    request[2..4].copy_from_slice(&u16::try_from(key.len()).unwrap().to_be_bytes());
    request[4] = u8::try_from(extras.len()).unwrap();
    request[8..12].copy_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    [request, body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_the_version_and_a_login() {
    const ANSWERED: [u8; 4] = [0x0b, 0x20, SASL, 0x22];
    let mut ground = Ground::new(154);
    let (local, unit) = cache(&mut ground).await;
    let pid = ground.pid(&unit, Member::First);
    for operation in 0..=u8::MAX {
        for shape in SHAPES {
            let status = Wire::stranger(unit.address).status(operation, shape);
            let closed = matches!(status, None | Some(NOT_LOGGED_IN));
            assert!(
                closed || ANSWERED.contains(&operation),
                "{operation:#x} {shape:?}: {status:?}"
            );
        }
    }
    let login = format!("\0{}\0{PASSWORD}", unit.id);
    let tail = format!("\0{}\0{PASSWORD}\0", unit.id);
    let authorised = format!("admin\0{}\0{PASSWORD}", unit.id);
    for (mechanism, credentials) in [
        ("ANONYMOUS", ""),
        ("EXTERNAL", unit.id.as_str()),
        ("LOGIN", &login),
        ("CRAM-MD5", &login),
        ("SCRAM-SHA-1", "n,,n=user,r=x"),
        ("", &login),
        ("PLAIN", ""),
        ("PLAIN", "\0"),
        ("PLAIN", "\0\0"),
        ("PLAIN", &format!("\0{}\0", unit.id)),
        ("PLAIN", &format!("\0{}", unit.id)),
        ("PLAIN", &tail),
        ("PLAIN", &authorised),
        ("PLAIN", &format!("\0{}@elsewhere\0{PASSWORD}", unit.id)),
        ("PLAIN", &"x".repeat(100_000)),
    ] {
        let mut wire = Wire::stranger(unit.address);
        wire.send(&request(SASL, b"", mechanism.as_bytes(), credentials.as_bytes()));
        wire.send(&request(0x00, b"", b"k", b""));
        // The answer to the login, and then nothing but that a login is needed.
        let answers = [wire.answer(), wire.answer()];
        let statuses = answers.map(|answer| answer.map(|(_, status, _)| status));
        let open = |status: &Option<u16>| matches!(status, Some(NO_ERROR));
        assert!(!statuses.iter().any(open), "{mechanism:?} {credentials:?}: {statuses:?}");
    }
    assert_eq!(ground.pid(&unit, Member::First), pid);
    local.login(&unit).await.unwrap();
    take_down(&local, &unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_changes_its_items_and_nothing_else() {
    let mut ground = Ground::new(155);
    let (local, unit) = cache(&mut ground).await;
    let pid = ground.pid(&unit, Member::First);
    let before = settings(&unit);
    for expected in ["udpport0", "shutdown_commandno", "verbosity0", "auth_enabled_saslyes"] {
        assert!(before.lines().any(|line| line == expected), "{expected} in {before}");
    }
    let known: Vec<String> = (0..=u8::MAX)
        .filter(|operation| {
            let statuses = SHAPES.map(|shape| Wire::tenant(&unit).status(*operation, shape));
            statuses[0] != Some(UNKNOWN)
        })
        .map(|operation| format!("{operation:02x}"))
        .collect();
    // Get, set, add, replace, delete, increment, decrement, quit, flush, append, prepend, touch
    // with their quiet forms, no-op, version, stat and the login. There is no verbosity (1b), so
    // no key of a tenant gets into a log.
    insta::assert_snapshot!(known.join(" "), @"00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1c 1d 1e 20 21 22 23 24");
    sizes(&unit);
    assert_eq!(settings(&unit), before);
    assert_eq!(ground.pid(&unit, Member::First), pid);
    let log = std::fs::read(ground.directory(&unit, Member::First).join("engine.log")).unwrap();
    assert!(!String::from_utf8_lossy(&log).contains(std::str::from_utf8(KEY).unwrap()));
    local.login(&unit).await.unwrap();
    take_down(&local, &unit).await;
}

/// Its settings; `oldest` moves when the tenant flushes.
fn settings(unit: &Unit) -> String {
    let all = Wire::tenant(unit).stats("settings");
    all.lines().filter(|line| !line.starts_with("oldest")).collect::<Vec<_>>().join("\n")
}

/// Items and requests that are larger than allowed, or than what is sent.
fn sizes(unit: &Unit) {
    let huge = vec![0; 2 << 20];
    assert_eq!(Wire::tenant(unit).status(SET, (&[0; 8], KEY, &huge)), Some(TOO_LARGE));
    for (key, body) in [(1_u16, u32::MAX), (u16::MAX, i32::MAX as u32), (u16::MAX, 8), (251, 300)] {
        let mut lies = request(SET, &[0; 8], b"k", b"v");
        lies[2..4].copy_from_slice(&key.to_be_bytes());
        lies[8..12].copy_from_slice(&body.to_be_bytes());
        let mut wire = Wire::tenant(unit);
        wire.send(&lies);
        // It may wait for the rest; whoever sends none has gone.
        wire.0.shutdown(std::net::Shutdown::Write).unwrap();
        let status = wire.answer().map(|(_, status, _)| status);
        assert_ne!(status, Some(NO_ERROR), "a key of {key} in {body}");
    }
}

async fn cache(ground: &mut Ground) -> (ourkv_control::substrate::local::Local, Unit) {
    let local = ground.local(installed().await);
    let unit = ground.unit(InstanceType::Memcache, NodeType::StandAlone, EngineVersion::V2_8);
    bring_up(&local, &unit).await;
    (local, unit)
}
