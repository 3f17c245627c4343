//! What the driver remembers of one instance between passes. In memory only: a new process finds
//! out anew.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::{Backoff, Delays};
use super::pass::Leave;
use super::report::{Outcome, Report};

/// Why an instance is gone over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// Its turn has come.
    Sweep,
    /// What it should be has changed.
    Changed,
    /// It is time for another try.
    Retry,
    /// An engine of it ended.
    Death,
}

/// One instance between passes.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// A pass is under way.
    running: bool,
    /// Something happened during that pass.
    again: Option<Cause>,
    /// Tells that pass of deaths.
    alarm: Arc<Notify>,
    /// The latest generation that is known of.
    taken: Option<i64>,
    backoff: Backoff,
    to_come: ToCome,
    /// Whether its tenant can log in, as far as is known.
    pub(super) answering: bool,
}

/// What a lane without a pass is still to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ToCome {
    #[default]
    Nothing,
    /// The end of something that is under way elsewhere, or the next sweep.
    Other,
    /// Another try, which is on the agenda.
    Retry,
}

/// What to do with a lane after a pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing until something happens.
    Rest,
    /// Go over it again.
    Again(Cause),
    /// Try again then.
    Later(Instant),
    /// Forget the lane.
    Drop,
}

impl Lane {
    /// Asks for a pass; tells what it may do, if it may be begun.
    pub(super) fn begin(&mut self, cause: Cause, now: Instant) -> Option<Leave> {
        if self.running {
            // A pass that is under way looks again anyway, but not at what it has passed already.
            if cause != Cause::Sweep {
                self.again = self.again.max(Some(cause));
            }
            if cause == Cause::Death {
                self.alarm.notify_one();
            }
            return None;
        }
        let leave = match (self.backoff.until(now), cause) {
            (None, _) => Leave::Act,
            (Some(_), Cause::Death) => Leave::Look,
            (Some(_), _) => return None,
        };
        self.running = true;
        self.to_come = ToCome::Nothing;
        self.alarm = Arc::default();
        Some(leave)
    }

    /// What tells the pass that was just begun of deaths that come during it.
    pub(super) fn alarm(&self) -> Arc<Notify> {
        Arc::clone(&self.alarm)
    }

    /// The store says that it is not what it should be, in this generation. Tells whether that is
    /// a reason to go over it. A pass that is under way either knows the generation already, or is
    /// found to have worked for an older one when it ends. What is waited for may have come.
    pub(super) fn wanted(&mut self, generation: i64) -> bool {
        if self.to_come == ToCome::Other {
            self.taken = self.taken.max(Some(generation));
            return true;
        }
        if self.taken.is_some_and(|taken| taken >= generation) {
            return false;
        }
        self.taken = Some(generation);
        if !self.running {
            self.backoff = Backoff::default();
        }
        !self.running
    }

    /// An engine of it ended.
    pub(super) fn died(&mut self, now: Instant, delays: &Delays) {
        if !self.running {
            self.backoff.died(now, delays);
        }
    }

    /// A pass ended.
    pub(super) fn ended(&mut self, report: &Report, now: Instant, delays: &Delays) -> Next {
        self.running = false;
        self.taken = self.taken.max(report.generation);
        self.answering =
            matches!(report.outcome, Ok(Outcome::Answering | Outcome::Waiting { answering: true }));
        if matches!(report.outcome, Ok(Outcome::Waiting { .. })) {
            self.to_come = ToCome::Other;
        }
        let again = self.again.take();
        if matches!(report.outcome, Ok(Outcome::Gone)) {
            return Next::Drop;
        }
        if report.generation.is_some() && report.generation < self.taken {
            self.backoff = Backoff::default();
            return Next::Again(Cause::Changed);
        }
        let again = match report.outcome {
            Ok(Outcome::Gone | Outcome::Interrupted) => return Next::Rest,
            Ok(Outcome::Overtaken) => Some(Cause::Changed),
            Ok(Outcome::LookedAt) => again.or(Some(Cause::Retry)),
            Ok(Outcome::Answering | Outcome::Waiting { .. }) => {
                self.backoff.settled(now);
                if again == Some(Cause::Death) {
                    self.backoff.died(now, delays);
                }
                again
            }
            Ok(Outcome::Resting) => {
                self.backoff.settled(now);
                again
            }
            Err(_) => {
                self.backoff.failed(now, delays);
                again.or(Some(Cause::Retry))
            }
        };
        self.next(again, now)
    }

    /// What is asked for at once is done at once, unless the instance is left alone for a while;
    /// deaths are looked at even then.
    fn next(&mut self, again: Option<Cause>, now: Instant) -> Next {
        match (again, self.backoff.until(now)) {
            (None, _) => Next::Rest,
            (Some(cause), None) => Next::Again(cause),
            (Some(Cause::Death), Some(_)) => Next::Again(Cause::Death),
            (Some(_), Some(until)) => {
                self.to_come = ToCome::Retry;
                Next::Later(until)
            }
        }
    }

    /// Whether a pass is under way or a try is to come.
    pub(super) fn is_busy(&self) -> bool {
        self.running || self.to_come != ToCome::Nothing
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ourkv_domain::ids::InstanceId;

    use super::*;
    use crate::reconciler::report::Failure;

    fn report(generation: i64, outcome: Result<Outcome, Failure>) -> Report {
        let id = InstanceId::parse("r-1").unwrap();
        Report { id, generation: Some(generation), steps: vec![], outcome, took: Duration::ZERO }
    }

    #[test]
    fn one_pass_at_a_time_and_one_more_for_what_happened_meanwhile() {
        let (now, delays, mut lane) = (Instant::now(), Delays::default(), Lane::default());
        assert_eq!(lane.begin(Cause::Changed, now), Some(Leave::Act));
        assert_eq!(lane.begin(Cause::Death, now), None);
        assert_eq!(lane.begin(Cause::Sweep, now), None);
        let next = lane.ended(&report(1, Ok(Outcome::Answering)), now, &delays);
        assert_eq!(next, Next::Again(Cause::Death));
        assert_eq!(lane.begin(Cause::Death, now), Some(Leave::Act));
        let next = lane.ended(&report(1, Ok(Outcome::Answering)), now, &delays);
        assert_eq!(next, Next::Rest);
    }

    #[test]
    fn a_sweep_during_a_pass_is_not_repeated() {
        let (now, delays, mut lane) = (Instant::now(), Delays::default(), Lane::default());
        lane.begin(Cause::Changed, now);
        lane.begin(Cause::Sweep, now);
        assert_eq!(lane.ended(&report(1, Ok(Outcome::Resting)), now, &delays), Next::Rest);
    }

    #[test]
    fn trouble_is_left_alone_but_deaths_are_looked_at() {
        let (now, delays, mut lane) = (Instant::now(), Delays::default(), Lane::default());
        lane.begin(Cause::Changed, now);
        let next = lane.ended(&report(1, Err(Failure::Panicked)), now, &delays);
        let later = now + delays.first;
        assert_eq!(next, Next::Later(later));
        assert!(lane.is_busy());
        assert_eq!(lane.begin(Cause::Changed, now), None);
        assert_eq!(lane.begin(Cause::Death, now), Some(Leave::Look));
        let next = lane.ended(&report(1, Ok(Outcome::LookedAt)), now, &delays);
        assert_eq!(next, Next::Later(later));
        assert_eq!(lane.begin(Cause::Retry, later), Some(Leave::Act));
    }

    #[test]
    fn the_same_generation_is_wanted_once() {
        let mut lane = Lane::default();
        assert!(lane.wanted(1));
        assert!(!lane.wanted(1));
        assert!(lane.wanted(2));
    }

    #[test]
    fn a_change_ends_the_backoff() {
        let (now, delays, mut lane) = (Instant::now(), Delays::default(), Lane::default());
        lane.begin(Cause::Changed, now);
        lane.ended(&report(1, Err(Failure::Panicked)), now, &delays);
        assert!(lane.wanted(2));
        assert_eq!(lane.begin(Cause::Changed, now), Some(Leave::Act));
        let next = lane.ended(&report(1, Err(Failure::Panicked)), now, &delays);
        assert_eq!(next, Next::Again(Cause::Changed), "the pass was for the old generation");
    }

    #[test]
    fn a_generation_that_the_pass_knows_is_not_gone_over_again() {
        let (now, delays, mut lane) = (Instant::now(), Delays::default(), Lane::default());
        lane.begin(Cause::Sweep, now);
        assert!(!lane.wanted(1));
        let next = lane.ended(&report(1, Ok(Outcome::Answering)), now, &delays);
        assert_eq!(next, Next::Rest);
        assert!(!lane.is_busy());
    }

    #[test]
    fn a_look_that_outlasts_the_backoff_is_followed_by_a_try() {
        let (now, delays, mut lane) = (Instant::now(), Delays::default(), Lane::default());
        lane.begin(Cause::Changed, now);
        lane.ended(&report(1, Err(Failure::Panicked)), now, &delays);
        lane.begin(Cause::Death, now);
        let later = now + delays.first;
        let next = lane.ended(&report(1, Ok(Outcome::LookedAt)), later, &delays);
        assert_eq!(next, Next::Again(Cause::Retry));
    }

    #[test]
    fn what_waits_is_busy_and_looks_again_whenever_asked() {
        let (now, delays, mut lane) = (Instant::now(), Delays::default(), Lane::default());
        lane.begin(Cause::Changed, now);
        let waiting = Outcome::Waiting { answering: true };
        assert_eq!(lane.ended(&report(1, Ok(waiting)), now, &delays), Next::Rest);
        assert!(lane.is_busy() && lane.answering);
        assert!(lane.wanted(1));
        assert_eq!(lane.begin(Cause::Changed, now), Some(Leave::Act));
        assert!(!lane.wanted(1), "it is at it");
        assert_eq!(lane.ended(&report(1, Ok(Outcome::Answering)), now, &delays), Next::Rest);
        assert!(!lane.is_busy());
        assert!(!lane.wanted(1));
    }

    #[test]
    fn what_is_gone_is_dropped() {
        let (now, delays, mut lane) = (Instant::now(), Delays::default(), Lane::default());
        lane.begin(Cause::Changed, now);
        assert_eq!(lane.ended(&report(1, Ok(Outcome::Gone)), now, &delays), Next::Drop);
    }
}
