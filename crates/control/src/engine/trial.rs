//! An engine that is started only to see whether it loads data.
//!
//! Guarantees: nobody reaches it but over the socket in its directory, which is private; it
//! writes nothing but its log, and keeps nothing. It checks what it loads as thoroughly as it can.

use super::{Binary, DATABASES, Launch};

/// What it loads, in its directory.
pub const DUMP: &str = "dump.rdb";

/// How it is called.
pub fn launch(binary: &Binary) -> Launch {
    let level = binary.level();
    let mut text = format!(
        "port 0\nunixsocket {}\nunixsocketperm 600\ndir .\ndbfilename {DUMP}\nsave \"\"\n\
         appendonly no\ndatabases {DATABASES}\nmaxclients 8\ndaemonize no\nlogfile \"\"\n\
         rdbchecksum yes\n",
        super::redis_conf::ADMIN_SOCKET,
    );
    if level >= (4, 0) {
        text.push_str("always-show-logo no\n");
    }
    if level >= (6, 2) {
        text.push_str(
            "sanitize-dump-payload yes\ncrash-log-enabled no\ncrash-memcheck-enabled no\n",
        );
    }
    Launch { arguments: vec!["-".into()], environment: Vec::new(), input: Some(text.into()) }
}
