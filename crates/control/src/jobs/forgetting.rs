//! Forgetting what has served its time: nonces, tokens, old audit lines and events.

use jiff::{SignedDuration, Timestamp};
use ourkv_store::{Store, StoreError};

use super::Report;

/// Forgets nonces and tokens whose time is over, and audit lines and events older than
/// `audit_kept`.
pub async fn run_once(
    store: &Store,
    now: Timestamp,
    audit_kept: SignedDuration,
) -> Result<Report, StoreError> {
    let before = now.saturating_sub(audit_kept).unwrap_or(Timestamp::MIN);
    // Four transactions: each may have much to delete, and others want to write, too.
    let nonces = store.write(move |tx| tx.forget_nonces(now)).await?;
    let tokens = store.write(move |tx| tx.forget_tokens(now)).await?;
    let lines = store.write(move |tx| tx.forget_audit(before)).await?;
    let events = store.write(move |tx| tx.forget_events(before)).await?;
    Ok(Report { changed: nonces + tokens + lines + events, failed: 0 })
}
