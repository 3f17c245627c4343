//! The loop that decides which instance is gone over when. It does no work itself: every look
//! into the store and every pass is a task of its own, so nothing that hangs can hold it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ourkv_domain::ids::InstanceId;
use ourkv_store::StoreError;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::World;
use super::keepsake::{Unkept, keep_manifest};
use super::lane::{Cause, Lane, Next};
use super::pass::pass;
use super::report::Report;

/// After a failed look into the store, the next one comes that much later.
const STORE_RETRY: Duration = Duration::from_millis(500);

pub(super) type Waiter = oneshot::Sender<()>;

/// What wakes the driver, beside deaths and the clock.
pub(super) struct Woken {
    /// What should be has changed.
    pub(super) nudge: Arc<Notify>,
    /// The gathering of an instance's data has ended.
    pub(super) gathered: mpsc::UnboundedReceiver<InstanceId>,
    /// An engine of an instance hangs.
    pub(super) hung: mpsc::UnboundedReceiver<InstanceId>,
    /// Somebody waits for calm.
    pub(super) waiters: mpsc::UnboundedReceiver<Waiter>,
}

/// What a task came back with.
enum Done {
    Went(Report),
    /// Instances that are not what they should be, with their generations.
    Unsettled(Result<Vec<(InstanceId, i64)>, StoreError>),
    /// All instances of this node, and over which time to go over them.
    Listed(Result<Vec<InstanceId>, StoreError>, Duration),
    /// A manifest was looked at.
    Kept,
}

struct Driver {
    world: Arc<World>,
    lanes: HashMap<InstanceId, Lane>,
    agenda: BTreeSet<(Instant, Cause, InstanceId)>,
    tasks: JoinSet<Done>,
    looking: bool,
    look_again: bool,
    /// All instances are about to be gone over at once.
    adopting: bool,
    /// Instances that were not gone over since the start; `None` before they are known.
    unseen: Option<HashSet<InstanceId>>,
    looked: watch::Sender<bool>,
    waiters: Vec<Waiter>,
    unkept: Unkept,
}

/// Runs until told to stop.
pub(super) async fn drive(world: Arc<World>, woken: Woken, looked: watch::Sender<bool>) {
    let Woken { nudge, mut gathered, mut hung, mut waiters } = woken;
    let mut deaths = world.substrate.deaths();
    let sweep = world.settings.sweep;
    let mut sweeps = tokio::time::interval_at(Instant::now() + sweep, sweep);
    let stop = world.stop.clone();
    let mut driver = Driver::new(world, looked);
    driver.list(Duration::ZERO);
    driver.look();
    loop {
        driver.keep();
        let next = driver.next();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            // Clients wait for whatever comes of a death.
            death = deaths.recv() => match death {
                Ok(id) => driver.died(id),
                Err(RecvError::Lagged(_)) => driver.list(Duration::ZERO),
                Err(RecvError::Closed) => break,
            },
            Some(id) = hung.recv() => driver.wake(id, Cause::Death),
            () = nudge.notified() => driver.look(),
            Some(done) = driver.tasks.join_next() => driver.done(done),
            Some(id) = gathered.recv() => driver.wake(id, Cause::Changed),
            waiter = waiters.recv() => match waiter {
                Some(waiter) => driver.wait(waiter),
                None => break,
            },
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                driver.due();
            }
            _ = sweeps.tick() => driver.list(sweep),
        }
    }
    driver.finish().await;
}

impl Driver {
    fn new(world: Arc<World>, looked: watch::Sender<bool>) -> Self {
        Self {
            world,
            lanes: HashMap::new(),
            agenda: BTreeSet::new(),
            tasks: JoinSet::new(),
            looking: false,
            look_again: false,
            adopting: false,
            unseen: None,
            looked,
            waiters: Vec::new(),
            unkept: Unkept::default(),
        }
    }

    /// When something is to be begun.
    fn next(&self) -> Option<Instant> {
        let next = self.agenda.first().map(|(at, ..)| *at);
        next.into_iter().chain(self.unkept.latest()).min()
    }

    /// Asks the store what is not what it should be; one question at a time.
    fn look(&mut self) {
        if std::mem::replace(&mut self.looking, true) {
            self.look_again = true;
            return;
        }
        self.ask(Duration::ZERO);
    }

    fn ask(&mut self, after: Duration) {
        let world = Arc::clone(&self.world);
        self.tasks.spawn(async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            let node = world.node.clone();
            Done::Unsettled(world.store.read(move |tx| tx.unsettled(&node)).await)
        });
    }

    /// Asks the store for all instances, to go over them within the given time.
    fn list(&mut self, within: Duration) {
        self.adopting |= within.is_zero();
        let world = Arc::clone(&self.world);
        self.tasks.spawn(async move {
            let node = world.node.clone();
            let listed = world.store.read(move |tx| tx.instance_ids_of_node(&node)).await;
            if let (Ok(known), true) = (&listed, within.is_zero()) {
                name_strays(&world, known).await;
            }
            Done::Listed(listed, within)
        });
    }

    fn wait(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
        self.look();
    }

    fn died(&mut self, id: InstanceId) {
        let delays = self.world.settings.delays;
        self.world.memory.ended(&id);
        self.lanes.entry(id.clone()).or_default().died(Instant::now(), &delays);
        self.wake(id, Cause::Death);
    }

    /// Begins what is on the agenda for now.
    fn due(&mut self) {
        let now = Instant::now();
        while self.agenda.first().is_some_and(|(at, ..)| *at <= now) {
            if let Some((_, cause, id)) = self.agenda.pop_first() {
                self.wake(id, cause);
            }
        }
    }

    /// Looks at the next manifest, if this is the time for it. Who waits for calm waits for them.
    fn keep(&mut self) {
        let calm = self.world.starts.available_permits() == self.world.settings.starts.max(1);
        let calm = calm || !self.waiters.is_empty();
        if let Some(id) = self.unkept.begin(calm, Instant::now()) {
            let world = Arc::clone(&self.world);
            self.tasks.spawn(async move {
                keep_manifest(&world, &id).await;
                Done::Kept
            });
        }
    }

    fn wake(&mut self, id: InstanceId, cause: Cause) {
        let lane = self.lanes.entry(id.clone()).or_default();
        let Some(leave) = lane.begin(cause, Instant::now()) else {
            return;
        };
        let alarm = lane.alarm();
        let world = Arc::clone(&self.world);
        self.tasks.spawn(async move {
            let _permit = world.passes.acquire().await;
            Done::Went(pass(&world, id, leave, &alarm).await)
        });
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Went(report)) => self.went(&report),
            Ok(Done::Unsettled(answer)) => self.looked(answer),
            Ok(Done::Listed(answer, within)) => self.listed(answer, within),
            Ok(Done::Kept) => {
                self.unkept.ended();
                self.settle();
            }
            // Passes catch their own panics; what is left are the two questions to the store.
            Err(error) => {
                tracing::error!(%error, "a task of the reconciler ended");
                self.looking = false;
            }
        }
    }

    fn went(&mut self, report: &Report) {
        report.publish();
        let (now, delays) = (Instant::now(), self.world.settings.delays);
        self.unkept.went(report, now);
        let lane = self.lanes.entry(report.id.clone()).or_default();
        let answered = lane.answering;
        let next = lane.ended(report, now, &delays);
        count_answering(answered, lane.answering && next != Next::Drop);
        match next {
            Next::Rest => {}
            Next::Again(cause) => self.wake(report.id.clone(), cause),
            Next::Later(at) => {
                self.agenda.insert((at, Cause::Retry, report.id.clone()));
            }
            Next::Drop => {
                self.lanes.remove(&report.id);
            }
        }
        self.seen(&report.id);
        self.settle();
    }

    /// An instance was gone over; the last one ends the first look.
    fn seen(&mut self, id: &InstanceId) {
        if let Some(unseen) = &mut self.unseen
            && unseen.remove(id)
            && unseen.is_empty()
        {
            self.looked.send_replace(true);
        }
    }

    /// Looks whether those who wait for calm can be told, where it seems so.
    fn settle(&mut self) {
        if !self.waiters.is_empty() && self.is_idle() {
            self.look();
        }
    }

    fn looked(&mut self, answer: Result<Vec<(InstanceId, i64)>, StoreError>) {
        match answer {
            Ok(unsettled) => {
                self.looking = false;
                for (id, generation) in unsettled {
                    if self.lanes.entry(id.clone()).or_default().wanted(generation) {
                        self.wake(id, Cause::Changed);
                    }
                }
                if std::mem::take(&mut self.look_again) {
                    self.look();
                } else if self.is_idle() {
                    for waiter in self.waiters.drain(..) {
                        // Whoever stopped waiting need not be told.
                        let _ = waiter.send(());
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the store can't be asked for changes");
                self.ask(STORE_RETRY);
            }
        }
    }

    fn listed(&mut self, answer: Result<Vec<InstanceId>, StoreError>, within: Duration) {
        if within.is_zero() {
            self.adopting = false;
        }
        let ids_are_guessed = answer.is_err();
        let ids = match answer {
            Ok(ids) => ids,
            Err(error) => {
                tracing::warn!(%error, "the store can't be asked for the instances");
                self.world.memory.ids()
            }
        };
        if self.unseen.is_none() && !ids_are_guessed {
            self.looked.send_replace(ids.is_empty());
            self.unseen = Some(ids.iter().cloned().collect());
        }
        let now = Instant::now();
        let share = within / u32::try_from(ids.len().max(1)).unwrap_or(u32::MAX);
        for (turn, id) in (0_u32..).zip(ids) {
            self.agenda.insert((now + share * turn, Cause::Sweep, id));
        }
        self.due();
        self.settle();
    }

    fn is_idle(&self) -> bool {
        !self.adopting && self.unkept.is_done() && !self.lanes.values().any(Lane::is_busy)
    }

    /// Gives what is under way some time to end; what takes longer is dropped, and the next
    /// process finds it as it is.
    async fn finish(mut self) {
        self.world.stop.cancel();
        let grace = self.world.settings.grace;
        let gatherings = self.world.gatherings.end_all(grace);
        let drained = async {
            while let Some(done) = self.tasks.join_next().await {
                if let Ok(Done::Went(report)) = done {
                    self.unkept.went(&report, Instant::now());
                }
            }
            self.unkept.ended();
            while let Some(id) = self.unkept.begin(true, Instant::now()) {
                keep_manifest(&self.world, &id).await;
                self.unkept.ended();
            }
        };
        let drained = tokio::time::timeout(grace, drained);
        if tokio::join!(drained, gatherings).0.is_err() {
            tracing::warn!("steps under way were left unfinished");
        }
    }
}

/// Names what the substrate holds and the store does not know. It is never touched: a store that
/// was restored from an earlier copy must not cost anyone an engine.
async fn name_strays(world: &World, known: &[InstanceId]) {
    match world.substrate.inventory().await {
        Ok(held) => {
            let known: HashSet<_> = known.iter().collect();
            for id in held.iter().filter(|id| !known.contains(id)) {
                tracing::warn!(instance.id = %id, "something runs or is kept that is not known");
            }
        }
        Err(error) => tracing::warn!(%error, "what is kept here can't be listed"),
    }
}

fn count_answering(before: bool, after: bool) {
    let gauge = metrics::gauge!("ourkv_instances_answering");
    match (before, after) {
        (false, true) => gauge.increment(1.0),
        (true, false) => gauge.decrement(1.0),
        _ => {}
    }
}
