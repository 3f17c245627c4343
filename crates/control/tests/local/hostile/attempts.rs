//! What someone tries who knows the engine: commands that reach beyond the data, with arguments
//! that would do harm, under false names, and against the connections of the system.

use std::net::SocketAddrV4;

use ourkv_control::engine::{Binary, Engines};
use ourkv_control::substrate::Substrate;
use ourkv_domain::instance::NodeType;

use super::super::ground::{
    ADMIN, Ground, LINK, PASSWORD, bring_up, each_redis, run, take_down, text,
};
use super::verdict::{Ways, lets_through, ways};
use super::wire::{Answer, Wire};
use super::witness::{Witness, admin};

/// Refused on every version, by every way.
const REFUSED: &[&str] = &[
    "CONFIG GET *",
    "CONFIG GET dir",
    "CONFIG GET requirepass",
    "CONFIG GET masterauth",
    "CONFIG GET dir masterauth",
    "CONFIG SET dir /tmp",
    "CONFIG SET dbfilename authorized_keys",
    "CONFIG SET logfile /tmp/log",
    "CONFIG SET unixsocket /tmp/socket",
    "CONFIG SET aclfile /tmp/users",
    "CONFIG SET loadmodule /tmp/module.so",
    "CONFIG SET requirepass mine",
    "CONFIG SET masterauth mine",
    "CONFIG SET masteruser default",
    "CONFIG SET bind 0.0.0.0",
    "CONFIG SET port 1",
    "CONFIG SET protected-mode no",
    "CONFIG SET maxmemory 0",
    "CONFIG SET maxclients 100000",
    "CONFIG SET appendonly no",
    "CONFIG SET save 1 1",
    "CONFIG SET slaveof no one",
    "CONFIG SET replicaof no one",
    "CONFIG SET slave-read-only no",
    "CONFIG SET client-output-buffer-limit normal 0 0 0",
    "CONFIG SET lua-time-limit 0",
    "CONFIG SET enable-debug-command yes",
    "CONFIG SET sanitize-dump-payload no",
    "CONFIG SET dir /tmp dbfilename x",
    "CONFIG RESETSTAT",
    "CONFIG REWRITE",
    "MODULE LIST",
    "MODULE LOAD /tmp/module.so",
    "MODULE LOADEX /tmp/module.so CONFIG a b ARGS c",
    "MODULE UNLOAD x",
    "DEBUG SEGFAULT",
    "DEBUG PANIC",
    "DEBUG OOM",
    "DEBUG RESTART",
    "DEBUG CRASH-AND-RECOVER",
    "DEBUG RELOAD",
    "DEBUG LOADAOF",
    "DEBUG SLEEP 0",
    "DEBUG OBJECT key",
    "DEBUG SET-ACTIVE-EXPIRE 0",
    "DEBUG CHANGE-REPL-ID",
    "DEBUG SET-SKIP-CHECKSUM-VALIDATION 1",
    "DEBUG CONFIG-REWRITE-FORCE-ALL",
    "DEBUG MALLCTL version",
    "DEBUG LEAK text",
    "SHUTDOWN",
    "SHUTDOWN SAVE",
    "SHUTDOWN NOSAVE",
    "SHUTDOWN NOSAVE NOW FORCE",
    "SHUTDOWN ABORT",
    "ACL SETUSER default on nopass +@all",
    "ACL SETUSER mine on >mine ~* +@all",
    "ACL DELUSER cp_admin",
    "ACL DELUSER cp_repl",
    "ACL GETUSER cp_admin",
    "ACL LIST",
    "ACL USERS",
    "ACL LOAD",
    "ACL SAVE",
    "ACL LOG",
    "ACL DRYRUN cp_admin CONFIG GET dir",
    "FAILOVER",
    "FAILOVER ABORT",
    "FAILOVER TO 127.0.0.1 1 FORCE TIMEOUT 1",
    "SLAVEOF NO ONE",
    "SLAVEOF 127.0.0.1 1",
    "REPLICAOF NO ONE",
    "REPLICAOF 127.0.0.1 1",
    "CLUSTER MEET 127.0.0.1 1",
    "CLUSTER FAILOVER TAKEOVER",
    "CLUSTER RESET HARD",
    "CLUSTER SAVECONFIG",
    "MIGRATE 127.0.0.1 1 key 0 1000",
    "MIGRATE 127.0.0.1 1 key 0 1000 COPY REPLACE AUTH2 cp_admin x",
    "RESTORE-ASKING key 0 x",
    "CLIENT KILL 127.0.0.1:1",
    "CLIENT KILL ID 1",
    "CLIENT KILL TYPE normal SKIPME no",
    "CLIENT KILL TYPE master",
    "CLIENT KILL TYPE slave",
    "CLIENT KILL TYPE replica",
    "CLIENT KILL USER cp_admin",
    "CLIENT KILL USER cp_repl",
    "CLIENT KILL LADDR 127.0.0.1:1",
    "CLIENT PAUSE 100000",
    "CLIENT PAUSE 100000 WRITE",
    "CLIENT UNPAUSE",
    "CLIENT NO-EVICT ON",
    "CLIENT REPLY OFF",
    "CLIENT REPLY SKIP",
    "CLIENT UNBLOCK 1 ERROR",
    "SAVE",
    "BGSAVE",
    "BGSAVE SCHEDULE",
    "BGREWRITEAOF",
    "LASTSAVE",
    "SLOWLOG RESET",
    "PFDEBUG GETREG key",
    "PFSELFTEST",
];

/// The same where subcommands can be told apart and replicas have a user of their own.
const REFUSED_BY_ACL: &[&str] = &[
    "SYNC",
    "PSYNC ? -1",
    "REPLCONF listening-port 1",
    "REPLCONF ip-address 127.0.0.1",
    "REPLCONF ack 1000000",
    "SCRIPT DEBUG YES",
    "SCRIPT DEBUG SYNC",
];

/// One that is refused, under names that look like it or are read as it by some parser.
const DRESSED_UP: &[&[u8]] = &[
    b"\"CONFIG\" GET dir\r\n",
    b"'config' get dir\r\n",
    b"\"\\x43\\x4f\\x4e\\x46\\x49\\x47\" GET dir\r\n",
    b"  CONFIG   GET   dir\r\n",
    b"\tCONFIG\tGET\tdir\r\n",
    b"CONFIG GET dir\n",
    b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$3\r\ndir\r\n",
    b"*3\r\n$7\r\nCONFIG\0\r\n$3\r\nGET\r\n$3\r\ndir\r\n",
    b"*3\r\n$7\r\n CONFIG\r\n$3\r\nGET\r\n$3\r\ndir\r\n",
    b"*3\r\n$7\r\nCONFIG \r\n$3\r\nGET\r\n$3\r\ndir\r\n",
    b"*2\r\n$10\r\nconfig|get\r\n$3\r\ndir\r\n",
    b"*3\r\n$10\r\nconfig|get\r\n$3\r\nget\r\n$3\r\ndir\r\n",
    b"*2\r\n$10\r\nCONFIG GET\r\n$3\r\ndir\r\n",
    b"*3\r\n$6\r\nCONFIG\r\n$4\r\nGET\0\r\n$3\r\ndir\r\n",
    b"*1\r\n$16\r\nCONFIG\r\nGET\r\ndir\r\n",
    // The letter I without its dot, and a full-width C, fold to those of CONFIG in Unicode.
    b"*3\r\n$7\r\nCONF\xc4\xb1G\r\n$3\r\nGET\r\n$3\r\ndir\r\n",
    b"*3\r\n$8\r\n\xef\xbc\xa3ONFIG\r\n$3\r\nGET\r\n$3\r\ndir\r\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_reaches_beyond_the_data() {
    let mut ground = Ground::new(142);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        let witness = Witness::of(&ground, &binary, &unit).await;
        let by_acl = if binary.has_acl() { REFUSED_BY_ACL } else { &[] };
        // Payloads are checked from 6.2 on; before, a false one ends the engine, or worse.
        let unchecked: &[&str] = if binary.level() < (6, 2) {
            &["RESTORE key 0 x", "RESTORE key 0 x REPLACE"]
        } else {
            &[]
        };
        for command in REFUSED.iter().chain(by_acl).chain(unchecked) {
            let words: Vec<&str> = command.split(' ').collect();
            assert_eq!(ways(&binary, unit.address, &words), Ways::NONE, "{binary}: {command}");
        }
        for bytes in DRESSED_UP {
            let mut wire = Wire::tenant(unit.address);
            wire.send(bytes);
            let line = wire.line();
            assert!(!lets_through(line.as_deref()), "{binary}: {bytes:?}: {line:?}");
        }
        witness.finds_nothing_changed(&ground, &local, &unit).await;
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_under_another_name_or_a_reset_gives_nothing_more() {
    let mut ground = Ground::new(143);
    for (binary, version) in each_redis().await.into_iter().filter(|(b, _)| b.has_acl()) {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::StandAlone, version);
        bring_up(&local, &unit).await;
        let id = unit.id.as_str();
        for login in [
            vec!["HELLO", "3", "AUTH", "default", PASSWORD, "SETNAME", "cp_admin"],
            vec!["HELLO", "2", "AUTH", id, PASSWORD, "SETNAME", "master"],
            vec!["AUTH", id, PASSWORD],
        ] {
            let mut wire = Wire::stranger(unit.address);
            assert_eq!(wire.ask(&login).error(), None, "{binary}: {login:?}");
            let answer = wire.ask(&["CONFIG", "GET", "dir"]);
            assert!(answer.error().unwrap().starts_with("NOPERM"), "{binary}: {answer:?}");
        }
        if binary.level() >= (6, 2) {
            let mut wire = Wire::tenant(unit.address);
            assert_eq!(wire.ask(&["RESET"]), Answer::Text(b"RESET".to_vec()));
            let answer = wire.ask(&["GET", "key"]);
            assert!(answer.error().unwrap().starts_with("NOAUTH"), "{binary}: {answer:?}");
        }
        take_down(&local, &unit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connections_of_the_system_are_out_of_reach() {
    let mut ground = Ground::new(144);
    for (binary, version) in each_redis().await.into_iter().filter(|(b, _)| b.has_acl()) {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        let mut ours = admin(&binary, &unit).await;
        let synchronised = stat(&mut ours, "sync_full").await;
        let clients = Wire::tenant(unit.address).ask(&["CLIENT", "LIST"]).text();
        let ids: Vec<&str> =
            clients.split("id=").skip(1).filter_map(|line| line.split(' ').next()).collect();
        assert!(ids.len() >= 3, "{binary}: {clients}");
        for id in ids {
            attack_connection(&binary, unit.address, id);
        }
        // It gets its own answers and nothing else, in the order in which it asks.
        assert_eq!(text(&mut ours, "ECHO one").await, "one");
        run(&mut ours, "CONFIG GET maxmemory").await.unwrap();
        assert_eq!(text(&mut ours, "ECHO two").await, "two");
        assert_eq!(stat(&mut ours, "sync_full").await, synchronised, "{binary}");
        assert_eq!(stat(&mut ours, "connected_slaves").await, "1", "{binary}");
        take_down(&local, &unit).await;
    }
}

/// Kills are refused; what a tenant may send to another connection, that one does not get.
fn attack_connection(binary: &Binary, address: SocketAddrV4, id: &str) {
    let mut wire = Wire::tenant(address);
    for kill in [vec!["CLIENT", "KILL", "ID", id], vec!["CLIENT", "UNBLOCK", id, "ERROR"]] {
        let answer = wire.ask(&kill);
        assert!(answer.error().unwrap().starts_with("NOPERM"), "{binary}: {answer:?}");
    }
    let tracking = ["CLIENT", "TRACKING", "ON", "REDIRECT", id, "BCAST"];
    // Its own id is refused for being its own.
    let answer = wire.ask(&tracking);
    assert!(answer.error().is_none_or(|error| error.contains("ID")), "{binary}: {answer:?}");
    for n in 0..20 {
        wire.ask(&["SET", "key", &n.to_string()]);
        wire.ask(&["PUBLISH", "__redis__:invalidate", "key"]);
    }
}

async fn stat(ours: &mut redis::aio::MultiplexedConnection, name: &str) -> String {
    let info = text(ours, "INFO").await;
    let field = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    field.unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_of_the_system_are_not_guessed() {
    let mut ground = Ground::new(145);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        let with_id = format!("{}:{PASSWORD}", unit.id);
        let cut = &PASSWORD[..PASSWORD.len() - 1];
        let long = "x".repeat(10_000);
        let passwords =
            ["", "cp_admin", "cp_repl", "default", &with_id, cut, &long, "#", "*", "on", "nopass"];
        for user in ["cp_admin", "cp_repl", "CP_ADMIN", "root", "admin", "default", "", "*"] {
            let own = if user == "default" { None } else { Some(PASSWORD) };
            // As the default user `id:password` is the documented second form of the password.
            let others = passwords.iter().copied().filter(|p| user != "default" || *p != with_id);
            for password in others.chain(own) {
                assert_wrong(&binary, unit.address, &["AUTH", user, password]);
                if binary.has_acl() {
                    assert_wrong(&binary, unit.address, &["HELLO", "3", "AUTH", user, password]);
                }
            }
        }
        for password in ["", ADMIN, LINK, cut, "passw0rd!#$", &format!("{PASSWORD} ")] {
            assert_wrong(&binary, unit.address, &["AUTH", password]);
        }
        local.login(&unit).await.unwrap();
        take_down(&local, &unit).await;
    }
}

/// The login is refused, and the connection is as good as before it.
fn assert_wrong(binary: &Binary, address: SocketAddrV4, login: &[&str]) {
    let mut wire = Wire::stranger(address);
    let answer = wire.ask(login);
    assert!(answer.error().is_some(), "{binary}: {login:?}: {answer:?}");
    let answer = wire.ask(&["GET", "key"]);
    assert!(answer.error().unwrap().contains("NOAUTH"), "{binary}: {login:?}: {answer:?}");
}
