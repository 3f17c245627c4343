//! What the fake's engines hold: bytes instead of keys, one key a line.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use ourkv_domain::backup::{EngineKind, EngineStamp};
use ourkv_domain::ids::InstanceId;
use std::sync::Arc;

use super::{Fake, refused};
use crate::substrate::{ByteStream, Lead, Loaded, Member, Saving, Trouble, Unit};

/// What no engine of the fake loads begins with this.
const CORRUPT: &[u8] = b"corrupt";
const CHUNK: usize = 64 << 10;

/// The data of one instance.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Whether it goes with its engine.
    pub(super) volatile: bool,
    /// What each engine holds, or would hold if it ran.
    pub(super) copies: BTreeMap<Member, Copy>,
    /// What a volatile instance is loaded from, until that is tidied.
    file: Option<Bytes>,
    /// What is staged.
    next: Option<Bytes>,
    /// What is to be remembered of it.
    pub(super) manifest: Option<Vec<u8>>,
}

/// What one engine has.
#[derive(Debug, Clone, Default)]
pub(super) struct Copy {
    pub(super) data: Bytes,
    /// Whose history of writes that is, and how far.
    pub(super) history: u64,
    pub(super) offset: i64,
}

impl Fake {
    /// Gives an instance's master this data.
    pub fn put(&self, id: &InstanceId, data: impl Into<Bytes>) {
        let mut state = self.state();
        let master = state.sight(id, Lead::default()).lead.master;
        let held = state.held.entry(id.clone()).or_default();
        held.copies.entry(master).or_default().replace(data.into());
        state.replicate(id);
    }

    /// What an instance's master holds, or would hold if it ran.
    pub fn data(&self, id: &InstanceId) -> Bytes {
        let master = self.seen(id).lead.master;
        self.data_of(id, master)
    }

    /// What an engine holds, or would hold if it ran.
    pub fn data_of(&self, id: &InstanceId, member: Member) -> Bytes {
        let state = self.state();
        let copy = state.held.get(id).and_then(|held| held.copies.get(&member));
        copy.map(|copy| copy.data.clone()).unwrap_or_default()
    }

    pub(super) fn begin_save(&self, unit: &Unit) -> Result<Saving, Trouble> {
        let state = self.state();
        let Some(master) = state.writer(&unit.id) else {
            return Err(refused("saving", "nobody there"));
        };
        if state.held.get(&unit.id).is_some_and(|held| held.file.is_some()) {
            return Err(refused("saving", "its data was just put there"));
        }
        drop(state);
        let data = self.data(&unit.id);
        let (state, id) = (Arc::clone(&self.state), unit.id.clone());
        let chunks: Vec<Bytes> = data.chunks(CHUNK).map(Bytes::copy_from_slice).collect();
        let each = futures::stream::iter(chunks).map(Ok);
        let end = futures::stream::once(async move {
            let running = super::locked(&state).writer(&id) == Some(master);
            let gone = Trouble::Ended { last_words: "it was killed".into() };
            if running { Ok(Bytes::new()) } else { Err(gone) }
        });
        Ok(Saving {
            engine: EngineStamp { kind: EngineKind::Redis, version: (7, 0, 15) },
            keys: keys(&data),
            expiring: 0,
            percent: Arc::default(),
            bytes: each.chain(end).boxed(),
        })
    }

    pub(super) async fn keep_staged(
        &self,
        unit: &Unit,
        serial: i64,
        bytes: ByteStream,
    ) -> Result<(), Trouble> {
        {
            let mut state = self.state();
            let Some(seen) = state.seen.get_mut(&unit.id).filter(|seen| seen.prepared) else {
                return Err(refused("staging", "not prepared"));
            };
            (seen.staged, seen.untidy) = (None, true);
        }
        let data = whole(bytes).await?;
        let mut state = self.state();
        if let Some(seen) = state.seen.get_mut(&unit.id) {
            seen.staged = Some(serial);
            state.held.entry(unit.id.clone()).or_default().next = Some(data);
        }
        Ok(())
    }

    pub(super) fn load_staged(&self, unit: &Unit, serial: i64) -> Result<Loaded, Trouble> {
        let state = self.state();
        let staged = state.seen.get(&unit.id).and_then(|seen| seen.staged);
        match state.held.get(&unit.id).and_then(|held| held.next.as_ref()) {
            Some(data) if staged == Some(serial) => load(data),
            _ => Err(refused("proving", "not staged")),
        }
    }

    pub(super) fn exchange(&self, unit: &Unit, serial: i64) -> Result<(), Trouble> {
        let mut state = self.state();
        if state.runs(&unit.id) {
            return Err(refused("swapping", "it runs"));
        }
        let master = state.lead(unit).master;
        let state = &mut *state;
        let seen = state.seen.entry(unit.id.clone()).or_default();
        if seen.dataset == serial {
            return Ok(());
        }
        let held = state.held.entry(unit.id.clone()).or_default();
        let next = held.next.take().filter(|_| seen.staged == Some(serial));
        let Some(next) = next else {
            return Err(refused("swapping", "not staged"));
        };
        held.file = held.volatile.then(|| next.clone());
        held.copies = BTreeMap::from([(master, Copy { data: next, ..Copy::default() })]);
        (seen.dataset, seen.staged, seen.untidy) = (serial, None, true);
        Ok(())
    }

    pub(super) fn drop_leftovers(&self, unit: &Unit) {
        let mut state = self.state();
        if let Some(seen) = state.seen.get_mut(&unit.id) {
            (seen.staged, seen.untidy) = (None, false);
        }
        if let Some(held) = state.held.get_mut(&unit.id) {
            (held.file, held.next) = (None, None);
        }
    }
}

impl Held {
    /// An engine begins to lead, and with that a history of its own.
    pub(super) fn begin_history(&mut self, member: Member) {
        let latest = self.copies.values().map(|copy| copy.history).max().unwrap_or(0);
        self.copies.entry(member).or_default().history = latest + 1;
    }

    /// An engine starts on what is kept.
    pub(super) fn load(&mut self, member: Member) -> Result<(), Trouble> {
        let copy = self.copies.entry(member).or_default();
        if self.volatile {
            copy.replace(self.file.clone().unwrap_or_default());
        }
        load(&copy.data).map(|_| ())
    }
}

impl Copy {
    /// It holds this instead of what it had.
    pub(super) fn replace(&mut self, data: Bytes) {
        self.offset += 1;
        self.data = data;
    }

    /// It holds a line more.
    pub(super) fn append(&mut self, line: &str) {
        self.offset += 1;
        self.data = [&self.data, line.as_bytes(), b"\n"].concat().into();
    }
}

pub(super) async fn load_stream(bytes: ByteStream) -> Result<Loaded, Trouble> {
    load(&whole(bytes).await?)
}

fn load(data: &[u8]) -> Result<Loaded, Trouble> {
    if data.starts_with(CORRUPT) {
        return Err(Trouble::Dataset { reason: "it says that it is corrupt".into() });
    }
    Ok(Loaded { keys: keys(data), expired: 0 })
}

pub(super) fn keys(data: &[u8]) -> u64 {
    data.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

async fn whole(bytes: ByteStream) -> Result<Bytes, Trouble> {
    let parts: Vec<Bytes> = bytes.try_collect().await?;
    Ok(parts.concat().into())
}
