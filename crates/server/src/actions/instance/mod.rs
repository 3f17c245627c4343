//! Instances: create, look at, switch, delete.

mod create_instance;
mod delete_instance;
mod describe_instance_attribute;
mod describe_instances;
mod described;
mod switch_instance_ha;

pub use create_instance::CreateInstance;
pub use delete_instance::DeleteInstance;
pub use describe_instance_attribute::DescribeInstanceAttribute;
pub use describe_instances::DescribeInstances;
pub use switch_instance_ha::SwitchInstanceHA;

use ourkv_domain::ids::{AccountId, InstanceId};
use ourkv_domain::instance::Instance;
use ourkv_store::{StoreError, Tx};
use ourkv_wire::{Fault, Params};

use super::refusals;

refusals! {
    /// What every action on one instance refuses.
    pub enum NoInstance {
        /// It does not exist, is gone, or belongs to someone else: the caller can't tell which.
        NotFound = 404 "InvalidInstanceId.NotFound"
            "The InstanceId provided does not exist in our records.",
    }
}

/// The `InstanceId` parameter. A text that can't be an id is the id of no instance.
pub(super) fn instance_id(params: &Params) -> Result<InstanceId, Fault> {
    InstanceId::parse(params.required("InstanceId")?).map_err(|_| NoInstance::NotFound.fault())
}

/// The instance of that id, if `account` may see it.
pub(super) fn visible(
    tx: &mut Tx<'_>,
    account: &AccountId,
    id: &InstanceId,
) -> Result<Option<Instance>, StoreError> {
    let found = tx.instance(id)?;
    Ok(found.filter(|instance| instance.account == *account && instance.status().is_some()))
}
