//! `SwitchInstanceHA`: exchanges the roles of the two engines of a pair.
//!
//! The status is `HASwitching` at once and `Normal` when it is done. Clients are made to wait with
//! what they write until the replica has everything, and are disconnected once; nothing that was
//! acknowledged is lost. Where the replica does not follow or does not get there within a second,
//! the roles stay what they are, and `ourkv events` says so.
//!
//! Unlike the vendor: the switch is always done at once, as there are no maintenance windows; both
//! values of `SwitchType` mean the same, as none of them loses a write here. `NodeId` names a part
//! of a cluster, which ourkv does not run.

use async_trait::async_trait;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{InstanceType, NodeType, Status};
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::{NoInstance, instance_id, locked};
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, refusals};

/// What `SwitchType` may say.
const TYPES: [&str; 2] = ["AvailablePriority", "ReliabilityPriority"];

/// The action.
pub struct SwitchInstanceHA;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    /// Names the switch.
    task_id: String,
}

refusals! {
    /// What it refuses.
    pub enum Refusal {
        /// It is no pair of engines.
        NoPair = 403 "IncorrectDBInstanceType"
            "Current DB instance type does not support this operation.",
        /// It is not running, or is changing.
        WrongState = 403 "IncorrectDBInstanceState"
            "Current DB instance state does not support this operation.",
    }
}

#[async_trait]
impl Endpoint for SwitchInstanceHA {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "SwitchInstanceHA",
        summary: "Exchanges the roles of the two engines of a pair.",
        effect: Effect::Write,
        parameters: &[
            Parameter::required("InstanceId", "The instance."),
            Parameter::optional("SwitchMode", "0 (default) or 1: at once in any case."),
            Parameter::optional(
                "SwitchType",
                "AvailablePriority or ReliabilityPriority: the same.",
            ),
            Parameter::optional("NodeId", "Ignored: a pair has no parts to choose from."),
        ],
        faults: &[NoInstance::FAULTS, Refusal::FAULTS],
    };
    type Request = InstanceId;
    type Response = Response;

    fn parse(params: &Params) -> Result<InstanceId, Fault> {
        let instance = instance_id(params)?;
        if params.get("SwitchMode").is_some_and(|mode| mode != "0" && mode != "1") {
            return Err(Fault::malformed("SwitchMode"));
        }
        if params.get("SwitchType").is_some_and(|kind| !TYPES.contains(&kind)) {
            return Err(Fault::malformed("SwitchType"));
        }
        Ok(instance)
    }

    async fn run(ctx: &Ctx, id: InstanceId) -> Result<Response, Failure> {
        let account = ctx.caller.account.clone();
        let now = ctx.now;
        ctx.write(move |tx| {
            let instance = locked(tx, &account, &id)?;
            let shape = (instance.spec.instance_type, instance.spec.node_type);
            if shape != (InstanceType::Redis, NodeType::MasterSlave) {
                return Err(Refusal::NoPair.into());
            }
            if instance.status() != Some(Status::Normal) {
                return Err(Refusal::WrongState.into());
            }
            tx.request_switch(&id, now)?.ok_or(Refusal::WrongState)?;
            Ok(())
        })
        .await?;
        ctx.nudge();
        Ok(Response { task_id: ctx.platform.mint.task_id().to_string() })
    }
}
