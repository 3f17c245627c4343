//! What the reconciler keeps in mind of each instance, beside the store.
//!
//! Failover does not wait for a database: with what was last read of an instance it goes on, and
//! what it decides meanwhile is written down beside the data at once and in the store when that is
//! back. All of it may be lost with the process: it makes decisions better, never right or wrong.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ourkv_domain::event::Event;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Instance, Intent, Observed, Phase, Role, Secrets};
use ourkv_store::Gist;
use tokio::time::Instant;

use super::elect::Decision;
use crate::substrate::{Lead, Member, Pulse, Silence, Unit};

/// How often roles may change before they are left alone.
#[derive(Debug, Clone, Copy)]
pub struct Damping {
    /// Failovers of one instance.
    pub failovers: usize,
    /// The time within which they count.
    pub within: Duration,
}

impl Default for Damping {
    fn default() -> Self {
        Self { failovers: 3, within: Duration::from_mins(10) }
    }
}

/// When silence counts as the end.
#[derive(Debug, Clone, Copy)]
pub struct Suspicion {
    /// How often engines are asked for a sign of life.
    pub every: Duration,
    /// For how long they must have been silent.
    pub window: Duration,
    /// And how often in a row: a control plane that slept has not asked.
    pub times: u32,
}

impl Default for Suspicion {
    fn default() -> Self {
        Self { every: Duration::from_secs(2), window: Duration::from_secs(5), times: 3 }
    }
}

/// What is in mind of all instances.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<InstanceId, Known>>);

/// What is in mind of one instance.
#[derive(Debug, Default)]
struct Known {
    /// As it was last read.
    read: Option<(Instance, Secrets)>,
    /// Lines of the journal that are not written, each with the decision that it tells of.
    unwritten: Vec<(Event, Option<Lead>)>,
    /// When an engine of it last ended.
    ended: Option<Instant>,
    hung: Option<Member>,
    /// What its master last said of its history, and how far it was.
    last: Option<(Member, String, i64)>,
    failovers: VecDeque<Instant>,
    /// What its manifest says.
    manifest: Option<Gist>,
    /// A decision that is told of when its instance answers again.
    untold: Option<Decision>,
}

impl Memory {
    /// Keeps what the store says of an instance.
    pub(super) fn keep(&self, instance: &Instance, secrets: &Secrets) {
        self.with(&instance.id, |known| known.read = Some((instance.clone(), secrets.clone())));
    }

    /// Keeps what an instance was seen to be.
    pub(super) fn keep_observed(&self, id: &InstanceId, observed: &Observed) {
        self.with(id, |known| {
            if let Some((instance, _)) = &mut known.read {
                instance.observed = observed.clone();
            }
        });
    }

    /// Keeps who is the master of an instance, and who is to be.
    pub(super) fn keep_role(&self, id: &InstanceId, role: &Role) {
        self.with(id, |known| {
            if let Some((instance, _)) = &mut known.read {
                instance.role = role.clone();
            }
        });
    }

    /// An instance that should run, as the store said last.
    pub(super) fn recall(&self, id: &InstanceId) -> Option<(Instance, Secrets)> {
        let known = self.all();
        known.get(id)?.read.clone().filter(|(instance, _)| instance.intent == Intent::Run)
    }

    /// What the substrate is told of an instance, as the store said last.
    pub(super) fn unit(&self, id: &InstanceId) -> Option<Unit> {
        let known = self.all();
        let (instance, secrets) = known.get(id)?.read.as_ref()?;
        Some(Unit::new(instance, secrets.clone()))
    }

    /// Every instance that can be gone over without the store.
    pub(super) fn ids(&self) -> Vec<InstanceId> {
        let known = self.all();
        known.iter().filter(|(_, known)| known.read.is_some()).map(|(id, _)| id.clone()).collect()
    }

    /// Everything that should answer and did before.
    pub(super) fn to_be_asked(&self) -> Vec<Unit> {
        let known = self.all();
        let read = known.values().filter_map(|known| known.read.as_ref());
        read.filter(|(instance, _)| {
            let answered =
                matches!(instance.observed.phase, Phase::Normal | Phase::Unavailable { .. });
            instance.intent == Intent::Run && answered
        })
        .map(|(instance, secrets)| Unit::new(instance, secrets.clone()))
        .collect()
    }

    /// Forgets an instance.
    pub(super) fn drop(&self, id: &InstanceId) {
        self.all().remove(id);
    }

    /// What its manifest says, if that is known.
    pub(super) fn manifest(&self, id: &InstanceId) -> Option<Gist> {
        self.all().get(id)?.manifest
    }

    /// Its manifest says what the store does.
    pub(super) fn keep_gist(&self, id: &InstanceId, gist: Gist) {
        self.with(id, |known| known.manifest = Some(gist));
    }

    /// An engine of it ended. Whoever hangs all the same is soon found to hang again.
    pub(super) fn ended(&self, id: &InstanceId) {
        self.with(id, |known| {
            known.ended = Some(Instant::now());
            known.hung = None;
        });
    }

    /// It answers, so nothing of it has just ended; says whether something had.
    pub(super) fn answers(&self, id: &InstanceId) -> bool {
        self.with(id, |known| known.ended.take().is_some())
    }

    /// How long ago an engine of it ended, if that was noticed.
    pub(super) fn ended_ago(&self, id: &InstanceId) -> Option<Duration> {
        self.all().get(id)?.ended.map(|ended| ended.elapsed())
    }

    /// What a master last said of its history, and how far it was.
    pub(super) fn last(&self, id: &InstanceId, master: Member) -> Option<(String, i64)> {
        let known = self.all();
        let (member, history, offset) = known.get(id)?.last.as_ref()?;
        (*member == master).then(|| (history.clone(), *offset))
    }

    /// Another engine is the master from now on, or the same one was started: its history is another
    /// one, and what was said before says nothing of it.
    pub(super) fn reigns_anew(&self, id: &InstanceId) {
        self.with(id, |known| known.last = None);
    }

    /// Notes the sign of life of an engine; says whether it has just been found to hang.
    pub(super) fn felt(
        &self,
        id: &InstanceId,
        member: Member,
        pulse: Pulse,
        suspicion: &Suspicion,
    ) -> bool {
        self.with(id, |known| {
            // Whoever was found to hang may be another engine than this one.
            known.hung.take_if(|hung| *hung == member);
            match pulse {
                Pulse::Silent(Silence { lasts, times })
                    if times >= suspicion.times && lasts >= suspicion.window =>
                {
                    known.hung = Some(member);
                }
                Pulse::Answers(Some((history, offset))) => {
                    known.last = Some((member, history, offset));
                }
                Pulse::Answers(None) | Pulse::Busy | Pulse::Silent(_) | Pulse::Gone => {}
            }
            known.hung == Some(member)
        })
    }

    /// The engine of it that hangs.
    pub(super) fn hung(&self, id: &InstanceId) -> Option<Member> {
        self.all().get(id)?.hung
    }

    /// Another master took over by election.
    pub(super) fn failed_over(&self, id: &InstanceId, now: Instant) {
        self.with(id, |known| known.failovers.push_back(now));
    }

    /// Whether roles have changed too often lately.
    pub(super) fn is_damped(&self, id: &InstanceId, damping: &Damping, now: Instant) -> bool {
        self.with(id, |known| {
            known.failovers.retain(|at| now.saturating_duration_since(*at) < damping.within);
            known.failovers.len() >= damping.failovers
        })
    }

    /// Keeps a decision to leave roles as they are until its instance answers again; gives back the
    /// one before it.
    pub(super) fn hold(&self, id: &InstanceId, decision: Decision) -> Option<Decision> {
        self.with(id, |known| known.untold.replace(decision))
    }

    /// The decision that is to be told of.
    pub(super) fn take_untold(&self, id: &InstanceId) -> Option<Decision> {
        self.all().get_mut(id)?.untold.take()
    }

    /// Keeps a line of the journal that could not be written.
    pub(super) fn write_later(&self, event: Event, lead: Option<Lead>) {
        let id = event.instance.clone();
        self.with(&id, |known| known.unwritten.push((event, lead)));
    }

    /// Keeps several of them, in their order.
    pub(super) fn write_all_later(&self, events: Vec<Event>, lead: Option<Lead>) {
        for event in events {
            self.write_later(event, lead);
        }
    }

    /// The lines that are to be written. Those are left out that the store has, by the decision
    /// that it knows.
    pub(super) fn take_unwritten(&self, id: &InstanceId, epoch: i64) -> Vec<Event> {
        let unwritten = self.with(id, |known| std::mem::take(&mut known.unwritten));
        let is_new = |lead: &Option<Lead>| lead.is_none_or(|lead| lead.epoch > epoch);
        unwritten.into_iter().filter(|(_, lead)| is_new(lead)).map(|(event, _)| event).collect()
    }

    fn with<T>(&self, id: &InstanceId, work: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.all();
        if let Some(known) = known.get_mut(id) {
            return work(known);
        }
        work(known.entry(id.clone()).or_default())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<InstanceId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> InstanceId {
        InstanceId::parse("r-1").unwrap()
    }

    #[test]
    fn only_long_silence_that_was_asked_for_often_is_the_end() {
        let (memory, suspicion) = (Memory::default(), Suspicion::default());
        let felt = |pulse| memory.felt(&id(), Member::First, pulse, &suspicion);
        let silent = |lasts, times| Pulse::Silent(Silence { lasts, times });
        let (long, short) = (suspicion.window, suspicion.window / 2);
        assert!(!felt(silent(long, 2)), "asked twice only");
        assert!(!felt(silent(short, 9)), "that was quick");
        assert!(felt(silent(long, 3)));
        assert_eq!(memory.hung(&id()), Some(Member::First));
        for sign in [Pulse::Busy, Pulse::Answers(None), Pulse::Gone, silent(long, 1)] {
            assert!(felt(silent(long, 3)));
            assert!(!felt(sign.clone()));
            assert_eq!(memory.hung(&id()), None, "{sign:?}");
        }
    }

    #[test]
    fn who_hung_before_a_death_is_found_anew() {
        let (memory, suspicion) = (Memory::default(), Suspicion::default());
        let silent = Pulse::Silent(Silence { lasts: suspicion.window, times: 3 });
        assert!(memory.felt(&id(), Member::First, silent.clone(), &suspicion));
        memory.ended(&id());
        assert_eq!(memory.hung(&id()), None, "it may have been that one");
        assert!(memory.felt(&id(), Member::First, silent, &suspicion));
    }

    #[test]
    fn what_changes_too_often_is_damped_for_a_while() {
        let (memory, damping) = (Memory::default(), Damping::default());
        let now = Instant::now();
        for _ in 0..3 {
            assert!(!memory.is_damped(&id(), &damping, now));
            memory.failed_over(&id(), now);
        }
        assert!(memory.is_damped(&id(), &damping, now));
        assert!(!memory.is_damped(&id(), &damping, now + damping.within));
    }

    #[test]
    fn a_master_speaks_for_itself_only() {
        let (memory, suspicion) = (Memory::default(), Suspicion::default());
        let pulse = Pulse::Answers(Some(("8371445e".into(), 7)));
        memory.felt(&id(), Member::Second, pulse, &suspicion);
        assert_eq!(memory.last(&id(), Member::Second), Some(("8371445e".into(), 7)));
        assert_eq!(memory.last(&id(), Member::First), None);
        memory.reigns_anew(&id());
        assert_eq!(memory.last(&id(), Member::Second), None);
    }
}
