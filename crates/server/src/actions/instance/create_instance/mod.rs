//! CreateInstance: buys an instance and has it brought up.
//!
//! The answer says `Creating` whatever happens next; the instance is `Normal` once a login at the
//! returned address was seen to work. With a `Token` the call can be repeated safely.
//!
//! Where two refusals apply, the first of this order is answered: syntax (in the order of the
//! page's table), existence, permission and state of the account, quota and stock, money. A
//! refused call changes nothing and uses up no token.
//!
//! Where the page is odd: its password example uses `,` and `.`, which its rule does not list
//! (both are taken); `ResourceNotAvailable` speaks of finance users and is also what a class
//! answers that this service does not run. `AutoRenew` means nothing for what is paid by the
//! hour, and is accepted there.
//!
//! With `SrcDBInstanceId` and `BackupId` it begins with the data of a backup, and with nothing
//! else of its source: no password, no whitelist, no tags. It is `Creating` until it serves them.

mod money;
mod origin;
mod place;
mod refusal;
mod request;
mod response;

use async_trait::async_trait;
use jiff::Timestamp;
use ourkv_domain::catalogue::{Availability, Catalogue, Class, Region};
use ourkv_domain::idempotency::Scope;
use ourkv_domain::ids::{AccountId, InstanceId, ZoneId};
use ourkv_domain::instance::{
    Charge, Endpoint as At, Instance, InstanceType, Intent, Observed, Phase, Role, Secrets, Spec,
};
use ourkv_domain::network::domain::connection_domain;
use ourkv_store::Tx;
use ourkv_wire::{Fault, Params};

use self::refusal::Refusal;
use self::request::{Request, Size};
use self::response::Response;
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Platform};

/// The action.
pub struct CreateInstance;

#[async_trait]
impl Endpoint for CreateInstance {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "CreateInstance",
        summary: "Creates an instance.",
        effect: Effect::Write,
        parameters: request::PARAMETERS,
        faults: &[Refusal::FAULTS],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        Request::parse(params)
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        let catalogue = ctx.platform.catalogue;
        let region = catalogue.region(&request.region).ok_or(Refusal::UnknownRegion)?;
        let class = class(catalogue, &request)?;
        let creation = Creation::new(ctx, request, region, class);
        let response = ctx.write(move |tx| creation.run(tx)).await?;
        ctx.nudge();
        Ok(response)
    }
}

/// The class that was asked for, if it exists, runs here and fits the rest of the request.
fn class(catalogue: &'static Catalogue, request: &Request) -> Result<&'static Class, Refusal> {
    let class = match &request.size {
        Size::Class(code) => catalogue.class(code).ok_or(Refusal::UnknownClass)?,
        Size::Capacity(mb) => catalogue
            .by_capacity(*mb, request.instance_type, request.node_type.unwrap_or_default())
            .ok_or(Refusal::UnknownCapacity)?,
    };
    let nodes_match = request.node_type.is_none_or(|asked| asked == class.node_type)
        || class.instance_type == InstanceType::Memcache;
    if class.instance_type != request.instance_type || !nodes_match {
        return Err(Refusal::ClassMismatch);
    }
    if class.availability != Availability::Runs {
        return Err(Refusal::NotAvailable);
    }
    if !class.fits(request.version) {
        return Err(Refusal::VersionMismatch);
    }
    Ok(class)
}

/// One creation: everything that its transaction needs, drawn before it begins, so that the
/// transaction can be run again as a whole.
struct Creation {
    platform: Platform,
    request: Request,
    region: &'static Region,
    class: &'static Class,
    account: AccountId,
    now: Timestamp,
    id: InstanceId,
    nonce: String,
    secrets: Secrets,
}

impl Creation {
    fn new(ctx: &Ctx, request: Request, region: &'static Region, class: &'static Class) -> Self {
        let mint = &ctx.platform.mint;
        Self {
            id: mint.instance(request.instance_type, region),
            nonce: mint.nonce(),
            secrets: Secrets {
                password: request.password.clone(),
                admin: mint.secret(32),
                replication: mint.secret(32),
                change: None,
            },
            platform: ctx.platform.clone(),
            account: ctx.caller.account.clone(),
            now: ctx.now,
            request,
            region,
            class,
        }
    }

    /// The transaction: token, place, account, quota, money, instance; or nothing of it.
    fn run(&self, tx: &mut Tx<'_>) -> Result<Response, Failure> {
        let scope = self.scope();
        if let Some(scope) = &scope {
            let print = self.request.fingerprint.clone();
            if let Some(remembered) = tx.claim_token(scope, &print, self.now)? {
                let answer = remembered.replay(&print).map_err(|_| Refusal::TokenMismatch)?;
                return serde_json::from_str(&answer).map_err(Failure::internal);
            }
        }
        let account = tx.lock_account(&self.account)?.ok_or_else(|| {
            Failure::internal(format!("account {} of a valid key is gone", self.account))
        })?;
        let site = self.find_site(tx)?;
        self.check_origin(tx)?;
        self.check_account(&account)?;
        self.check_quota(tx, &account)?;
        let zone = self.reserve_zone(tx, &site)?;
        let endpoint_ips = self.take_address(tx, &site)?;
        let charge = self.pay(tx, &account)?;
        let instance = self.instance(zone, site, endpoint_ips, charge);
        tx.insert_instance(&instance, &self.secrets)?;
        self.note_origin(tx)?;
        self.plan_backups(tx, &instance)?;
        if self.request.dry_run {
            return Err(Refusal::DryRun.into());
        }
        let response = Response::of(&instance);
        if let Some(scope) = &scope {
            let answer = serde_json::to_string(&response).map_err(Failure::internal)?;
            tx.answer_token(scope, &answer)?;
        }
        Ok(response)
    }

    fn instance(
        &self,
        zone: ZoneId,
        site: place::Site,
        ips: place::Addresses,
        charge: Charge,
    ) -> Instance {
        let kind = self.request.instance_type;
        Instance {
            id: self.id.clone(),
            account: self.account.clone(),
            node: self.platform.node.clone(),
            nonce: self.nonce.clone(),
            created_at: self.now,
            name: self.request.name.clone(),
            region: self.region.id.clone(),
            zone,
            spec: Spec {
                class: self.class.code.clone(),
                instance_type: kind,
                node_type: self.request.node_type.unwrap_or(self.class.node_type),
                version: self.request.version,
                capacity_mb: self.class.capacity_mb,
                bandwidth_mbps: self.class.bandwidth_mbps,
                connections: self.class.connections,
                qps: self.class.qps,
            },
            endpoint: At {
                network: site.network,
                private_ip: ips.private,
                serving_ip: ips.serving,
                port: kind.port(),
                domain: connection_domain(
                    &self.id,
                    kind,
                    self.region,
                    &self.platform.domain_suffix,
                ),
            },
            parameters: self.request.parameters.clone(),
            charge,
            intent: Intent::Run,
            generation: 1,
            observed: Observed {
                phase: Phase::Creating { trouble: None },
                generation: 0,
                since: self.now,
            },
            dataset: 0,
            restore: self.first_data(),
            role: Role::default(),
        }
    }

    fn scope(&self) -> Option<Scope> {
        self.request.token.clone().map(|token| Scope {
            account: self.account.clone(),
            region: self.region.id.clone(),
            action: CreateInstance::DESCRIPTOR.name,
            token,
        })
    }
}
