//! DeleteInstance: gives an hourly-paid instance back.
//!
//! The instance is gone for its owner at once: the next query answers `NotFound`. Its engines are
//! stopped, its data removed and its address released right after. Deleting it once more answers
//! `NotFound`, like the vendor.
//!
//! Unless an operator turned that off, a last backup is taken first, of everything that has data
//! worth one; it can be listed, restored and deleted until its days are over.

use async_trait::async_trait;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{ChargeType, Instance, Intent, Status};
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::{NoInstance, instance_id, locked};
use crate::actions::backup::order::Order;
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, refusals};

/// The action.
pub struct DeleteInstance;

/// The answer: nothing but the `RequestId`.
#[derive(Debug, Serialize)]
pub struct Response {}

refusals! {
    /// What it refuses.
    pub enum Refusal {
        /// It is not running.
        WrongState = 403 "IncorrectDBInstanceState"
            "Current DB instance state does not support this operation.",
        /// It is paid for in advance: it ends by itself.
        PrePaid = 400 "InvalidOrderCharge.NotSupport"
            "The specified order charge type does not support this operation.",
    }
}

#[async_trait]
impl Endpoint for DeleteInstance {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "DeleteInstance",
        summary: "Deletes an hourly-paid instance, after a last backup.",
        effect: Effect::Write,
        parameters: &[Parameter::required("InstanceId", "The instance.")],
        faults: &[NoInstance::FAULTS, Refusal::FAULTS],
    };
    type Request = InstanceId;
    type Response = Response;

    fn parse(params: &Params) -> Result<InstanceId, Fault> {
        instance_id(params)
    }

    async fn run(ctx: &Ctx, id: InstanceId) -> Result<Response, Failure> {
        let account = ctx.caller.account.clone();
        let now = ctx.now;
        let last = ctx.platform.final_backup.then(|| Order::new(&ctx.platform.mint, now));
        ctx.write(move |tx| {
            tx.lock_account(&account)?;
            let instance = locked(tx, &account, &id)?;
            if instance.charge.kind() == ChargeType::PrePaid {
                return Err(Refusal::PrePaid.into());
            }
            if !may_be_deleted(&instance) {
                return Err(Refusal::WrongState.into());
            }
            if let Some(last) = last.as_ref().filter(|_| instance.has_data()) {
                last.last(tx, &instance)?;
            }
            tx.set_intent(&id, Intent::Delete)?;
            // What is given back costs nothing more, however long its removal takes.
            tx.end_meter(&id, now)?;
            Ok(())
        })
        .await?;
        ctx.nudge();
        Ok(Response {})
    }
}

/// The service says `Normal` only. What broke, was stopped for arrears or can't come up must be
/// possible to give back too: its owner has no other way to stop paying.
fn may_be_deleted(instance: &Instance) -> bool {
    match instance.status() {
        Some(Status::Normal | Status::Unavailable | Status::Inactive) => true,
        Some(Status::Creating) => instance.observed.phase.trouble().is_some(),
        _ => false,
    }
}
