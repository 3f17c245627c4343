//! Zones: what an operator set for them, and how much memory is sold.

use ourkv_domain::ids::ZoneId;
use ourkv_domain::network::ZoneState;

use crate::column::{columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

impl Tx<'_> {
    /// The state of a zone; a zone that nobody touched has the default state.
    pub fn zone_state(&mut self, id: &ZoneId) -> Result<ZoneState, StoreError> {
        let row = self.select_one("zones", "SELECT * FROM zones WHERE id = $1", &values![id])?;
        let Some(mut row) = row else {
            return Ok(ZoneState::default());
        };
        Ok(ZoneState {
            quota_mb: row.take("quota_mb")?,
            used_mb: row.take("used_mb")?,
            vpc: row.take("vpc")?,
        })
    }

    /// Sets what is given: `Some(None)` takes a setting back, `None` leaves it alone.
    pub fn set_zone(
        &mut self,
        id: &ZoneId,
        quota_mb: Option<Option<i64>>,
        vpc: Option<Option<bool>>,
    ) -> Result<(), StoreError> {
        let row = columns! { id: id, used_mb: 0_i64 };
        self.insert("zones", &row, "ON CONFLICT DO NOTHING")?;
        if let Some(quota_mb) = quota_mb {
            let sql = "UPDATE zones SET quota_mb = $1 WHERE id = $2";
            self.execute(sql, &values![quota_mb, id])?;
        }
        if let Some(vpc) = vpc {
            self.execute("UPDATE zones SET vpc = $1 WHERE id = $2", &values![vpc, id])?;
        }
        Ok(())
    }

    /// Takes `mb` of a zone's memory; false, and nothing is taken, if that is more than is left.
    pub fn reserve_capacity(&mut self, id: &ZoneId, mb: i64) -> Result<bool, StoreError> {
        let tail = "ON CONFLICT (id) DO UPDATE SET used_mb = zones.used_mb + excluded.used_mb \
                    WHERE zones.quota_mb IS NULL \
                       OR zones.used_mb + excluded.used_mb <= zones.quota_mb";
        Ok(self.insert("zones", &columns! { id: id, used_mb: mb }, tail)? == 1)
    }

    /// Gives back what [`Self::reserve_capacity`] took.
    pub fn release_capacity(&mut self, id: &ZoneId, mb: i64) -> Result<(), StoreError> {
        let sql = "UPDATE zones SET used_mb = used_mb - $1 WHERE id = $2";
        match self.execute(sql, &values![mb, id])? {
            1 => Ok(()),
            _ => Err(StoreError::Inconsistent { table: "zones", column: "used_mb" }),
        }
    }
}
