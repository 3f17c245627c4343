//! VPCs and vSwitches.

use ourkv_domain::ids::{AccountId, VSwitchId, VpcId};
use ourkv_domain::network::{VSwitch, Vpc};

use crate::column::{Row, columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

/// What became of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// There was no such thing.
    Missing,
    /// Something still hangs on it; it stays.
    InUse,
}

impl Tx<'_> {
    /// The VPC of that id.
    pub fn vpc(&mut self, id: &VpcId) -> Result<Option<Vpc>, StoreError> {
        let row = self.select_one("vpcs", "SELECT * FROM vpcs WHERE id = $1", &values![id])?;
        row.map(read_vpc).transpose()
    }

    /// Every VPC, or those of one account, by id.
    pub fn vpcs(&mut self, account: Option<&AccountId>) -> Result<Vec<Vpc>, StoreError> {
        let rows = match account {
            Some(account) => {
                let sql = "SELECT * FROM vpcs WHERE account = $1 ORDER BY id";
                self.select("vpcs", sql, &values![account])?
            }
            None => self.select("vpcs", "SELECT * FROM vpcs ORDER BY id", &[])?,
        };
        rows.into_iter().map(read_vpc).collect()
    }

    /// Adds a VPC.
    pub fn insert_vpc(&mut self, vpc: &Vpc) -> Result<(), StoreError> {
        let Vpc { id, account, region, cidr, name } = vpc;
        let row = columns! { id: id, account: account, region: region, cidr: cidr, name: name };
        self.insert("vpcs", &row, "").map(|_| ())
    }

    /// Removes a VPC without vSwitches.
    pub fn delete_vpc(&mut self, id: &VpcId) -> Result<Removal, StoreError> {
        // Locked first: then nobody can hang a vSwitch on it between the look and the removal.
        let sql = format!("SELECT id FROM vpcs WHERE id = $1{}", self.for_update());
        if self.select_one("vpcs", &sql, &values![id])?.is_none() {
            return Ok(Removal::Missing);
        }
        let sql = "DELETE FROM vpcs WHERE id = $1 \
                   AND NOT EXISTS (SELECT 1 FROM vswitches WHERE vpc = $1) \
                   AND NOT EXISTS (SELECT 1 FROM instances WHERE vpc = $1)";
        Ok(removal(self.execute(sql, &values![id])?))
    }

    /// The vSwitch of that id.
    pub fn vswitch(&mut self, id: &VSwitchId) -> Result<Option<VSwitch>, StoreError> {
        let sql = "SELECT * FROM vswitches WHERE id = $1";
        self.select_one("vswitches", sql, &values![id])?.map(read_vswitch).transpose()
    }

    /// Every vSwitch, or those of one VPC, by id.
    pub fn vswitches(&mut self, vpc: Option<&VpcId>) -> Result<Vec<VSwitch>, StoreError> {
        let rows = match vpc {
            Some(vpc) => {
                let sql = "SELECT * FROM vswitches WHERE vpc = $1 ORDER BY id";
                self.select("vswitches", sql, &values![vpc])?
            }
            None => self.select("vswitches", "SELECT * FROM vswitches ORDER BY id", &[])?,
        };
        rows.into_iter().map(read_vswitch).collect()
    }

    /// Adds a vSwitch.
    pub fn insert_vswitch(&mut self, vswitch: &VSwitch) -> Result<(), StoreError> {
        let VSwitch { id, vpc, account, zone, cidr, name } = vswitch;
        let row = columns! {
            id: id, vpc: vpc, account: account, zone: zone, cidr: cidr, name: name,
        };
        self.insert("vswitches", &row, "").map(|_| ())
    }

    /// Removes a vSwitch without instances, and its address pool.
    pub fn delete_vswitch(&mut self, id: &VSwitchId) -> Result<Removal, StoreError> {
        let sql = format!("SELECT id FROM vswitches WHERE id = $1{}", self.for_update());
        if self.select_one("vswitches", &sql, &values![id])?.is_none() {
            return Ok(Removal::Missing);
        }
        // The pool of a subnet is named after it: `ourkv_domain::network::Pool::key`.
        let pool = id.as_str();
        let sql = "DELETE FROM vswitches WHERE id = $1 \
                   AND NOT EXISTS (SELECT 1 FROM instances WHERE vswitch = $1) \
                   AND NOT EXISTS (SELECT 1 FROM addresses WHERE pool = $2)";
        let removal = removal(self.execute(sql, &values![id, pool])?);
        if removal == Removal::Removed {
            self.delete_pool(pool)?;
        }
        Ok(removal)
    }
}

fn removal(removed: u64) -> Removal {
    if removed == 1 { Removal::Removed } else { Removal::InUse }
}

fn read_vpc(mut row: Row) -> Result<Vpc, StoreError> {
    Ok(Vpc {
        id: row.take("id")?,
        account: row.take("account")?,
        region: row.take("region")?,
        cidr: row.take("cidr")?,
        name: row.take("name")?,
    })
}

fn read_vswitch(mut row: Row) -> Result<VSwitch, StoreError> {
    Ok(VSwitch {
        id: row.take("id")?,
        vpc: row.take("vpc")?,
        account: row.take("account")?,
        zone: row.take("zone")?,
        cidr: row.take("cidr")?,
        name: row.take("name")?,
    })
}
