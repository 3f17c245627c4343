//! Backups that are due by their instances' policies.
//!
//! An instance has a slot of its own within the window, so a thousand instances with one policy
//! don't fork at once. What was due while nothing ran is made up for once. An instance that is
//! not `Normal` in its slot is waited for some hours, then the next slot counts.

use jiff::{SignedDuration, Timestamp};
use ourkv_domain::backup::Scheduled;
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::{InstanceId, NodeId};
use ourkv_domain::instance::{Instance, InstanceType, Intent, Phase};
use ourkv_domain::mint::Mint;
use ourkv_store::{Store, StoreError, Tx};

use super::Report;
use super::draws::Draws;

/// Instances that are looked at at a time.
const BATCH: i64 = 10_000;
/// A slot further ahead than this was set by a clock that was wrong.
const FURTHEST: SignedDuration = SignedDuration::from_hours(9 * 24);
/// How long an instance may be late for its slot.
const LATE: SignedDuration = SignedDuration::from_hours(6);

/// What comes of an instance.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// A backup, and then the next slot.
    Take,
    /// The next slot.
    Next,
    /// It stays due.
    Wait,
}

/// Queues every backup that is due.
pub async fn run_once(
    store: &Store,
    clock: &dyn Clock,
    mint: &Mint,
    node: &NodeId,
) -> Result<Report, StoreError> {
    let (now, node) = (clock.now(), node.clone());
    let due = store.read(move |tx| tx.policies_due(&node, now, BATCH)).await?;
    let mut report = Report::default();
    for id in due {
        let key = id.clone();
        let draws = Draws::new(mint);
        match store.write(move |tx| decide(tx, &key, &draws, now)).await {
            Ok(queued) => report.changed += u64::from(queued),
            Err(error) => {
                tracing::warn!(instance.id = %id, %error, "scheduling a backup failed");
                report.failed += 1;
            }
        }
    }
    Ok(report)
}

/// Decides with the instance kept still; says whether a backup was queued.
fn decide(
    tx: &mut Tx<'_>,
    id: &InstanceId,
    draws: &Draws,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(instance) = tx.lock_instance(id)? else {
        return Ok(false);
    };
    let scheduled = tx.backup_policy(id)?;
    let policy = scheduled.as_ref().map(|scheduled| scheduled.policy).unwrap_or_default();
    let busy = tx.unfinished_backup(id)?.is_some();
    let queued = match turn(scheduled.as_ref(), &instance, busy, now) {
        Turn::Wait => return Ok(false),
        Turn::Next => false,
        Turn::Take => draws.queue(tx, &instance, false, now)?,
    };
    tx.save_backup_policy(id, &policy, policy.slot_after(now, id))?;
    Ok(queued)
}

fn turn(scheduled: Option<&Scheduled>, instance: &Instance, busy: bool, now: Timestamp) -> Turn {
    let Some(Scheduled { next_at, .. }) = scheduled else {
        return Turn::Next;
    };
    let late = now.duration_since(*next_at);
    if late < -FURTHEST {
        return Turn::Next;
    }
    if late.is_negative() {
        return Turn::Wait;
    }
    if instance.intent != Intent::Run || instance.spec.instance_type != InstanceType::Redis || busy
    {
        return Turn::Next;
    }
    match instance.observed.phase {
        Phase::Normal if instance.restore.is_none() => Turn::Take,
        _ if late > LATE => Turn::Next,
        _ => Turn::Wait,
    }
}
