//! What happens to instances that nobody pays for, and what ends it.
//!
//! The timeline of the 2019 documentation ([`Stage`]): fifteen days in which all goes on, then
//! fifteen in which the instance is stopped and its data kept, then its release. It counts from
//! the end of what was paid in advance, or from the day on which the owner of something paid
//! afterwards got into arrears. Whoever pays before the release has the instance run again. What
//! is paid afterwards leaves a last backup.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ourkv_domain::account::Account;
use ourkv_domain::billing::{Stage, arrears_stage, prepaid_stage};
use ourkv_domain::ids::{AccountId, InstanceId};
use ourkv_domain::instance::{Charge, ChargeType, Instance, Intent, Status};
use ourkv_domain::mint::Mint;
use ourkv_store::{Filter, Store, StoreError, Tx};

use super::Report;
use super::draws::Draws;

/// Gives every instance the intent that its payments call for by `now`.
///
/// `mint` gives the numbers of last backups; without it nothing leaves one.
pub async fn run_once(
    store: &Store,
    mint: Option<&Mint>,
    now: Timestamp,
) -> Result<Report, StoreError> {
    let candidates = store.read(move |tx| candidates(tx, now)).await?;
    let mut report = Report::default();
    for (id, owner) in candidates {
        let (key, draws) = (id.clone(), mint.map(Draws::new));
        match store.write(move |tx| decide(tx, &key, &owner, draws.as_ref(), now)).await {
            Ok(changed) => report.changed += u64::from(changed),
            Err(error) => {
                tracing::warn!(instance.id = %id, %error, "expiry failed");
                report.failed += 1;
            }
        }
    }
    Ok(report)
}

/// The instances whose intent is not what their payments call for: among those past their end,
/// those of owners in arrears, and those that are stopped.
fn candidates(tx: &mut Tx<'_>, now: Timestamp) -> Result<Vec<(InstanceId, AccountId)>, StoreError> {
    let accounts: BTreeMap<_, _> =
        tx.accounts()?.into_iter().map(|account| (account.id.clone(), account)).collect();
    let mut instances = tx.prepaid_ending_before(now)?;
    for account in accounts.values().filter(|account| account.arrears_since.is_some()) {
        instances.extend(tx.instances(&metered(&account.id), None)?);
    }
    let stopped = Filter { status: Some(Status::Inactive), ..Filter::default() };
    instances.extend(tx.instances(&stopped, None)?);
    let due = |instance: &Instance| {
        accounts
            .get(&instance.account)
            .is_some_and(|account| called_for(instance, account, now) != instance.intent)
    };
    let due = instances.into_iter().filter(due);
    let due: BTreeMap<_, _> = due.map(|instance| (instance.id, instance.account)).collect();
    Ok(due.into_iter().collect())
}

fn metered(account: &AccountId) -> Filter {
    Filter {
        account: Some(account.clone()),
        charge: Some(ChargeType::PostPaid),
        ..Filter::default()
    }
}

/// Decides again with account and instance kept still; says whether anything was changed.
fn decide(
    tx: &mut Tx<'_>,
    id: &InstanceId,
    owner: &AccountId,
    draws: Option<&Draws>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (account, instance) = (tx.lock_account(owner)?, tx.lock_instance(id)?);
    match (account, instance) {
        (Some(account), Some(instance)) => {
            let intent = called_for(&instance, &account, now);
            if intent == Intent::Delete {
                // What is released costs nothing more, however long its removal takes.
                tx.end_meter(id, now)?;
            }
            let changed = tx.set_intent(id, intent)?;
            if let Some(draws) = draws
                && changed
                && intent == Intent::Delete
                && instance.charge == Charge::PostPaid
                && instance.has_data()
            {
                draws.queue(tx, &instance, true, now)?;
            }
            Ok(changed)
        }
        _ => Ok(false),
    }
}

/// What an instance should be, by what is paid.
fn called_for(instance: &Instance, account: &Account, now: Timestamp) -> Intent {
    let stage = match instance.charge {
        Charge::PrePaid { end, .. } => prepaid_stage(end, now),
        Charge::PostPaid => {
            account.arrears_since.map_or(Stage::Running, |since| arrears_stage(since, now))
        }
    };
    match stage {
        Stage::Running | Stage::Expired => Intent::Run,
        Stage::Inactive => Intent::Stop,
        Stage::Release => Intent::Delete,
    }
}
