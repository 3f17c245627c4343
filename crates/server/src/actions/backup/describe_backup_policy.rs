//! DescribeBackupPolicy: when backups of an instance are taken by themselves, and how long they
//! are kept.
//!
//! A memcached is told the plan that it would begin with, without a next time: clients ask for
//! the plan of every instance and give up on an error.

use async_trait::async_trait;
use jiff::Timestamp;
use ourkv_domain::backup::BackupPolicy;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::InstanceType;
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use crate::actions::instance::{NoInstance, instance_id, visible};
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, time};

/// The action.
pub struct DescribeBackupPolicy;

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    preferred_backup_time: String,
    preferred_backup_period: String,
    backup_retention_period: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_next_backup_time: Option<String>,
    /// There are no backups of logs.
    enable_backup_log: u8,
}

#[async_trait]
impl Endpoint for DescribeBackupPolicy {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "DescribeBackupPolicy",
        summary: "Says when backups of an instance are taken and how long they are kept.",
        effect: Effect::Read,
        parameters: &[Parameter::required("InstanceId", "The instance.")],
        faults: &[NoInstance::FAULTS],
    };
    type Request = InstanceId;
    type Response = Response;

    fn parse(params: &Params) -> Result<InstanceId, Fault> {
        instance_id(params)
    }

    async fn run(ctx: &Ctx, id: InstanceId) -> Result<Response, Failure> {
        let (account, now) = (ctx.caller.account.clone(), ctx.now);
        let work = move |tx: &mut ourkv_store::Tx<'_>| {
            let instance = visible(tx, &account, &id)?.ok_or(NoInstance::NotFound)?;
            if instance.spec.instance_type == InstanceType::Memcache {
                return Ok((BackupPolicy::default(), None));
            }
            let plan = tx.backup_policy(&id)?;
            let policy = plan.as_ref().map(|plan| plan.policy).unwrap_or_default();
            let next = policy.slot_after(now, &id);
            // One of an earlier version gets its time in a moment; until then it is not near.
            let planned = plan.map(|plan| plan.next_at).filter(|planned| *planned <= next);
            Ok((policy, Some(planned.unwrap_or(next))))
        };
        let (policy, next) = ctx.look_up(work).await?;
        Ok(Response::of(policy, next))
    }
}

impl Response {
    fn of(policy: BackupPolicy, next: Option<Timestamp>) -> Self {
        Self {
            preferred_backup_time: policy.window.to_string(),
            preferred_backup_period: policy.days.to_string(),
            backup_retention_period: policy.retention_days.to_string(),
            preferred_next_backup_time: next.map(time::minutes),
            enable_backup_log: 0,
        }
    }
}
