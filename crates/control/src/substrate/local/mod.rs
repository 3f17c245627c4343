//! Engines as processes of this machine.
//!
//! Guarantees: an engine is a process of its own that outlives the control plane; one directory
//! has one engine at most; a process is adopted, spoken to or signalled only after proof that it
//! is the instance's own; an operation that began runs to its end, also when its caller went
//! away. An instance's secrets reach an engine by standard input, or stand in its login database.
//! An address outside 127.0.0.0/8 is on the machine while its engine is meant to run. Who is the
//! master is told by the later of two decisions, the [`Unit`]'s and the one that is written down
//! beside the data, so a caller who missed one never brings an old master back.
//!
//! It does not decide anything, and knows no store: what it needs to know is in the [`Unit`] and
//! in the directories of [`layout`].

mod address;
mod adopt;
mod answer;
mod choose;
pub mod confine;
mod deferred;
mod glance;
mod header;
mod host_address;
mod keepsake;
mod kept;
mod layout;
mod log;
mod logins;
mod manifest;
mod mark;
mod member;
mod password;
mod private;
mod process;
mod promote;
mod pulse;
mod role;
mod save;
mod silence;
mod sink;
mod stage;
mod standing;
mod start;
mod stop;
mod swap;
mod switch;
mod tail;
mod temporary;
mod trial;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::network::HostAddresses;
use tokio::sync::broadcast;

use self::confine::{Confinement, Confiner, end_all_of};
pub use self::host_address::may_add_addresses;
pub use self::keepsake::{Place as InstancePlace, is_inhabited, manifests, survey};
use self::layout::Layout;
use self::member::{Place, Running, Slot};
use self::private::private;
use self::trial::Trials;
use super::{
    Gate, Health, Loaded, Member, Pulse, Saving, Seen, Specimen, Staging, Standing, Stop,
    Substrate, Trouble, Unit,
};
use crate::engine::{Engines, Kind};

/// Deaths that a slow listener may lag behind before it has to look at everything.
const DEATHS_KEPT: usize = 1024;

/// Runs engines as processes of this machine.
#[derive(Debug, Clone)]
pub struct Local(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    layout: Layout,
    confiner: Confiner,
    trials: Trials,
    engines: Engines,
    serves: HostAddresses,
    /// Whom an engine that is to listen waits for.
    gate: Option<Arc<dyn Gate>>,
    /// The locks of each engine, and what is known of it. An entry goes when the instance does.
    slots: Mutex<HashMap<(InstanceId, Member), Slot>>,
    /// One lock for what lies beside each instance's data.
    nexts: Mutex<HashMap<InstanceId, Arc<tokio::sync::Mutex<()>>>>,
    deaths: broadcast::Sender<InstanceId>,
}

impl Local {
    /// Runs these engines in `DIR/engines`, which is made if it is missing. Gives the machine those
    /// addresses that it serves and does not have; takes back what it gave in any case. Engines
    /// are confined as far as the machine allows.
    pub fn new(data_dir: &Path, engines: Engines, serves: HostAddresses) -> Result<Self, Trouble> {
        Self::confined(data_dir, engines, serves, Confinement::default(), None)
    }

    /// The same, confining engines as told, and with a gate that must stand before an engine
    /// listens. An error where confinement is required and not possible.
    pub fn confined(
        data_dir: &Path,
        engines: Engines,
        serves: HostAddresses,
        confinement: Confinement,
        gate: Option<Arc<dyn Gate>>,
    ) -> Result<Self, Trouble> {
        let layout = Layout::below(data_dir).map_err(machine("making the directory of engines"))?;
        let confiner = Confiner::new(confinement, layout.root());
        let confiner = confiner.map_err(machine("confining engines, as is required"))?;
        let trials = Trials::below(data_dir, &engines, confiner.clone());
        let trials = trials.map_err(machine("making the directory of trials"))?;
        let (deaths, _) = broadcast::channel(DEATHS_KEPT);
        let (slots, nexts) = (Mutex::default(), Mutex::default());
        Ok(Self(Arc::new(Inner {
            layout,
            confiner,
            trials,
            engines,
            serves,
            gate,
            slots,
            nexts,
            deaths,
        })))
    }

    /// The engines that it runs instances on.
    pub fn engines(&self) -> &Engines {
        &self.0.engines
    }
}

#[async_trait]
impl Substrate for Local {
    async fn observe(&self, unit: &Unit) -> Result<Seen, Trouble> {
        // A disk that does not answer is no proof that there is nothing.
        let prepared = self.0.layout.instance(unit).try_exists();
        let prepared = prepared.map_err(machine("looking for the instance's directory"))?;
        let mut seen = Seen { prepared, ..Seen::default() };
        if prepared {
            seen.lead = self.0.declared(unit)?;
            let unit = self.0.in_force(unit)?;
            self.0.see_data(&unit, &mut seen)?;
            let looks = unit.members().iter().map(|member| self.0.health(&unit, *member));
            for (member, health) in unit.members().iter().zip(join_all(looks).await) {
                if let Some(health) = health? {
                    seen.running.insert(*member, health);
                }
            }
        }
        Ok(seen)
    }

    async fn prepare(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.layout.prepare(unit).map_err(machine("making the instance's directory"))
    }

    async fn start(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), unit.clone());
        // Whoever goes away while this waits for its turn wants no engine any more: one that comes
        // up later, after the decision for another, would take writes that are lost.
        let turn = inner.slot(&unit, member).turn.lock_owned().await;
        to_its_end(async move {
            let _turn = turn;
            inner.start_now(&unit, member).await
        })
        .await
    }

    async fn link(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.link(&self.0.in_force(unit)?).await
    }

    async fn login(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.login(&self.0.in_force(unit)?).await
    }

    async fn stop(&self, unit: &Unit, member: Member, stop: Stop) -> Result<(), Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), unit.clone());
        to_its_end(async move { inner.stop(&unit, member, stop).await }).await
    }

    async fn save(&self, unit: &Unit) -> Result<Saving, Trouble> {
        self.0.save(&self.0.in_force(unit)?).await
    }

    async fn forget_save(&self, unit: &Unit) -> Result<(), Trouble> {
        self.0.forget_save(&self.0.in_force(unit)?).await
    }

    async fn stage(&self, unit: &Unit, staging: Staging) -> Result<(), Trouble> {
        self.0.stage(&self.0.in_force(unit)?, staging).await
    }

    async fn prove_staged(&self, unit: &Unit, serial: i64) -> Result<Loaded, Trouble> {
        self.0.prove_staged(&self.0.in_force(unit)?, serial).await
    }

    async fn prove(&self, specimen: Specimen) -> Result<Loaded, Trouble> {
        let Specimen { engine, capacity_mb, bytes } = specimen;
        let binary = self.0.choose_for_trial(engine)?.clone();
        self.0.trials.load_stream(binary, capacity_mb, bytes).await
    }

    async fn swap(&self, unit: &Unit, serial: i64) -> Result<(), Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), self.0.in_force(unit)?);
        to_its_end(async move { inner.swap(&unit, serial).await }).await
    }

    async fn tidy(&self, unit: &Unit) -> Result<(), Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), self.0.in_force(unit)?);
        to_its_end(async move { inner.tidy(&unit).await }).await
    }

    async fn remove(&self, unit: &Unit) -> Result<(), Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), self.0.in_force(unit)?);
        to_its_end(async move { inner.remove(&unit).await }).await
    }

    async fn manifest(&self, unit: &Unit) -> Result<Option<Vec<u8>>, Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), unit.clone());
        blocking(move || inner.manifest(&unit)).await
    }

    async fn keep_manifest(&self, unit: &Unit, text: &[u8]) -> Result<bool, Trouble> {
        let (inner, unit, text) = (Arc::clone(&self.0), unit.clone(), text.to_vec());
        blocking(move || inner.keep_manifest(&unit, &text)).await
    }

    async fn inventory(&self) -> Result<Vec<InstanceId>, Trouble> {
        self.0.layout.inventory().map_err(machine("listing the directories of instances"))
    }

    async fn standing(&self, unit: &Unit) -> Result<BTreeMap<Member, Standing>, Trouble> {
        self.0.standing(&self.0.in_force(unit)?).await
    }

    async fn pulse(&self, unit: &Unit, member: Member) -> Result<Pulse, Trouble> {
        self.0.pulse(&self.0.in_force(unit)?, member).await
    }

    async fn fence(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), unit.clone());
        to_its_end(async move { inner.fence(&unit, member).await }).await
    }

    async fn declare(&self, unit: &Unit) -> Result<(), Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), unit.clone());
        blocking(move || inner.declare(&unit)).await
    }

    async fn promote(&self, unit: &Unit) -> Result<(), Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), self.0.in_force(unit)?);
        to_its_end(async move { inner.promote(&unit).await }).await
    }

    async fn demote(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), self.0.in_force(unit)?);
        to_its_end(async move { inner.demote(&unit, member).await }).await
    }

    async fn pause_writes(
        &self,
        unit: &Unit,
        member: Member,
        limit: Duration,
    ) -> Result<(), Trouble> {
        self.0.pause_writes(unit, member, limit).await
    }

    async fn resume_writes(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        self.0.resume_writes(unit, member).await
    }

    async fn admit_password(&self, unit: &Unit) -> Result<(), Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), self.0.in_force(unit)?);
        to_its_end(async move { inner.admit_password(&unit).await }).await
    }

    async fn dismiss_passwords(&self, unit: &Unit) -> Result<(), Trouble> {
        let (inner, unit) = (Arc::clone(&self.0), self.0.in_force(unit)?);
        to_its_end(async move { inner.dismiss_passwords(&unit).await }).await
    }

    fn deaths(&self) -> broadcast::Receiver<InstanceId> {
        self.0.deaths.subscribe()
    }
}

impl Inner {
    fn slot(&self, unit: &Unit, member: Member) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry((unit.id.clone(), member)).or_default().clone()
    }

    fn next(&self, unit: &Unit) -> Arc<tokio::sync::Mutex<()>> {
        let mut nexts = self.nexts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(nexts.entry(unit.id.clone()).or_default())
    }

    fn place(&self, unit: &Unit, member: Member) -> Place {
        Place { directory: self.layout.member(unit, member), nonce: unit.nonce.clone() }
    }

    async fn remove(&self, unit: &Unit) -> Result<(), Trouble> {
        for &member in unit.members() {
            let slot = self.slot(unit, member);
            let _turn = slot.turn.lock().await;
            if self.look(unit, member).await?.is_some() {
                let answer = "an engine still runs".into();
                return Err(Trouble::Unexpected { doing: "removing the instance", answer });
            }
        }
        host_address::release(*unit.address.ip()).await?;
        let (layout, unit) = (self.layout.clone(), unit.clone());
        let user = self.confiner.user_at(*unit.address.ip());
        blocking(move || {
            // The next instance at the address has the same user. So has one of another control
            // plane of this machine, and who listens there is not ended.
            const ENDING: &str = "ending what is left of the instance";
            if !address::is_listened_on(*unit.address.ip()).map_err(machine(ENDING))? {
                end_all_of(user).map_err(machine(ENDING))?;
            }
            layout.remove(&unit).map_err(machine("removing the instance's directory"))?;
            Ok(unit)
        })
        .await
        .map(|unit| {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            unit.members().iter().for_each(|member| {
                slots.remove(&(unit.id.clone(), *member));
            });
            self.nexts.lock().unwrap_or_else(PoisonError::into_inner).remove(&unit.id);
        })
    }

    /// Tells of the end of an engine that is missed, once it is over.
    fn watch(&self, unit: &Unit, running: &Running) {
        let (process, id) = (Arc::clone(&running.process), unit.id.clone());
        let deaths = self.deaths.clone();
        tokio::spawn(async move {
            process.ended().await;
            process.reap();
            if process.is_missed() {
                tracing::warn!(instance = %id, pid = process.pid(), "an engine ended");
                // Nobody may be listening.
                let _ = deaths.send(id);
            }
        });
    }
}

/// Runs an operation apart from its caller, so that it is never left half done.
async fn to_its_end(
    operation: impl Future<Output = Result<(), Trouble>> + Send + 'static,
) -> Result<(), Trouble> {
    finished(tokio::spawn(operation).await)
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    finished(tokio::task::spawn_blocking(work).await)
}

fn finished<T>(joined: Result<Result<T, Trouble>, tokio::task::JoinError>) -> Result<T, Trouble> {
    let ended = |error| machine("running an operation to its end")(std::io::Error::other(error));
    joined.map_err(ended)?
}

fn machine(doing: &'static str) -> impl Fn(std::io::Error) -> Trouble {
    move |source| Trouble::Machine { doing, source }
}
