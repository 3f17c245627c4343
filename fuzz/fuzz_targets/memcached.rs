//! What a memcached, or whoever sits at its address, answers to a login.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ourkv_control::engine::memcached::Client;
use tokio::io::AsyncWriteExt;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

/// Room for the questions.
const QUESTIONS: usize = 256;

fuzz_target!(|data: &[u8]| {
    RUNTIME.block_on(async {
        let (near, mut far) = tokio::io::duplex(data.len() + QUESTIONS);
        far.write_all(data).await.expect("it has room for all of it");
        far.shutdown().await.expect("it is open");
        let mut client = Client::over(near);
        // Each answer takes up its own bytes and no more, so that the next one begins behind it.
        let _ = client.version().await;
        let _ = client.log_in("user", &"password".into()).await;
        while client.no_op().await.is_ok() {}
    });
});
