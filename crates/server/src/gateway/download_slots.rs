//! How many backups are downloaded at once: few in all, as each takes a processor and memory, and
//! fewer for one account, so that none keeps the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ourkv_domain::ids::AccountId;

/// Downloads at once: each takes a processor to open what is sealed, and up to some 30 MiB.
const IN_ALL: usize = 8;
/// Downloads of one account at once.
const EACH: usize = 3;

/// The downloads that are under way; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct DownloadSlots(Arc<Mutex<HashMap<AccountId, usize>>>);

/// The right to one download, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: DownloadSlots,
    account: AccountId,
}

impl DownloadSlots {
    /// A slot for an account; `None` where there is none left.
    pub(super) fn take(&self, account: &AccountId) -> Option<Slot> {
        let mut taken = self.taken();
        let own = taken.get(account).copied().unwrap_or(0);
        if own >= EACH || taken.values().sum::<usize>() >= IN_ALL {
            return None;
        }
        taken.insert(account.clone(), own + 1);
        Some(Slot { slots: self.clone(), account: account.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<AccountId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        match taken.get_mut(&self.account) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.account)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: usize) -> AccountId {
        AccountId::parse(format!("100000000000000{number}")).unwrap()
    }

    #[test]
    fn one_account_leaves_room_for_others() {
        let slots = DownloadSlots::default();
        let own: Vec<_> = (0..EACH).map(|_| slots.take(&account(1)).unwrap()).collect();
        assert!(slots.take(&account(1)).is_none());
        assert!(slots.take(&account(2)).is_some());
        drop(own);
        assert!(slots.take(&account(1)).is_some());
        assert!(slots.taken().is_empty());
    }

    #[test]
    fn there_are_few_in_all() {
        let slots = DownloadSlots::default();
        let taken: Vec<_> = (0..IN_ALL).map(|n| slots.take(&account(n)).unwrap()).collect();
        assert!(slots.take(&account(9)).is_none());
        drop(taken);
        assert!(slots.take(&account(9)).is_some());
    }
}
