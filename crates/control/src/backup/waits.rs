//! What was postponed, and until when.

use std::collections::HashMap;
use std::time::Duration;

use ourkv_domain::backup::BackupId;
use tokio::time::Instant;

/// What was postponed. Only this process knows: another one tries at once.
#[derive(Debug, Default)]
pub(super) struct Waits(HashMap<BackupId, Wait>);

#[derive(Debug)]
struct Wait {
    until: Instant,
    times: u32,
}

impl Waits {
    /// Postpones: twice as long as the last time, up to `cap`.
    pub(super) fn postpone(&mut self, id: BackupId, now: Instant, first: Duration, cap: Duration) {
        let wait = self.0.entry(id).or_insert(Wait { until: now, times: 0 });
        let delay = first.saturating_mul(1 << wait.times.min(20)).min(cap);
        *wait = Wait { until: now + delay, times: wait.times.saturating_add(1) };
    }

    /// It need not wait any more.
    pub(super) fn done(&mut self, id: BackupId) {
        self.0.remove(&id);
    }

    /// Whether it may be done.
    pub(super) fn is_due(&self, id: BackupId, now: Instant) -> bool {
        self.0.get(&id).is_none_or(|wait| wait.until <= now)
    }

    /// Forgets what was due long ago and not done: it went away.
    pub(super) fn tidy(&mut self, now: Instant, long: Duration) {
        self.0.retain(|_, wait| wait.until + long > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_twice_as_long_each_time_up_to_a_cap() {
        let (mut waits, now) = (Waits::default(), Instant::now());
        let id = BackupId::new(123_456_789).unwrap();
        assert!(waits.is_due(id, now));
        for seconds in [1, 2, 4, 5, 5] {
            waits.postpone(id, now, SECOND, 5 * SECOND);
            assert!(!waits.is_due(id, now + seconds * SECOND - Duration::from_millis(1)));
            assert!(waits.is_due(id, now + seconds * SECOND));
        }
        waits.done(id);
        assert!(waits.is_due(id, now));
    }

    #[test]
    fn forgets_what_went_away() {
        let (mut waits, now) = (Waits::default(), Instant::now());
        let id = BackupId::new(123_456_789).unwrap();
        waits.postpone(id, now, SECOND, SECOND);
        waits.tidy(now + 2 * SECOND, 2 * SECOND);
        assert_eq!(waits.0.len(), 1);
        waits.tidy(now + 3 * SECOND, 2 * SECOND);
        assert_eq!(waits.0.len(), 0);
    }
}
