//! Settings: named texts that an operator or a first start leaves behind.

use ourkv_domain::clock::Steady;
use ourkv_domain::ids::NodeId;

use crate::column::{columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

/// Present while an operator keeps the VPC service down.
const VPC_SERVICE_DOWN: &str = "vpc-service-down";

impl Tx<'_> {
    /// Whether the VPC service answers; while it does not, nothing is created in a VPC.
    pub fn vpc_service_is_up(&mut self) -> Result<bool, StoreError> {
        Ok(self.setting(VPC_SERVICE_DOWN)?.is_none())
    }

    /// Brings the VPC service up, or takes it down.
    pub fn set_vpc_service(&mut self, up: bool) -> Result<(), StoreError> {
        if up {
            self.delete_setting(VPC_SERVICE_DOWN).map(|_| ())
        } else {
            self.set_setting(VPC_SERVICE_DOWN, "yes")
        }
    }

    /// The steady time of a machine, as it was last kept.
    pub fn steady(&mut self, node: &NodeId) -> Result<Option<Steady>, StoreError> {
        let inconsistent = StoreError::Inconsistent { table: "settings", column: "value" };
        let text = self.setting(&steady_of(node))?;
        text.map(|text| text.parse().map_err(|_| inconsistent)).transpose()
    }

    /// Keeps the steady time of a machine.
    pub fn save_steady(&mut self, node: &NodeId, steady: &Steady) -> Result<(), StoreError> {
        self.set_setting(&steady_of(node), &steady.to_string())
    }

    /// The value of a setting.
    pub fn setting(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT * FROM settings WHERE name = $1";
        let row = self.select_one("settings", sql, &values![name])?;
        row.map(|mut row| row.take("value")).transpose()
    }

    /// Gives a setting a value.
    pub fn set_setting(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        let row = columns! { name: name, value: value };
        let tail = "ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.insert("settings", &row, tail).map(|_| ())
    }

    /// Removes a setting; false if there is none of that name.
    pub fn delete_setting(&mut self, name: &str) -> Result<bool, StoreError> {
        Ok(self.execute("DELETE FROM settings WHERE name = $1", &values![name])? == 1)
    }
}

fn steady_of(node: &NodeId) -> String {
    format!("steady-time-of-{node}")
}
