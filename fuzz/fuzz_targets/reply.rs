//! What an engine, or whoever sits at its address, answers: RESP, the first line of a full one, and
//! what INFO tells.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ourkv_control::engine::full;
use ourkv_control::engine::info::Info;
use tokio::io::AsyncWriteExt;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

fuzz_target!(|data: &[u8]| {
    let _ = redis::parse_redis_value(data);
    RUNTIME.block_on(async {
        let (mut near, mut far) = tokio::io::duplex(data.len().max(64));
        far.write_all(data).await.expect("it has room for all of it");
        drop(far);
        let _ = full::is_full(&mut near).await;
    });
    let info = Info::of(String::from_utf8_lossy(data).into_owned());
    info.number("rdb_changes_since_last_save");
    info.keyspace();
    let _ = (info.is_loading(), info.is_writing());
});
