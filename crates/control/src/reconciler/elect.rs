//! Who is to be the master of a pair whose master is gone, decided from what is known.
//!
//! Pure. Its rule: what was acknowledged is kept. A replica takes over only where it followed to
//! the end; otherwise the master's own data on the disk, which has everything that was
//! acknowledged, is started again. Only where those are missing does an engine take over that may
//! lack writes, and then the loss is named.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::substrate::{Kept, Link, Member, Replication, Standing};

/// A link that broke that long before its master's death broke because of it: the two are noticed
/// by different clocks, one of which counts in whole seconds.
const SLACK: Duration = Duration::from_secs(5);
/// How many bytes a replica that follows may be behind its master. The master's configuration lets
/// no replica be further behind for long.
const FAR_BEHIND: i64 = 64 << 20;

/// What a decision is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    /// Who was the master and is gone.
    pub(super) master: Member,
    /// What the engines have.
    pub(super) standings: &'a BTreeMap<Member, Standing>,
    /// Whether engines keep their data on the disk.
    pub(super) durable: bool,
    /// What the master last said of its history, and how far it was.
    pub(super) last: Option<&'a (String, i64)>,
    /// How long ago it ended, where that was noticed.
    pub(super) ended: Option<Duration>,
    /// Roles changed too often lately.
    pub(super) damped: bool,
}

/// Who is to be the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The one that was, started again from its data.
    Stay,
    /// The other one.
    Raise(Member),
}

/// A choice and why it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) choice: Choice,
    /// What was seen, and what follows from it.
    pub(super) reason: String,
    /// What is lost with it, where something is.
    pub(super) loss: Option<String>,
    /// The other one would have been chosen, had roles not changed so often.
    pub(super) damped: bool,
}

/// Chooses.
pub(super) fn elect(scene: &Scene<'_>) -> Decision {
    let other = scene.master.other();
    let own = kept(scene, scene.master);
    let candidate = scene.standings.get(&other).and_then(|standing| standing.replication.as_ref());
    let flaw = match candidate {
        Some(candidate) => flaw(scene, candidate, own),
        None => Some("it does not answer".to_owned()),
    };
    match (flaw, own) {
        (None, Some(_)) if scene.damped => Decision {
            damped: true,
            ..decide(Choice::Stay, "roles changed too often lately".into(), None)
        },
        (None, _) => {
            let seen = candidate.map(describe).unwrap_or_default();
            let loss = candidate.and_then(|candidate| behind(scene, candidate));
            decide(Choice::Raise(other), format!("{other} followed to the end ({seen})"), loss)
        }
        (Some(flaw), Some(own)) if !is_empty_against(own, candidate) => {
            let reason = format!("{other} can't take over: {flaw}; {}", on_disk(scene.master, own));
            decide(Choice::Stay, reason, None)
        }
        (Some(flaw), _) => without_own_data(scene, candidate, &flaw),
    }
}

/// The master's own data are gone: whatever the other one has is all there is.
fn without_own_data(scene: &Scene<'_>, candidate: Option<&Replication>, flaw: &str) -> Decision {
    let (master, other) = (scene.master, scene.master.other());
    let nothing = format!("{master} has no data on the disk");
    let whole = candidate.filter(|candidate| candidate.keys > 0 && !is_unfinished(candidate));
    if let Some(candidate) = whole {
        let reason =
            format!("{nothing}; {other} has some ({}), though {flaw}", describe(candidate));
        let loss = format!("writes that {other} had not received: {flaw}");
        return decide(Choice::Raise(other), reason, Some(loss));
    }
    if let Some(kept) = kept(scene, other).filter(|kept| kept.bytes > 0) {
        let reason = format!("{nothing}; {}", on_disk(other, kept));
        let loss = format!("writes that {other} had not received when it last wrote to its disk");
        return decide(Choice::Raise(other), reason, Some(loss));
    }
    let loss = scene.last.map_or_else(
        || "everything that was not on a disk".to_owned(),
        |(_, offset)| format!("everything: {offset} bytes of history were on no disk"),
    );
    let reason = format!("{nothing}, {other} has none either: {flaw}");
    // An empty master that has its data file lost nothing.
    let loss = kept(scene, master).is_none().then_some(loss);
    decide(Choice::Stay, reason, loss)
}

/// Why a replica can't take over as if nothing had happened.
fn flaw(scene: &Scene<'_>, candidate: &Replication, own: Option<Kept>) -> Option<String> {
    if candidate.loading {
        return Some("it still reads its data".into());
    }
    match candidate.link {
        // It is where clients write already.
        Link::Master => return None,
        Link::Never => return Some("it has not followed since it was started".into()),
        Link::Syncing => return Some("it was being given all the data".into()),
        Link::Down(down) => {
            // Without a witness of the death, the last write to the master's disk tells when it
            // lived for certain.
            let ended = scene.ended.or(own.map(|own| own.age));
            if ended.is_some_and(|ended| down > ended.saturating_add(SLACK)) {
                return Some(format!(
                    "its link broke {} s ago, before the master ended",
                    down.as_secs()
                ));
            }
        }
        Link::Up => {}
    }
    let (history, offset) = scene.last?;
    if !history.is_empty() && !candidate.history.is_empty() && *history != candidate.history {
        return Some("it follows another history than the master's".into());
    }
    (candidate.offset.saturating_add(FAR_BEHIND) < *offset)
        .then(|| format!("it is {} bytes behind", offset - candidate.offset))
}

fn kept(scene: &Scene<'_>, member: Member) -> Option<Kept> {
    let standing = scene.standings.get(&member).filter(|_| scene.durable);
    standing.and_then(|standing| standing.disk)
}

/// Whether the master's data file has nothing and the other one has something.
fn is_empty_against(own: Kept, candidate: Option<&Replication>) -> bool {
    let has = candidate.is_some_and(|candidate| candidate.keys > 0 && !is_unfinished(candidate));
    own.bytes == 0 && has
}

/// What it has is a part of something.
fn is_unfinished(candidate: &Replication) -> bool {
    candidate.loading || candidate.link == Link::Syncing
}

/// What a replica lacks for certain.
fn behind(scene: &Scene<'_>, candidate: &Replication) -> Option<String> {
    let (_, offset) = scene.last.filter(|_| candidate.link != Link::Master)?;
    let lacks = offset.saturating_sub(candidate.offset);
    (lacks > 0).then(|| format!("the last {lacks} bytes of the master's history at least"))
}

fn decide(choice: Choice, reason: String, loss: Option<String>) -> Decision {
    Decision { choice, reason, loss, damped: false }
}

fn describe(candidate: &Replication) -> String {
    let link = match candidate.link {
        Link::Master => "master".to_owned(),
        Link::Up => "link up".to_owned(),
        Link::Down(down) => format!("link down for {} s", down.as_secs()),
        Link::Syncing => "being given the data".to_owned(),
        Link::Never => "never linked".to_owned(),
    };
    format!("{link}, offset {}, {} keys", candidate.offset, candidate.keys)
}

fn on_disk(member: Member, kept: Kept) -> String {
    format!("{member} has {} bytes on the disk, {} s old", kept.bytes, kept.age.as_secs())
}

#[cfg(test)]
mod tests;
