//! Restores: which backup's data an instance is to have, and which set of data is in force.

use jiff::Timestamp;
use ourkv_domain::backup::BackupId;
use ourkv_domain::ids::InstanceId;

use crate::column::values;
use crate::error::StoreError;
use crate::instance_status::{SWITCHING, status_sql};
use crate::tx::Tx;

impl Tx<'_> {
    /// Lets an instance's data be replaced by those of a backup, and raises its generation.
    /// Returns the serial of the new set of data, which none before had; `None` if there is no
    /// such instance, if it should not run, or if a restore is pending.
    pub fn begin_restore(
        &mut self,
        id: &InstanceId,
        backup: BackupId,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let sql = format!(
            "UPDATE instances SET datasets = datasets + 1, restore_serial = datasets + 1, \
             restore_backup = $1, restore_requested_at = $2, generation = generation + 1, \
             status = {} \
             WHERE id = $3 AND intent = 'Run' AND restore_serial IS NULL \
             RETURNING restore_serial",
            status_sql("intent", "phase", "TRUE", SWITCHING)
        );
        let row = self.select_one("instances", &sql, &values![backup, now, id])?;
        row.map(|mut row| row.take("restore_serial")).transpose()
    }

    /// Ends a restore: where it is done, its set of data is in force from here on. False unless
    /// the restore of that serial is pending.
    pub fn end_restore(
        &mut self,
        id: &InstanceId,
        serial: i64,
        done: bool,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE instances SET dataset = {}, restore_serial = NULL, restore_backup = NULL, \
             restore_requested_at = NULL, status = {} \
             WHERE id = $1 AND restore_serial = $2",
            if done { "restore_serial" } else { "dataset" },
            status_sql("intent", "phase", "FALSE", SWITCHING)
        );
        Ok(self.execute(&sql, &values![id, serial])? == 1)
    }
}
