//! Instances: create, look at, change, switch, delete.

mod create_instance;
mod delete_instance;
mod describe_instance_attribute;
mod describe_instances;
mod described;
mod modify_instance_attribute;
mod switch_instance_ha;

pub use create_instance::CreateInstance;
pub use delete_instance::DeleteInstance;
pub use describe_instance_attribute::DescribeInstanceAttribute;
pub use describe_instances::DescribeInstances;
pub use modify_instance_attribute::ModifyInstanceAttribute;
pub use switch_instance_ha::SwitchInstanceHA;

use ourkv_domain::ids::{AccountId, InstanceId};
use ourkv_domain::instance::{Instance, Status};
use ourkv_domain::secret::Secret;
use ourkv_store::{StoreError, Tx};
use ourkv_wire::{Fault, Params};

use super::{Failure, refusals};

refusals! {
    /// What every action on one instance refuses.
    pub enum NoInstance {
        /// It does not exist, is gone, or belongs to someone else: the caller can't tell which.
        NotFound = 404 "InvalidInstanceId.NotFound"
            "The InstanceId provided does not exist in our records.",
    }
}

refusals! {
    /// What every change of an instance that runs refuses.
    pub enum Unchangeable {
        /// It is not running, or is changing.
        WrongState = 403 "IncorrectDBInstanceState"
            "Current DB instance state does not support this operation.",
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

/// An instance that its account sees, and that nobody else changes until the end of the
/// transaction.
pub(super) fn locked(
    tx: &mut Tx<'_>,
    account: &AccountId,
    id: &InstanceId,
) -> Result<Instance, Failure> {
    tx.lock_instance(id)?;
    Ok(visible(tx, account, id)?.ok_or(NoInstance::NotFound)?)
}

/// Has the password of a locked instance's login replaced. Refused too while so many changes are
/// under way that its engines did not yet get to.
pub(super) fn change_password(
    tx: &mut Tx<'_>,
    instance: &Instance,
    password: &Secret,
) -> Result<(), Failure> {
    if instance.status() != Some(Status::Normal) {
        return Err(Unchangeable::WrongState.into());
    }
    tx.change_password(&instance.id, password)?.ok_or(Unchangeable::WrongState)?;
    Ok(())
}
