//! ModifyInstanceAttribute: another name, another password, or both.
//!
//! The name changes at once, whatever the state of the instance. The password is that of the
//! account that has the instance's id for a name, and changes as with ResetAccountPassword. Where
//! one of the two is refused, none is changed.

use async_trait::async_trait;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::name::InstanceName;
use ourkv_domain::instance::password;
use ourkv_domain::secret::Secret;
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::{NoInstance, Unchangeable, change_password, instance_id, locked};
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, refusals};

/// The action.
pub struct ModifyInstanceAttribute;

/// Its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    instance: InstanceId,
    name: Option<InstanceName>,
    password: Option<Secret>,
}

/// The answer: nothing but the `RequestId`.
#[derive(Debug, Serialize)]
pub struct Response {}

refusals! {
    /// What it refuses.
    pub enum Refusal {
        /// Neither a name nor a password.
        NothingToChange = 400 "MissingParameter"
            "InstanceName/NewPassword at least one is mandatory for this action.",
        /// Not a name.
        MalformedName = 400 "InvalidInstanceName.Malformed"
            "The Specified parameter \"InstanceName\" is not valid.",
        /// Not a password.
        MalformedPassword = 400 "InvalidPassword.Malformed"
            "The Specified parameter \"Password\" is not valid.",
    }
}

#[async_trait]
impl Endpoint for ModifyInstanceAttribute {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "ModifyInstanceAttribute",
        summary: "Gives an instance another name or password.",
        effect: Effect::Write,
        parameters: &[
            Parameter::required("InstanceId", "The instance."),
            Parameter::optional("InstanceName", "Its name from now on: 2 to 128 characters."),
            Parameter::optional(
                "NewPassword",
                "8 to 32 characters of three kinds of letters, digits and specials.",
            ),
        ],
        faults: &[NoInstance::FAULTS, Refusal::FAULTS, Unchangeable::FAULTS],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        let instance = instance_id(params)?;
        let name = params.get("InstanceName").map(InstanceName::parse).transpose();
        let name = name.map_err(|_| Refusal::MalformedName)?;
        let password = params.get("NewPassword").map(password::parse).transpose();
        let password = password.map_err(|_| Refusal::MalformedPassword)?;
        if name.is_none() && password.is_none() {
            return Err(Refusal::NothingToChange.into());
        }
        Ok(Request { instance, name, password })
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        let caller = ctx.caller.account.clone();
        ctx.write(move |tx| {
            let instance = locked(tx, &caller, &request.instance)?;
            if let Some(name) = &request.name {
                tx.set_name(&instance.id, name)?;
            }
            match &request.password {
                Some(password) => change_password(tx, &instance, password),
                None => Ok(()),
            }
        })
        .await?;
        ctx.nudge();
        Ok(Response {})
    }
}
