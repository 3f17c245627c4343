//! Payloads of RESTORE and FUNCTION RESTORE that are not what DUMP wrote, with checksums that are
//! right. On engines that do not check payloads both are refused, see `attempts`.

use ourkv_control::engine::Engines;
use ourkv_domain::instance::NodeType;

use super::super::ground::{Ground, bring_up, each_redis, take_down};
use super::wire::{Answer, Wire};
use super::witness::Witness;

/// The first version that checks payloads.
const CHECKS: (u16, u16) = (6, 2);
const ATTEMPTS: usize = 600;

/// Keys of every type and small encoding.
const KEYS: &[&str] = &[
    "SET text hellohellohellohellohellohello",
    "SET number 123",
    "RPUSH list a b 77 1000000 ccc",
    "HSET hash f v g 12 h 70000",
    "SADD numbers 1 2 300 70000",
    "SADD words a b c",
    "ZADD sorted 1 a 2.5 b 3 c",
    "PFADD counted a b c",
    "XADD stream 1-1 f v g w",
    "XADD stream 2-1 f v g w",
    "XADD stream 3-1 other 1",
    "XGROUP CREATE stream group 0",
    "XREADGROUP GROUP group me COUNT 2 STREAMS stream >",
];

/// What reads and changes a key of each type, all of it.
const USES: &[(&str, &[&str])] = &[
    ("string", &["GET k", "PFCOUNT k", "APPEND k z", "BITCOUNT k", "SETRANGE k 3 z"]),
    (
        "list",
        &[
            "LRANGE k 0 -1",
            "LINDEX k -1",
            "LINSERT k BEFORE 77 q",
            "LREM k 0 77",
            "RPOP k",
            "LPOP k",
        ],
    ),
    ("hash", &["HGETALL k", "HSCAN k 0", "HSET k f zz", "HINCRBY k g 1", "HDEL k h"]),
    ("set", &["SMEMBERS k", "SADD k 5 zz", "SREM k 1 a", "SRANDMEMBER k 5", "SPOP k"]),
    (
        "zset",
        &[
            "ZRANGE k 0 -1 WITHSCORES",
            "ZADD k 4 zzz",
            "ZRANGEBYSCORE k -inf +inf",
            "ZRANK k b",
            "ZREM k a",
        ],
    ),
    (
        "stream",
        &[
            "XRANGE k - +",
            "XREVRANGE k + -",
            "XINFO STREAM k",
            "XREADGROUP GROUP group you STREAMS k >",
            "XPENDING k group",
            "XADD k * f v",
            "XDEL k 2-1",
            "XTRIM k MAXLEN 1",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crafted_payload_does_not_end_an_engine() {
    let mut ground = Ground::new(146);
    for (binary, version) in each_redis().await.into_iter().filter(|(b, _)| b.level() >= CHECKS) {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        let witness = Witness::of(&ground, &binary, &unit).await;
        let mut wire = Wire::tenant(unit.address);
        for command in KEYS {
            said(&mut wire, command);
        }
        let mut dumps = Vec::new();
        for key in
            ["text", "number", "list", "hash", "numbers", "words", "sorted", "counted", "stream"]
        {
            dumps.push(wire.ask(&["DUMP", key]).bytes());
        }
        // The checksum is understood: what was not changed is taken.
        for dump in &dumps {
            assert_eq!(restored(&mut wire, &signed(body(dump))), Answer::Text(b"OK".to_vec()));
        }
        let mut noise = Noise(1);
        let mut taken = 0;
        for _ in 0..ATTEMPTS {
            let dump = &dumps[noise.below(dumps.len())];
            if restored(&mut wire, &changed(dump, &mut noise)).error().is_none() {
                taken += 1;
                use_it(&mut wire);
            }
        }
        assert!((10..ATTEMPTS).contains(&taken), "{binary} took {taken}");
        witness.finds_nothing_changed(&ground, &local, &unit).await;
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crafted_library_does_not_end_an_engine() {
    let mut ground = Ground::new(147);
    for (binary, version) in each_redis().await.into_iter().filter(|(b, _)| b.level() >= (7, 0)) {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        let witness = Witness::of(&ground, &binary, &unit).await;
        let mut wire = Wire::tenant(unit.address);
        let library = "#!lua name=mine\nredis.register_function('f', function() return 1 end)";
        assert_eq!(wire.ask(&["FUNCTION", "LOAD", library]).error(), None);
        let dump = wire.ask(&["FUNCTION", "DUMP"]).bytes();
        let mut noise = Noise(1);
        let mut refused = 0;
        for _ in 0..ATTEMPTS {
            let payload = changed(&dump, &mut noise);
            let words: [&[u8]; 4] = [b"FUNCTION", b"RESTORE", &payload, b"REPLACE"];
            refused += usize::from(wire.ask(&words).error().is_some());
        }
        assert!(refused > ATTEMPTS / 2, "{binary} refused {refused}");
        witness.finds_nothing_changed(&ground, &local, &unit).await;
        take_down(&local, &unit).await;
    }
}

fn said(wire: &mut Wire, command: &str) -> Answer {
    wire.ask(&command.split(' ').collect::<Vec<_>>())
}

fn restored(wire: &mut Wire, payload: &[u8]) -> Answer {
    wire.ask(&[b"RESTORE".as_slice(), b"k", b"0", payload, b"REPLACE"])
}

fn use_it(wire: &mut Wire) {
    let kind = wire.ask(&["TYPE", "k"]).text();
    let uses = USES.iter().find(|(name, _)| *name == kind);
    for command in uses.map(|(_, commands)| *commands).unwrap_or_default() {
        said(wire, command);
    }
    wire.ask(&["DUMP", "k"]);
    wire.ask(&["DEL", "k"]);
}

/// A payload without its checksum; the two bytes before that are the version of the format.
fn body(payload: &[u8]) -> &[u8] {
    &payload[..payload.len() - 8]
}

fn signed(body: &[u8]) -> Vec<u8> {
    [body, &crc64(body).to_le_bytes()].concat()
}

/// A payload with one to four changes, and a checksum that agrees.
fn changed(payload: &[u8], noise: &mut Noise) -> Vec<u8> {
    let (data, version) = body(payload).split_at(payload.len() - 10);
    let mut data = data.to_vec();
    for _ in 0..=noise.below(4) {
        let at = noise.below(data.len());
        match noise.below(8) {
            0 => data.insert(at, noise.byte()),
            1 if data.len() > 2 => drop(data.remove(at)),
            2 if data.len() > 2 => data.truncate(at.max(2)),
            3 => data[0] = noise.byte() % 24,
            4 => data[at] ^= 1 << noise.below(8),
            _ => data[at] = [0, 1, 0x7f, 0xc0, 0xfe, 0xff, noise.byte()][noise.below(7)],
        }
    }
    // A number of elements in four or eight bytes. 7.0 makes room for four billion elements that
    // never come, and spends half a minute on tidying up; as long as any script of the tenant.
    if let Some(0x80 | 0x81) = data.get(1) {
        data[1] = 1;
    }
    signed(&[&data, version].concat())
}

/// Numbers that are the same in every run.
struct Noise(u64);

impl Noise {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0.to_be_bytes()[0]
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(u16::from_be_bytes([self.byte(), self.byte()])) % end
    }
}

/// The checksum of payloads: CRC-64 of Jones, reflected, without any inversion.
fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 }
        })
    })
}
