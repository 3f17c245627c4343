//! Noticing that this process slept: it was stopped, or the machine under it was paused.
//!
//! Another one may have taken the machine over meanwhile. The store would tell, but not everything
//! that is done to an engine begins with a question to the store: whoever slept asks it first. What
//! sleeps between that and the deed is beyond this; that starts no second engine, which the lock
//! of a directory prevents, and makes no second master, which the decisions beside the data do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ourkv_store::StoreError;
use tokio::time::{Instant, MissedTickBehavior};

use super::World;
use crate::substrate::Trouble;

/// How often it shows that it is awake.
const EVERY: Duration = Duration::from_millis(200);
/// Who did not show that for so long slept, or was very busy: asking costs little. In less time
/// nobody notices a sleeper and starts another one.
const SLEPT: Duration = Duration::from_millis(500);

/// Whether this process slept.
#[derive(Debug)]
pub(super) struct Vigil(Mutex<State>);

#[derive(Debug)]
struct State {
    awake: Instant,
    slept: bool,
}

/// Keeps awake until told to stop.
pub(super) async fn keep(world: Arc<World>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = world.stop.cancelled() => return,
            now = ticks.tick() => world.vigil.slept(now.max(Instant::now())),
        };
    }
}

/// Before something is done to an engine: refuses where this process slept and the store does not
/// say that it still acts for the machine.
pub(super) async fn still_acts(world: &World) -> Result<(), Trouble> {
    if !world.vigil.slept(Instant::now()) {
        return Ok(());
    }
    let asked = world.store.read(|_| Ok::<_, StoreError>(()));
    let answer = match tokio::time::timeout(world.settings.store_patience, asked).await {
        Ok(Ok(())) => {
            world.vigil.go_on();
            return Ok(());
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the store does not answer in time".into(),
    };
    Err(Trouble::Slept { answer })
}

impl Vigil {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { awake: Instant::now(), slept: false }))
    }

    /// Notes that it is awake; says whether it slept since it last went on.
    fn slept(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.slept |= now.saturating_duration_since(state.awake) >= SLEPT;
        state.awake = now;
        state.slept
    }

    /// It slept, and that is of no matter.
    fn go_on(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).slept = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_is_not_forgotten_before_it_was_asked_about() {
        let (vigil, began) = (Vigil::new(), Instant::now());
        let at = |ms| vigil.slept(began + Duration::from_millis(ms));
        assert!(!at(200) && !at(650), "it is awake");
        assert!(at(1200), "it slept");
        assert!(at(1400), "and who is awake again has slept all the same");
        vigil.go_on();
        assert!(!at(1600));
    }
}
