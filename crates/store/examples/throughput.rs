//! How many small transactions per second the store takes from 32 tasks on this machine.
//!
//! `cargo run --release -p ourkv-store --example throughput [DATABASE]`; without an argument on a
//! SQLite file in a temporary directory.
#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ourkv_domain::ids::AccessKeyId;
use ourkv_domain::mint::Mint;
use ourkv_store::{Location, Sealer, Store, StoreError};

const TASKS: u64 = 32;
const SPAN: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let location = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => Location::Sqlite(directory.path().join("ourkv.db")),
    };
    let sealer = Sealer::new([1; 32], Arc::new(Mint::from_seed([1; 32])));
    let opening = location.clone();
    let store = tokio::task::spawn_blocking(move || Store::open(&opening, sealer)).await??;
    println!("{location:?}");
    println!("write: {:>7} per second", rate(&store, true).await?);
    println!("read:  {:>7} per second", rate(&store, false).await?);
    store.close().await;
    Ok(())
}

/// Transactions per second: a nonce to write, a setting to read.
async fn rate(store: &Store, write: bool) -> Result<u64, Box<dyn Error>> {
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (store, done) = (store.clone(), done.clone());
        tasks.push(tokio::spawn(async move {
            let key = AccessKeyId::parse(format!("LTAI{task}")).map_err(|_| unparsed())?;
            let mut number = 0_u64;
            while start.elapsed() < SPAN {
                number += 1;
                if write {
                    let (key, nonce) = (key.clone(), number.to_string());
                    store.write(move |tx| tx.burn_nonce(&key, &nonce, Timestamp::MAX)).await?;
                } else {
                    store.read(|tx| tx.setting("name")).await?;
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, StoreError>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(done.load(Ordering::Relaxed) / SPAN.as_secs())
}

fn unparsed() -> StoreError {
    StoreError::Statement { detail: "the key is not well formed".into() }
}
