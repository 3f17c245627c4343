//! `ourkv key-file`: what stored secrets and backups are sealed with.
//!
//! A rotation puts another key before those that are there and seals every value of the store anew,
//! in one transaction; a server that runs notices the key with the next value that it seals. What
//! is cut off is finished by the next one: nothing is ever sealed with a key that the file does not
//! have. Backups are not sealed anew: the key that theirs is sealed with stays in the file.

use anyhow::bail;
use clap::Subcommand;
use ourkv_control::backup::Archive;
use ourkv_domain::backup::{Backup, BackupState};
use serde::Serialize;

use super::{Context, output};
use crate::opening::{KeyFileLock, Opened};
use crate::shelf;

/// Manage the keys that secrets and backups are sealed with
#[derive(Debug, Subcommand)]
pub(super) enum KeyFile {
    /// List the keys, newest first, with what is sealed with each
    Ls,
    /// Draw another key and seal all secrets with it; servers may run meanwhile
    ///
    /// The keys before it stay in the file for backups, and until `ourkv key-file prune`. With
    /// several data directories on one database: stop the others, rotate, copy the file to them.
    Rotate,
    /// Remove the keys that nothing is sealed with any more
    Prune,
}

#[derive(Serialize)]
struct Row {
    key: String,
    newest: bool,
    values: u64,
    backups: u64,
}

#[derive(Serialize)]
struct Done {
    newest: String,
    sealed_anew: u64,
    removed: usize,
    kept: usize,
}

/// What is sealed with each key, by its place.
struct Use {
    values: Vec<u64>,
    backups: Vec<u64>,
    /// Backups of which that could not be told.
    unknown: u64,
}

impl KeyFile {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let opened = context.open().await?;
        match self {
            Self::Ls => list(context, &opened).await,
            Self::Rotate => rotate(context, &opened).await,
            Self::Prune => prune(context, &opened).await,
        }
    }
}

async fn list(context: &Context, opened: &Opened) -> anyhow::Result<()> {
    let used = Use::of(context, opened).await?;
    let names = opened.keys.names().into_iter().enumerate();
    let rows = names.map(|(place, key)| Row {
        key,
        newest: place == 0,
        values: count(&used.values, place),
        backups: count(&used.backups, place),
    });
    context.output.list(&rows.collect::<Vec<_>>())?;
    used.tell();
    Ok(())
}

async fn rotate(context: &Context, opened: &Opened) -> anyhow::Result<()> {
    let lock = KeyFileLock::take(&opened.dir)?;
    let used = Use::of(context, opened).await?;
    if used.values.iter().skip(1).any(|values| *values > 0) {
        output::say("finishing a rotation that was cut off: no further key is drawn");
    } else {
        opened.keys.draw(&lock)?;
    }
    let sealed_anew = opened.store.write(|tx| anyhow::Ok(tx.reseal()?)).await?;
    show(context, opened, sealed_anew, 0)
}

async fn prune(context: &Context, opened: &Opened) -> anyhow::Result<()> {
    let lock = KeyFileLock::take(&opened.dir)?;
    // Whoever had sealed a value when the key was drawn may have written it afterwards.
    let sealed_anew = opened.store.write(|tx| anyhow::Ok(tx.reseal()?)).await?;
    let used = Use::of(context, opened).await?;
    used.tell();
    let removed = opened.keys.drop_unused(&lock, |place| used.has(place))?;
    show(context, opened, sealed_anew, removed)
}

fn show(
    context: &Context,
    opened: &Opened,
    sealed_anew: u64,
    removed: usize,
) -> anyhow::Result<()> {
    let names = opened.keys.names();
    let Some(newest) = names.first().cloned() else { bail!("the key file holds no key") };
    context.output.show(&Done { newest, sealed_anew, removed, kept: names.len() })
}

impl Use {
    async fn of(context: &Context, opened: &Opened) -> anyhow::Result<Self> {
        let read = opened.store.read(|tx| anyhow::Ok((tx.sealed_by_key()?, tx.all_backups(None)?)));
        let (values, backups) = read.await?;
        let mut used = Self { values, backups: Vec::new(), unknown: 0 };
        if backups.is_empty() {
            return Ok(used);
        }
        let archive = shelf::archive(&context.config, opened).await?;
        for backup in &backups {
            used.count(&archive, backup).await;
        }
        Ok(used)
    }

    async fn count(&mut self, archive: &Archive, backup: &Backup) {
        match backup.state {
            BackupState::Success(_) => match archive.place_of_key(backup).await {
                Ok(Some(place)) => {
                    let length = self.backups.len().max(place + 1);
                    self.backups.resize(length, 0);
                    self.backups[place] += 1;
                }
                // Where it is, maybe on another machine, can't be looked at from here.
                Ok(None) | Err(_) => self.unknown += 1,
            },
            BackupState::Running { .. } => self.unknown += 1,
            // Those are not sealed yet, or can't be used any more.
            BackupState::Queued | BackupState::Failed { .. } | BackupState::Removing => {}
        }
    }

    /// Whether something may be sealed with the key of that place.
    fn has(&self, place: usize) -> bool {
        self.unknown > 0 || count(&self.values, place) > 0 || count(&self.backups, place) > 0
    }

    fn tell(&self) {
        if self.unknown > 0 {
            let unknown = self.unknown;
            output::say(&format!(
                "{unknown} backups are being taken or can't be read from here: all keys are kept"
            ));
        }
    }
}

fn count(counts: &[u64], place: usize) -> u64 {
    counts.get(place).copied().unwrap_or(0)
}
