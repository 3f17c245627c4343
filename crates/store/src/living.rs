//! How many hourly-paid instances are living: those that their owner can see.
//!
//! Counted as they come and go, because quotas are asked at every creation and an account may have
//! many thousands.

use ourkv_domain::ids::{AccountId, RegionId};
use ourkv_domain::instance::{Charge, ChargeType, Instance};

use crate::column::{Row, columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

impl Tx<'_> {
    /// How many hourly-paid instances an account has, in all or in one region.
    pub fn count_postpaid(
        &mut self,
        account: &AccountId,
        region: Option<&RegionId>,
    ) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COALESCE(SUM(many), 0) AS BIGINT) AS many \
                   FROM living_postpaid WHERE account = $1";
        match region {
            None => self.count("living_postpaid", sql, &values![account], "many"),
            Some(region) => {
                let sql = format!("{sql} AND region = $2");
                self.count("living_postpaid", &sql, &values![account, region], "many")
            }
        }
    }

    /// Counts a new instance.
    pub(crate) fn count_in(&mut self, instance: &Instance) -> Result<(), StoreError> {
        let lives = instance.status().is_some();
        let by = i64::from(lives && instance.charge.kind() == ChargeType::PostPaid);
        self.change_living(&instance.account, &instance.region, by)
    }

    /// Counts an instance no longer; the row holds its account, region and charge.
    pub(crate) fn count_out(&mut self, mut row: Row) -> Result<(), StoreError> {
        let (account, region) = (row.take("account")?, row.take("region")?);
        let by = -i64::from(row.take::<ChargeType>("charge")? == ChargeType::PostPaid);
        self.change_living(&account, &region, by)
    }

    /// Counts an instance anew that will be paid for as `charge` says.
    pub(crate) fn recount(&mut self, before: &Instance, charge: &Charge) -> Result<(), StoreError> {
        let is_hourly = |charge: &Charge| i64::from(charge.kind() == ChargeType::PostPaid);
        let lives = i64::from(before.status().is_some());
        let by = lives * (is_hourly(charge) - is_hourly(&before.charge));
        self.change_living(&before.account, &before.region, by)
    }

    fn change_living(
        &mut self,
        account: &AccountId,
        region: &RegionId,
        by: i64,
    ) -> Result<(), StoreError> {
        if by == 0 {
            return Ok(());
        }
        let row = columns! { account: account, region: region, many: by };
        let tail = "ON CONFLICT (account, region) \
                    DO UPDATE SET many = living_postpaid.many + excluded.many";
        self.insert("living_postpaid", &row, tail).map(|_| ())
    }
}
