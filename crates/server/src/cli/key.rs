//! `ourkv key`: what callers sign with.

use std::num::NonZeroU32;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use ourkv_domain::access_key::AccessKey;
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::{AccessKeyId, AccountId};
use ourkv_store::Tx;
use serde::Serialize;

use super::account::Which;
use super::{Context, output};

/// Letters and digits of a secret; the vendor's are as long.
const SECRET_LENGTH: usize = 30;

/// Manage AccessKeys
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// List the keys, without their secrets
    Ls,
    /// Make a key and show its secret, this once
    Create(Which),
    /// Accept calls of a key again
    Enable(Id),
    /// Refuse calls of a key from now on
    Disable(Id),
    /// Remove a key
    Rm(Id),
    /// Throttle a key, or stop throttling it
    Limit(Limit),
}

#[derive(Debug, Args)]
pub(super) struct Id {
    /// Id of the key
    id: AccessKeyId,
}

#[derive(Debug, Args)]
pub(super) struct Limit {
    /// Id of the key
    id: AccessKeyId,
    /// Calls per second beyond which it is throttled, or `none`
    #[arg(long, value_name = "N|none", value_parser = number_or_none)]
    per_second: PerSecond,
}

/// A type of its own, as clap reads an `Option` as a flag that may be absent.
#[derive(Debug, Clone, Copy)]
struct PerSecond(Option<NonZeroU32>);

#[derive(Serialize)]
struct Row {
    id: AccessKeyId,
    account: AccountId,
    active: bool,
    calls_per_second: Option<u32>,
    created_at: Timestamp,
}

#[derive(Serialize)]
struct Created<'a> {
    id: &'a AccessKeyId,
    secret: &'a str,
    account: &'a AccountId,
}

impl Key {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Ls => list(context).await,
            Self::Create(which) => create(context, which).await,
            Self::Enable(Id { id }) => change(context, id, |key| key.active = true).await,
            Self::Disable(Id { id }) => change(context, id, |key| key.active = false).await,
            Self::Rm(Id { id }) => remove(context, id).await,
            Self::Limit(Limit { id, per_second }) => {
                let limit = per_second.0.map(NonZeroU32::get);
                change(context, id, move |key| key.calls_per_second = limit).await
            }
        }
    }
}

async fn list(context: &Context) -> anyhow::Result<()> {
    let opened = context.open().await?;
    let keys = opened.store.read(|tx| anyhow::Ok(tx.access_keys()?)).await?;
    context.output.list(&keys.into_iter().map(Row::of).collect::<Vec<_>>())
}

async fn create(context: &Context, which: Which) -> anyhow::Result<()> {
    let opened = context.open().await?;
    let (id, secret) = (opened.mint.access_key(), opened.mint.secret(SECRET_LENGTH));
    let now = opened.clock.now();
    let insert = move |tx: &mut Tx<'_>| {
        let key = AccessKey {
            id: id.clone(),
            secret: secret.clone(),
            account: which.find(tx)?.id,
            active: true,
            calls_per_second: None,
            created_at: now,
        };
        tx.insert_access_key(&key)?;
        anyhow::Ok(key)
    };
    let key = opened.store.write(insert).await?;
    let secret = key.secret.expose();
    context.output.show(&Created { id: &key.id, secret, account: &key.account })
}

async fn change(
    context: &Context,
    id: AccessKeyId,
    change: impl Fn(&mut AccessKey) + Send + 'static,
) -> anyhow::Result<()> {
    let opened = context.open().await?;
    let save = move |tx: &mut Tx<'_>| {
        let mut key = tx.access_key(&id)?.with_context(|| unknown(&id))?;
        change(&mut key);
        tx.save_access_key(&key)?;
        anyhow::Ok(key)
    };
    let key = opened.store.write(save).await?;
    context.output.show(&Row::of(key))
}

async fn remove(context: &Context, id: AccessKeyId) -> anyhow::Result<()> {
    let opened = context.open().await?;
    let gone = id.clone();
    if !opened.store.write(move |tx| anyhow::Ok(tx.delete_access_key(&gone)?)).await? {
        bail!(unknown(&id));
    }
    output::say(&format!("removed {id}"));
    Ok(())
}

fn unknown(id: &AccessKeyId) -> String {
    format!("there is no key {id}; `ourkv key ls` lists them")
}

fn number_or_none(text: &str) -> Result<PerSecond, String> {
    match text {
        "none" => Ok(PerSecond(None)),
        number => match number.parse() {
            Ok(number) => Ok(PerSecond(Some(number))),
            Err(_) => Err("must be a number from 1 on, or `none`".into()),
        },
    }
}

impl Row {
    fn of(key: AccessKey) -> Self {
        Self {
            id: key.id,
            account: key.account,
            active: key.active,
            calls_per_second: key.calls_per_second,
            created_at: key.created_at,
        }
    }
}
