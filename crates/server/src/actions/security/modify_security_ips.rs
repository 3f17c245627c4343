//! ModifySecurityIps: changes a group of an instance's whitelist.
//!
//! The status stays as it is, and it may be any. The change is durable when it is answered and in
//! force within moments, where whitelists are put in force at all.
//!
//! Unlike the vendor: whoever is taken off the list is cut off, also in the middle of a session.
//! A refused client gets no `ERR illegal address` but a reset, because nothing stands between it
//! and the engine that could speak to it. To do again what was done changes nothing and is no
//! error, so a call whose answer was lost can be repeated: addresses that are appended may be there
//! already, those that are deleted need not be. Only within one call none may stand twice.

use async_trait::async_trait;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::security::{AddressList, Change, GroupName, NoList};
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use crate::actions::instance::{NoInstance, instance_id, locked};
use crate::actions::parameter::word;
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, refusals};

/// The action.
pub struct ModifySecurityIps;

/// Its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    instance: InstanceId,
    change: Change,
}

/// The answer: nothing but the `RequestId`.
#[derive(Debug, Serialize)]
pub struct Response {}

refusals! {
    /// What it refuses.
    pub enum Refusal {
        /// An entry is neither an IPv4 address nor a block.
        Malformed = 400 "InvalidSecurityIPList.Format" "Specified security IP list is not valid.",
        /// Two entries mean the same addresses.
        Twice = 400 "InvalidSecurityIPList.Duplicate"
            "Specified security IP list is not valid: Duplicate IP address in the list.",
        /// More entries than a group, or an instance, may have.
        TooMany = 400 "InvalidSecurityIPList.QuotaExceeded"
            "Specified security IP list is not valid: Exceeding the allowed amount of IP address in the list.",
        /// Not a name of a group.
        GroupName = 400 "InvalidSecurityIpGroupName.Malformed"
            "The Specified parameter \"SecurityIpGroupName\" is not valid.",
        /// Not an attribute of a group.
        GroupAttribute = 400 "InvalidSecurityIpGroupAttribute.Malformed"
            "The Specified parameter \"SecurityIpGroupAttribute\" is not valid.",
        /// Not a word that it knows.
        Mode = 400 "InvalidModifyMode.Malformed"
            "The Specified parameter \"ModifyMode\" is not valid.",
    }
}

#[async_trait]
impl Endpoint for ModifySecurityIps {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "ModifySecurityIps",
        summary: "Changes from which addresses an instance can be reached.",
        effect: Effect::Write,
        parameters: &[
            Parameter::required("InstanceId", "The instance."),
            Parameter::required(
                "SecurityIps",
                "IPv4 addresses and blocks such as 10.0.0.0/8, joined by commas; 0.0.0.0/0 is everyone.",
            ),
            Parameter::optional("SecurityIpGroupName", "The group; default if not given."),
            Parameter::optional("SecurityIpGroupAttribute", "What the group is marked with."),
            Parameter::optional("ModifyMode", "Cover (default), Append or Delete."),
        ],
        faults: &[NoInstance::FAULTS, Refusal::FAULTS],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        let instance = instance_id(params)?;
        let list = addresses(params.required("SecurityIps")?)?;
        let group = params.get("SecurityIpGroupName").map(str::parse).transpose();
        let attribute = params.get("SecurityIpGroupAttribute").map(str::parse).transpose();
        let change = Change {
            group: group.map_err(|_| Refusal::GroupName)?.unwrap_or_else(GroupName::default),
            attribute: attribute.map_err(|_| Refusal::GroupAttribute)?,
            mode: word(params, "ModifyMode")?.unwrap_or_default(),
            list,
        };
        Ok(Request { instance, change })
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        let account = ctx.caller.account.clone();
        let work = move |tx: &mut ourkv_store::Tx<'_>| {
            let id = &request.instance;
            locked(tx, &account, id)?;
            let mut whitelist = tx.whitelist(id)?;
            whitelist.change(request.change.clone()).map_err(|_| Refusal::TooMany)?;
            tx.save_whitelist(id, &whitelist)?;
            Ok(())
        };
        ctx.write(work).await?;
        ctx.nudge();
        Ok(Response {})
    }
}

fn addresses(text: &str) -> Result<AddressList, Refusal> {
    text.parse().map_err(|error| match error {
        NoList::Malformed => Refusal::Malformed,
        NoList::Twice => Refusal::Twice,
        NoList::TooLong => Refusal::TooMany,
    })
}
