//! A substrate in memory: instant, and as troublesome as a test wants it.
//!
//! It keeps the rules of the trait strictly: what a real place would refuse (starting what was
//! not prepared, removing what runs) is refused here too. No engine stands behind it, so nothing
//! answers at the addresses.

mod held;
mod post;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ourkv_domain::ids::InstanceId;
use tokio::sync::broadcast;

use self::held::Held;
use self::post::Post;
use super::{
    Health, Lead, Loaded, Member, Pulse, Saving, Seen, Specimen, Staging, Standing, Stop,
    Substrate, Trouble, Unit,
};

/// Deaths that a slow listener may fall behind by.
const DEATHS_KEPT: usize = 4096;

/// A method of the substrate, to count it or to break it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`Substrate::observe`]
    Observe,
    /// [`Substrate::prepare`]
    Prepare,
    /// [`Substrate::start`]
    Start,
    /// [`Substrate::link`]
    Link,
    /// [`Substrate::login`]
    Login,
    /// [`Substrate::stop`]
    Stop,
    /// [`Substrate::remove`]
    Remove,
    /// [`Substrate::save`]
    Save,
    /// [`Substrate::forget_save`]
    ForgetSave,
    /// [`Substrate::stage`]
    Stage,
    /// [`Substrate::prove_staged`]
    ProveStaged,
    /// [`Substrate::prove`]
    Prove,
    /// [`Substrate::swap`]
    Swap,
    /// [`Substrate::tidy`]
    Tidy,
    /// [`Substrate::standing`]
    Standing,
    /// [`Substrate::pulse`]
    Pulse,
    /// [`Substrate::fence`]
    Fence,
    /// [`Substrate::declare`]
    Declare,
    /// [`Substrate::promote`]
    Promote,
    /// [`Substrate::demote`]
    Demote,
    /// [`Substrate::pause_writes`]
    PauseWrites,
    /// [`Substrate::resume_writes`]
    ResumeWrites,
    /// [`Substrate::keep_manifest`]
    KeepManifest,
    /// [`Substrate::admit_password`]
    AdmitPassword,
    /// [`Substrate::dismiss_passwords`]
    DismissPasswords,
}

/// What a broken call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails.
    Fail,
    /// It panics.
    Panic,
    /// It never returns.
    Hang,
}

/// Engines that exist by being said to.
#[derive(Debug)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    deaths: broadcast::Sender<InstanceId>,
}

#[derive(Debug, Default)]
struct State {
    seen: HashMap<InstanceId, Seen>,
    held: HashMap<InstanceId, Held>,
    /// What those of its engines do that run.
    posts: HashMap<InstanceId, BTreeMap<Member, Post>>,
    /// Whose replicas get nothing though they follow.
    lagging: HashSet<InstanceId>,
    faults: Vec<Injected>,
    delays: HashMap<Call, Duration>,
    counts: HashMap<Call, u64>,
}

#[derive(Debug)]
struct Injected {
    call: Call,
    id: Option<InstanceId>,
    fault: Fault,
    times: u32,
}

impl Default for Fake {
    fn default() -> Self {
        Self { state: Arc::default(), deaths: broadcast::channel(DEATHS_KEPT).0 }
    }
}

impl Fake {
    /// Breaks the next `times` of a call: of one instance, or of whichever comes first.
    pub fn inject(&self, call: Call, id: Option<&InstanceId>, fault: Fault, times: u32) {
        self.state().faults.push(Injected { call, id: id.cloned(), fault, times });
    }

    /// Lifts every fault that was injected.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Makes a call take its time.
    pub fn delay(&self, call: Call, by: Duration) {
        self.state().delays.insert(call, by);
    }

    /// An engine dies on its own; says whether it ran.
    pub fn kill(&self, id: &InstanceId, member: Member) -> bool {
        let died = self.state().end(id, member);
        if died {
            self.report(id);
        }
        died
    }

    /// How often a method was called.
    pub fn count(&self, call: Call) -> u64 {
        self.state().counts.get(&call).copied().unwrap_or(0)
    }

    /// What there is of an instance.
    pub fn seen(&self, id: &InstanceId) -> Seen {
        self.state().sight(id, Lead::default())
    }

    async fn enter(&self, call: Call, id: &InstanceId) -> Result<(), Trouble> {
        self.pass(call, Some(id)).await
    }

    /// Enters a call that is about no instance.
    async fn enter_any(&self, call: Call) -> Result<(), Trouble> {
        self.pass(call, None).await
    }

    async fn pass(&self, call: Call, id: Option<&InstanceId>) -> Result<(), Trouble> {
        let (fault, delay) = {
            let mut state = self.state();
            *state.counts.entry(call).or_default() += 1;
            (state.fault(call, id), state.delays.get(&call).copied())
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        match fault {
            None => Ok(()),
            Some(Fault::Fail) => {
                Err(Trouble::Unexpected { doing: "pretending", answer: "as injected".into() })
            }
            Some(Fault::Panic) => panic!("injected into {call:?} of {id:?}"),
            Some(Fault::Hang) => std::future::pending().await,
        }
    }

    fn report(&self, id: &InstanceId) {
        // Nobody listening is nobody to tell.
        let _ = self.deaths.send(id.clone());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn fault(&mut self, call: Call, id: Option<&InstanceId>) -> Option<Fault> {
        let meant = |fault: &Injected| {
            fault.call == call && fault.id.as_ref().is_none_or(|meant| Some(meant) == id)
        };
        let at = self.faults.iter().position(meant)?;
        let injected = &mut self.faults[at];
        let fault = injected.fault;
        injected.times = injected.times.saturating_sub(1);
        if injected.times == 0 {
            self.faults.remove(at);
        }
        Some(fault)
    }

    fn runs(&self, id: &InstanceId) -> bool {
        self.posts.get(id).is_some_and(|posts| !posts.is_empty())
    }
}

#[async_trait]
impl Substrate for Fake {
    async fn observe(&self, unit: &Unit) -> Result<Seen, Trouble> {
        self.enter(Call::Observe, &unit.id).await?;
        Ok(self.state().sight(&unit.id, unit.lead))
    }

    async fn prepare(&self, unit: &Unit) -> Result<(), Trouble> {
        self.enter(Call::Prepare, &unit.id).await?;
        let mut state = self.state();
        state.seen.entry(unit.id.clone()).or_default().prepared = true;
        let volatile = !unit.members().contains(&Member::Second);
        state.held.entry(unit.id.clone()).or_default().volatile = volatile;
        Ok(())
    }

    async fn start(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        self.enter(Call::Start, &unit.id).await?;
        let mut state = self.state();
        match state.seen.get(&unit.id) {
            Some(seen) if seen.prepared => state.begin(unit, member),
            _ => Err(refused("starting", "not prepared")),
        }
    }

    async fn link(&self, unit: &Unit) -> Result<(), Trouble> {
        self.enter(Call::Link, &unit.id).await?;
        self.follow(unit)
    }

    async fn login(&self, unit: &Unit) -> Result<(), Trouble> {
        self.enter(Call::Login, &unit.id).await?;
        let state = self.state();
        let master = state.lead(unit).master;
        let health = state.sight(&unit.id, unit.lead).running.remove(&master);
        match (health, state.writer(&unit.id)) {
            (Some(Health::Answering), Some(writer)) if writer == master => {
                state.lets_in(unit, master)
            }
            _ => Err(refused("logging in", "nobody there")),
        }
    }

    async fn stop(&self, unit: &Unit, member: Member, _stop: Stop) -> Result<(), Trouble> {
        self.enter(Call::Stop, &unit.id).await?;
        self.state().end(&unit.id, member);
        Ok(())
    }

    async fn remove(&self, unit: &Unit) -> Result<(), Trouble> {
        self.enter(Call::Remove, &unit.id).await?;
        let mut state = self.state();
        if state.runs(&unit.id) {
            return Err(refused("removing", "it runs"));
        }
        state.posts.remove(&unit.id);
        state.seen.remove(&unit.id);
        state.held.remove(&unit.id);
        Ok(())
    }

    async fn save(&self, unit: &Unit) -> Result<Saving, Trouble> {
        self.enter(Call::Save, &unit.id).await?;
        self.begin_save(unit)
    }

    async fn forget_save(&self, unit: &Unit) -> Result<(), Trouble> {
        self.enter(Call::ForgetSave, &unit.id).await
    }

    async fn stage(&self, unit: &Unit, staging: Staging) -> Result<(), Trouble> {
        self.enter(Call::Stage, &unit.id).await?;
        self.keep_staged(unit, staging.serial, staging.bytes).await
    }

    async fn prove_staged(&self, unit: &Unit, serial: i64) -> Result<Loaded, Trouble> {
        self.enter(Call::ProveStaged, &unit.id).await?;
        self.load_staged(unit, serial)
    }

    async fn prove(&self, specimen: Specimen) -> Result<Loaded, Trouble> {
        self.enter_any(Call::Prove).await?;
        held::load_stream(specimen.bytes).await
    }

    async fn swap(&self, unit: &Unit, serial: i64) -> Result<(), Trouble> {
        self.enter(Call::Swap, &unit.id).await?;
        self.exchange(unit, serial)
    }

    async fn tidy(&self, unit: &Unit) -> Result<(), Trouble> {
        self.enter(Call::Tidy, &unit.id).await?;
        self.drop_leftovers(unit);
        Ok(())
    }

    async fn standing(&self, unit: &Unit) -> Result<BTreeMap<Member, Standing>, Trouble> {
        self.enter(Call::Standing, &unit.id).await?;
        Ok(self.stand(unit))
    }

    async fn pulse(&self, unit: &Unit, member: Member) -> Result<Pulse, Trouble> {
        self.enter(Call::Pulse, &unit.id).await?;
        Ok(self.feel(unit, member))
    }

    async fn fence(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        self.enter(Call::Fence, &unit.id).await?;
        self.state().end(&unit.id, member);
        Ok(())
    }

    async fn declare(&self, unit: &Unit) -> Result<(), Trouble> {
        self.enter(Call::Declare, &unit.id).await?;
        self.write_lead(unit)
    }

    async fn promote(&self, unit: &Unit) -> Result<(), Trouble> {
        self.enter(Call::Promote, &unit.id).await?;
        self.open(unit)
    }

    async fn demote(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        self.enter(Call::Demote, &unit.id).await?;
        self.close(unit, member)
    }

    async fn pause_writes(
        &self,
        unit: &Unit,
        member: Member,
        limit: Duration,
    ) -> Result<(), Trouble> {
        self.enter(Call::PauseWrites, &unit.id).await?;
        self.pause(unit, member, Some(limit))
    }

    async fn resume_writes(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        self.enter(Call::ResumeWrites, &unit.id).await?;
        self.pause(unit, member, None)
    }

    async fn manifest(&self, unit: &Unit) -> Result<Option<Vec<u8>>, Trouble> {
        let state = self.state();
        Ok(state.held.get(&unit.id).and_then(|held| held.manifest.clone()))
    }

    async fn keep_manifest(&self, unit: &Unit, text: &[u8]) -> Result<bool, Trouble> {
        self.enter(Call::KeepManifest, &unit.id).await?;
        let mut state = self.state();
        let held = state.held.get_mut(&unit.id);
        Ok(held.is_some_and(|held| {
            held.manifest = Some(text.to_vec());
            true
        }))
    }

    async fn admit_password(&self, unit: &Unit) -> Result<(), Trouble> {
        self.enter(Call::AdmitPassword, &unit.id).await?;
        self.take_passwords(unit)
    }

    async fn dismiss_passwords(&self, unit: &Unit) -> Result<(), Trouble> {
        self.enter(Call::DismissPasswords, &unit.id).await?;
        self.take_passwords(unit)
    }

    async fn inventory(&self) -> Result<Vec<InstanceId>, Trouble> {
        let mut ids: Vec<_> = self.state().seen.keys().cloned().collect();
        ids.sort();
        Ok(ids)
    }

    fn deaths(&self) -> broadcast::Receiver<InstanceId> {
        self.deaths.subscribe()
    }
}

fn refused(doing: &'static str, answer: &str) -> Trouble {
    Trouble::Unexpected { doing, answer: answer.into() }
}
