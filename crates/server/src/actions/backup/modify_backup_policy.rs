//! ModifyBackupPolicy: when backups of an instance are taken by themselves, and how long they are
//! kept.
//!
//! The vendor asks for an hour on the hour, and shows windows of four in its examples; any window
//! is taken. A number of days holds for the backups to come: one that was taken keeps its own.

use async_trait::async_trait;
use ourkv_domain::backup::{BackupPolicy, BackupWindow, Weekdays};
use ourkv_domain::ids::InstanceId;
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::{NoBackups, Retention, is_redis, retention_days};
use crate::actions::instance::{NoInstance, instance_id, locked};
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, refusals};

/// The action.
pub struct ModifyBackupPolicy;

/// Its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    instance: InstanceId,
    window: BackupWindow,
    days: Weekdays,
    retention_days: Option<u16>,
}

/// The answer: nothing but the `RequestId`.
#[derive(Debug, Serialize)]
pub struct Response {}

refusals! {
    /// What it refuses.
    pub enum Refusal {
        /// Not `HH:mmZ-HH:mmZ`, or no time between the two.
        MalformedWindow = 400 "InvalidPreferredBackupTime.Malformed"
            "The Specified parameter \"PreferredBackupTime\" is not valid.",
        /// Not English names of weekdays, joined by commas.
        MalformedDays = 400 "InvalidPreferredBackupPeriod.Malformed"
            "The Specified parameter \"PreferredBackupPeriod\" is not valid.",
        /// There are no backups of logs.
        NoLogs = 400 "InvalidBackupLogStatus" "The backup of logs is not supported.",
    }
}

#[async_trait]
impl Endpoint for ModifyBackupPolicy {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "ModifyBackupPolicy",
        summary: "Changes when backups of an instance are taken and how long they are kept.",
        effect: Effect::Write,
        parameters: &[
            Parameter::required("InstanceId", "The instance."),
            Parameter::required("PreferredBackupTime", "The window, as in 18:00Z-19:00Z."),
            Parameter::required("PreferredBackupPeriod", "The weekdays, joined by commas."),
            Parameter::optional("BackupRetentionPeriod", "Days to keep backups, 7 to 730."),
            Parameter::optional("EnableBackupLog", "0 (default): no backups of logs."),
        ],
        faults: &[NoInstance::FAULTS, Refusal::FAULTS, Retention::FAULTS, NoBackups::FAULTS],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        let instance = instance_id(params)?;
        let window = params.required("PreferredBackupTime")?.parse();
        let days = params.required("PreferredBackupPeriod")?;
        let request = Request {
            instance,
            window: window.map_err(|_| Refusal::MalformedWindow)?,
            days: days.parse().map_err(|_| Refusal::MalformedDays)?,
            retention_days: retention_days(params)?,
        };
        match params.get("EnableBackupLog") {
            None | Some("0") => Ok(request),
            Some("1") => Err(Refusal::NoLogs.into()),
            Some(_) => Err(Fault::malformed("EnableBackupLog")),
        }
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        let (account, now) = (ctx.caller.account.clone(), ctx.now);
        let work = move |tx: &mut ourkv_store::Tx<'_>| {
            let id = &request.instance;
            is_redis(&locked(tx, &account, id)?)?;
            let before = tx.backup_policy(id)?.map(|plan| plan.policy).unwrap_or_default();
            let policy = BackupPolicy {
                window: request.window,
                days: request.days,
                retention_days: request.retention_days.unwrap_or(before.retention_days),
            };
            tx.save_backup_policy(id, &policy, policy.slot_after(now, id))?;
            Ok(())
        };
        ctx.write(work).await?;
        ctx.nudge();
        Ok(Response {})
    }
}
