//! The loop that decides which backup is worked on when. It does no work itself: every look into
//! the store and everything about a backup is a task of its own, so nothing that hangs can hold
//! it. Woken by a nudge, by the end of a task or by the clock, it asks what is to be done and
//! begins what there is room for.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use ourkv_domain::backup::{Backup, BackupId};
use ourkv_domain::ids::InstanceId;
use ourkv_store::StoreError;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::waits::Waits;
use super::{Failure, World, prove, remove, take};

/// Rows of a kind that are looked at at a time.
const BATCH: i64 = 200;
/// Backups that are removed at once.
const REMOVALS: usize = 4;
/// How long nobody asks for backups to prove after none was found.
const PROOF_REST: Duration = Duration::from_secs(30);

type Waiter = oneshot::Sender<()>;

/// What is done about a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Take,
    Recover,
    Prove,
    Remove,
}

/// What there is to do.
struct Todo {
    queued: Vec<Backup>,
    running: Vec<Backup>,
    removing: Vec<Backup>,
    /// `None` where nobody asked.
    unproven: Option<Vec<Backup>>,
}

/// What a task came back with.
enum Done {
    Looked(Result<Todo, StoreError>),
    Worked(BackupId, Result<(), Failure>),
}

struct Keeper {
    world: Arc<World>,
    tasks: JoinSet<Done>,
    busy: HashMap<BackupId, (InstanceId, Work)>,
    waits: Waits,
    /// Since when this process knows of last backups that are not there yet.
    last: HashMap<BackupId, Instant>,
    looking: bool,
    look_again: bool,
    /// When backups to prove are asked for again.
    proofs_at: Instant,
    waiters: Vec<Waiter>,
}

/// Runs until told to stop.
pub(super) async fn keep(
    world: Arc<World>,
    nudge: Arc<Notify>,
    mut waiters: mpsc::UnboundedReceiver<Waiter>,
) {
    let stop = world.stop.clone();
    let mut ticks = tokio::time::interval(world.settings.poll);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut keeper = Keeper::new(world);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(done) = keeper.tasks.join_next() => keeper.done(done),
            () = nudge.notified() => keeper.nudged(),
            waiter = waiters.recv(), if open => match waiter {
                Some(waiter) => keeper.wait(waiter),
                None => open = false,
            },
            _ = ticks.tick() => keeper.look(),
        }
    }
    keeper.finish().await;
}

impl Keeper {
    fn new(world: Arc<World>) -> Self {
        Self {
            world,
            tasks: JoinSet::new(),
            busy: HashMap::new(),
            waits: Waits::default(),
            last: HashMap::new(),
            looking: false,
            look_again: false,
            proofs_at: Instant::now(),
            waiters: Vec::new(),
        }
    }

    fn nudged(&mut self) {
        self.proofs_at = Instant::now();
        self.look();
    }

    fn wait(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
        self.nudged();
    }

    /// Asks the store what is to be done; one question at a time.
    fn look(&mut self) {
        if std::mem::replace(&mut self.looking, true) {
            self.look_again = true;
            return;
        }
        let proofs = self.world.settings.prove && self.proofs_at <= Instant::now();
        let (store, node) = (self.world.store.clone(), self.world.node.clone());
        self.tasks.spawn(async move {
            let todo = store.read(move |tx| {
                Ok(Todo {
                    queued: tx.queued_backups(&node, BATCH)?,
                    running: tx.running_backups(&node)?,
                    removing: tx.removing_backups(&node, BATCH)?,
                    unproven: proofs.then(|| tx.unverified_backups(&node, BATCH)).transpose()?,
                })
            });
            Done::Looked(todo.await)
        });
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Looked(answer)) => self.looked(answer),
            Ok(Done::Worked(id, result)) => self.worked(id, result),
            // Work catches its own panics; what is left is the question to the store.
            Err(error) => {
                tracing::error!(%error, "a task of the keeper ended");
                self.looking = false;
            }
        }
    }

    fn looked(&mut self, answer: Result<Todo, StoreError>) {
        self.looking = false;
        match answer {
            Ok(todo) => self.begin(&todo),
            Err(error) => tracing::warn!(%error, "the store can't be asked for backups"),
        }
        if std::mem::take(&mut self.look_again) {
            self.look();
        }
    }

    fn worked(&mut self, id: BackupId, result: Result<(), Failure>) {
        let work = self.busy.remove(&id).map(|(_, work)| work);
        match result {
            Ok(()) => self.waits.done(id),
            Err(error) => {
                if !matches!(error, Failure::NotYet(_)) {
                    tracing::warn!(backup.id = %id, ?work, %error, "work on a backup failed");
                }
                self.postpone(id, work);
            }
        }
        self.nudged();
    }

    /// Instances wait for their last backups: these are tried again sooner than anything else.
    fn postpone(&mut self, id: BackupId, work: Option<Work>) {
        let settings = &self.world.settings;
        let cap = match work {
            Some(Work::Take | Work::Recover) => settings.retry_cap.min(settings.last_patience / 20),
            _ => settings.retry_cap,
        };
        self.waits.postpone(id, Instant::now(), settings.retry, cap);
    }

    /// Begins what there is room for.
    fn begin(&mut self, todo: &Todo) {
        self.remember_last(todo);
        let now = Instant::now();
        for backup in &todo.running {
            self.start(backup, Work::Recover, usize::MAX);
        }
        for backup in &todo.queued {
            if !self.busy.values().any(|(instance, _)| *instance == backup.instance) {
                self.start(backup, Work::Take, self.world.settings.saves.max(1));
            }
        }
        for backup in &todo.removing {
            self.start(backup, Work::Remove, REMOVALS);
        }
        self.begin_proof(todo);
        self.waits.tidy(now, 2 * self.world.settings.retry_cap);
        self.settle(todo);
    }

    /// Proofs are work for the processor, too: they wait until no engine saves.
    fn begin_proof(&mut self, todo: &Todo) {
        let Some(unproven) = &todo.unproven else {
            return;
        };
        if self.count(Work::Take) > 0 {
            return;
        }
        for backup in unproven {
            self.start(backup, Work::Prove, 1);
        }
        if self.count(Work::Prove) == 0 {
            self.proofs_at = Instant::now() + PROOF_REST;
        }
    }

    /// Begins work on a backup, if it is due, nobody works on it, and there are not so many yet.
    fn start(&mut self, backup: &Backup, work: Work, at_once: usize) {
        let due = self.waits.is_due(backup.id, Instant::now());
        if !due || self.busy.contains_key(&backup.id) || self.count(work) >= at_once {
            return;
        }
        self.busy.insert(backup.id, (backup.instance.clone(), work));
        let (world, backup) = (Arc::clone(&self.world), backup.clone());
        let again = self.again(&backup);
        self.tasks.spawn(async move {
            let worked = perform(&world, &backup, work, again);
            let caught = AssertUnwindSafe(worked).catch_unwind().await;
            let panicked = || Failure::NotYet("it panicked".into());
            Done::Worked(backup.id, caught.unwrap_or_else(|_| Err(panicked())))
        });
    }

    fn count(&self, work: Work) -> usize {
        self.busy.values().filter(|(_, busy)| *busy == work).count()
    }

    /// Whether another attempt follows where one fails: while an instance waits for it.
    fn again(&self, backup: &Backup) -> bool {
        let patience = self.world.settings.last_patience;
        backup.last && self.last.get(&backup.id).is_none_or(|since| since.elapsed() < patience)
    }

    /// Counts by the time that this process has run: a clock that jumps must cost no one a last
    /// backup.
    fn remember_last(&mut self, todo: &Todo) {
        let unfinished = todo.queued.iter().chain(&todo.running);
        let unfinished: HashSet<_> =
            unfinished.filter(|backup| backup.last).map(|backup| backup.id).collect();
        self.last.retain(|id, _| unfinished.contains(id));
        for id in unfinished {
            self.last.entry(id).or_insert_with(Instant::now);
        }
    }

    /// Tells those who wait for calm, if there is nothing left but what was postponed.
    fn settle(&mut self, todo: &Todo) {
        let now = Instant::now();
        let asked = !self.world.settings.prove || todo.unproven.is_some();
        // What was asked for while the store was read is not in what it said.
        let calm = asked
            && !self.look_again
            && self.busy.is_empty()
            && todo.queued.is_empty()
            && todo.running.is_empty()
            && todo.removing.iter().all(|backup| !self.waits.is_due(backup.id, now));
        if calm {
            for waiter in self.waiters.drain(..) {
                // Whoever stopped waiting need not be told.
                let _ = waiter.send(());
            }
        } else if !self.waiters.is_empty() {
            self.proofs_at = now;
        }
    }

    /// Gives what is under way some time to end; what takes longer is dropped, and the next
    /// process finds it as it is.
    async fn finish(mut self) {
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.world.settings.grace, drained).await.is_err() {
            tracing::warn!("work on backups was left unfinished");
        }
    }
}

async fn perform(world: &World, backup: &Backup, work: Work, again: bool) -> Result<(), Failure> {
    match work {
        Work::Take => take::take(world, backup, again).await,
        Work::Recover => take::recover(world, backup, again).await,
        Work::Remove => remove::remove(world, backup).await,
        // What is under trial is only read: nothing is lost where it ends early.
        Work::Prove => match world.stop.run_until_cancelled(prove::prove(world, backup)).await {
            Some(proven) => proven,
            None => Ok(()),
        },
    }
}
