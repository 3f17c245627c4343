//! Calls per second of each key, where an operator limits them.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use ourkv_domain::access_key::AccessKey;
use ourkv_domain::ids::AccessKeyId;

/// One limiter per limited key, each with a burst of one second. Only keys that exist get here,
/// so the map is as small as the list of keys.
#[derive(Default)]
pub(super) struct Throttle(Mutex<HashMap<AccessKeyId, (u32, Arc<DefaultDirectRateLimiter>)>>);

impl Throttle {
    /// Whether the key may make this call now. A changed limit takes effect at once.
    pub(super) fn admits(&self, key: &AccessKey) -> bool {
        let Some(per_second) = key.calls_per_second else {
            return true;
        };
        let Some(quota) = NonZeroU32::new(per_second).map(Quota::per_second) else {
            return false;
        };
        let limiter = {
            let mut limiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || (per_second, Arc::new(RateLimiter::direct(quota)));
            let entry = limiters.entry(key.id.clone()).or_insert_with(fresh);
            if entry.0 != per_second {
                *entry = fresh();
            }
            Arc::clone(&entry.1)
        };
        limiter.check().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use ourkv_domain::ids::AccountId;
    use ourkv_domain::secret::Secret;

    use super::*;

    fn key(calls_per_second: Option<u32>) -> AccessKey {
        AccessKey {
            id: AccessKeyId::parse("LTAItest").unwrap(),
            secret: Secret::from("secret"),
            account: AccountId::parse("1000000000000001").unwrap(),
            active: true,
            calls_per_second,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_unlimited_key_is_always_admitted() {
        let throttle = Throttle::default();
        assert!((0..10_000).all(|_| throttle.admits(&key(None))));
    }

    #[test]
    fn a_limited_key_runs_dry_and_a_raised_limit_counts_at_once() {
        let throttle = Throttle::default();
        let admitted = (0..10_000).filter(|_| throttle.admits(&key(Some(1)))).count();
        assert!((1..10_000).contains(&admitted), "{admitted}");
        assert!(throttle.admits(&key(Some(1000))));
        assert!(!throttle.admits(&key(Some(0))));
    }
}
