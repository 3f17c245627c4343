//! ResetAccountPassword: replaces the password of a login.
//!
//! Engines take the new one beside the former one, and refuse the former one as soon as a login
//! with the new one was proven; that is milliseconds later, and `ourkv events` says so. Sessions go
//! on, and the status stays `Normal`. Engines before 6.0, and memcached, know one password: there
//! the new one takes the place of the former one at once.
//!
//! An instance has one account, which has its id for a name. Before 6.0 engines take names in any
//! case; here names are compared as they are.

use async_trait::async_trait;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::password;
use ourkv_domain::secret::Secret;
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use crate::actions::instance::{NoInstance, Unchangeable, change_password, instance_id, locked};
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, refusals};

/// The action.
pub struct ResetAccountPassword;

/// Its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    instance: InstanceId,
    account: String,
    password: Secret,
}

/// The answer: nothing but the `RequestId`.
#[derive(Debug, Serialize)]
pub struct Response {}

refusals! {
    /// What it refuses.
    pub enum Refusal {
        /// Not a password.
        MalformedPassword = 400 "InvalidAccountPassword.Format"
            "Specified account password is not valid.",
        /// The instance has no such account.
        NoAccount = 404 "InvalidAccountName.NotFound" "Specified account name does not exist.",
    }
}

#[async_trait]
impl Endpoint for ResetAccountPassword {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "ResetAccountPassword",
        summary: "Replaces the password of a login of an instance.",
        effect: Effect::Write,
        parameters: &[
            Parameter::required("InstanceId", "The instance."),
            Parameter::required("AccountName", "The account: the id of the instance."),
            Parameter::required(
                "AccountPassword",
                "8 to 32 characters of three kinds of letters, digits and specials.",
            ),
        ],
        faults: &[NoInstance::FAULTS, Refusal::FAULTS, Unchangeable::FAULTS],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        let instance = instance_id(params)?;
        let account = params.required("AccountName")?.to_owned();
        let password = password::parse(params.required("AccountPassword")?);
        let password = password.map_err(|_| Refusal::MalformedPassword)?;
        Ok(Request { instance, account, password })
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        let caller = ctx.caller.account.clone();
        ctx.write(move |tx| {
            let instance = locked(tx, &caller, &request.instance)?;
            if request.account != instance.id.as_str() {
                return Err(Refusal::NoAccount.into());
            }
            change_password(tx, &instance, &request.password)
        })
        .await?;
        ctx.nudge();
        Ok(Response {})
    }
}
