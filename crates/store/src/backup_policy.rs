//! What owners settled about backups, and which instances are due for one.
//!
//! A row goes with its instance.

use jiff::{SignedDuration, Timestamp};
use ourkv_domain::backup::{BackupPolicy, Scheduled};
use ourkv_domain::ids::{InstanceId, NodeId};
use ourkv_domain::instance::InstanceType;

use crate::column::{columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

/// No schedule reaches further ahead: what does was reckoned by a clock that was wrong, or is a
/// sign that it was never reckoned.
const FURTHEST: SignedDuration = SignedDuration::from_hours(9 * 24);

impl Tx<'_> {
    /// The policy of an instance, and when it is due.
    pub fn backup_policy(&mut self, id: &InstanceId) -> Result<Option<Scheduled>, StoreError> {
        let sql = "SELECT * FROM backup_policies WHERE instance = $1";
        let Some(mut row) = self.select_one("backup_policies", sql, &values![id])? else {
            return Ok(None);
        };
        let policy = BackupPolicy {
            window: row.take("hours")?,
            days: row.take("days")?,
            retention_days: row.take("retention_days")?,
        };
        Ok(Some(Scheduled { policy, next_at: row.take("next_at")? }))
    }

    /// Gives an instance a policy in place of the one that it has, if any.
    pub fn save_backup_policy(
        &mut self,
        id: &InstanceId,
        policy: &BackupPolicy,
        next_at: Timestamp,
    ) -> Result<(), StoreError> {
        let BackupPolicy { window, days, retention_days } = policy;
        let row = columns! {
            instance: id,
            hours: window,
            days: days,
            retention_days: retention_days,
            next_at: next_at,
        };
        let tail = "ON CONFLICT (instance) DO UPDATE SET hours = excluded.hours, \
                    days = excluded.days, retention_days = excluded.retention_days, \
                    next_at = excluded.next_at";
        self.insert("backup_policies", &row, tail).map(|_| ())
    }

    /// The living Redis instances of a machine whose policy is due, has a schedule that can't be
    /// true, or is missing; the longest due first.
    pub fn policies_due(
        &mut self,
        node: &NodeId,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let furthest = now.checked_add(FURTHEST).unwrap_or(Timestamp::MAX);
        let sql = "SELECT i.id FROM instances i \
                   LEFT JOIN backup_policies p ON p.instance = i.id \
                   WHERE i.node = $1 AND i.instance_type = $2 AND i.intent <> 'Delete' \
                     AND (p.next_at IS NULL OR p.next_at <= $3 OR p.next_at > $4) \
                   ORDER BY coalesce(p.next_at, 0), i.id LIMIT $5";
        let values = values![node, InstanceType::Redis, now, furthest, limit];
        let rows = self.select("instances", sql, &values)?;
        rows.into_iter().map(|mut row| row.take("id")).collect()
    }
}
