//! Lists of backups, for owners and for operators.

use jiff::Timestamp;
use ourkv_domain::backup::{Backup, BackupId, BackupJobId};
use ourkv_domain::ids::{InstanceId, NodeId};

use crate::backup_row::read;
use crate::column::{ToValue, Value, values};
use crate::error::StoreError;
use crate::instance_filter::Page;
use crate::tx::Tx;

/// What the backups of an instance must be to be listed; what is left out does not matter.
#[derive(Debug, Clone, Default)]
pub struct BackupFilter {
    /// Begun at that time or later.
    pub from: Option<Timestamp>,
    /// Begun at that time or before.
    pub to: Option<Timestamp>,
    /// Of that number.
    pub id: Option<BackupId>,
    /// Taken by that job.
    pub job: Option<BackupJobId>,
}

impl Tx<'_> {
    /// A page of an instance's finished backups, good and failed, latest first; and how many there
    /// are on all pages.
    pub fn backups(
        &mut self,
        instance: &InstanceId,
        filter: &BackupFilter,
        page: Page,
    ) -> Result<(Vec<Backup>, i64), StoreError> {
        let (condition, mut values) = filter.condition(instance);
        let sql = format!("SELECT count(*) AS many FROM backups WHERE {condition}");
        let many = self.count("backups", &sql, &values, "many")?;
        let next = values.len() + 1;
        values.push(page.size.to_value());
        values.push(page.number.saturating_sub(1).saturating_mul(page.size).to_value());
        let sql = format!(
            "SELECT * FROM backups WHERE {condition} ORDER BY listed_at DESC, id \
             LIMIT ${next} OFFSET ${}",
            next + 1
        );
        let rows = self.select("backups", &sql, &values)?;
        let found = rows.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok((found, many))
    }

    /// All backups in whatever state, of an instance or of all, latest first.
    pub fn all_backups(
        &mut self,
        instance: Option<&InstanceId>,
    ) -> Result<Vec<Backup>, StoreError> {
        let rows = match instance {
            None => {
                let sql = "SELECT * FROM backups ORDER BY listed_at DESC, id";
                self.select("backups", sql, &values![])?
            }
            Some(instance) => {
                let sql = "SELECT * FROM backups WHERE instance = $1 ORDER BY listed_at DESC, id";
                self.select("backups", sql, &values![instance])?
            }
        };
        rows.into_iter().map(read).collect()
    }

    /// The instances, living or gone, of which a machine has backups whose retention ends before
    /// `time`: up to `limit` that follow `after`, by id. Some backups stay past their end, so
    /// whoever goes through these goes on after the last one.
    pub fn backups_with_expiry_before(
        &mut self,
        node: &NodeId,
        time: Timestamp,
        after: Option<&InstanceId>,
        limit: i64,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let after = after.map_or("", InstanceId::as_str);
        let sql = "SELECT DISTINCT instance FROM backups \
                   WHERE node = $1 AND expires_at < $2 AND instance > $3 \
                   ORDER BY instance LIMIT $4";
        let rows = self.select("backups", sql, &values![node, time, after, limit])?;
        rows.into_iter().map(|mut row| row.take("instance")).collect()
    }
}

impl BackupFilter {
    /// What stands after `WHERE`, and its values.
    fn condition(&self, instance: &InstanceId) -> (String, Vec<Value>) {
        let mut values = vec![instance.to_value()];
        let mut clauses = vec![String::from("instance = $1 AND state IN ('Success', 'Failed')")];
        let wanted = [
            ("listed_at >=", self.from.map(|time| time.to_value())),
            ("listed_at <=", self.to.map(|time| time.to_value())),
            ("id =", self.id.map(|id| id.to_value())),
            ("job =", self.job.map(|job| job.to_value())),
        ];
        for (clause, value) in wanted {
            if let Some(value) = value {
                values.push(value);
                clauses.push(format!("{clause} ${}", values.len()));
            }
        }
        (clauses.join(" AND "), values)
    }
}
