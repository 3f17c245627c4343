//! CreateBackup: has a backup of an instance taken, at once.
//!
//! The engine goes on serving and the status stays `Normal`. The answer's number is that of the
//! job: DescribeBackupTasks shows how far it is, DescribeBackups the result. One at a time; how
//! many in 24 hours, an operator sets. The number is a text here and an integer in every other
//! answer, as the vendor has it.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use ourkv_domain::event::EventKind;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::Status;
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::order::Order;
use super::{NoBackups, NotNow, Retention, is_redis, retention_days};
use crate::actions::instance::{NoInstance, instance_id, locked};
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, refusals};

/// In which time manual backups are counted, also those that were deleted since.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The action.
pub struct CreateBackup;

/// Its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    instance: InstanceId,
    retention_days: Option<u16>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Response {
    #[serde(rename = "BackupJobID")]
    job: String,
}

refusals! {
    /// What it refuses.
    pub enum Refusal {
        /// One is waiting or being taken.
        JobExists = 403 "BackupJobExists" "A backup job of the instance already exists.",
        /// As many as may be in 24 hours.
        TooMany = 403 "BackupTimesExceeded"
            "The number of manual backups of the instance in 24 hours is exceeded.",
    }
}

#[async_trait]
impl Endpoint for CreateBackup {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "CreateBackup",
        summary: "Takes a backup of an instance.",
        effect: Effect::Write,
        parameters: &[
            Parameter::required("InstanceId", "The instance."),
            Parameter::optional(
                "BackupRetentionPeriod",
                "Days to keep it, 7 to 730; as the instance's plan says where it is left out.",
            ),
        ],
        faults: &[
            NoInstance::FAULTS,
            Retention::FAULTS,
            NoBackups::FAULTS,
            NotNow::FAULTS,
            Refusal::FAULTS,
        ],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        Ok(Request { instance: instance_id(params)?, retention_days: retention_days(params)? })
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        let order = Order::new(&ctx.platform.mint, ctx.now);
        let account = ctx.caller.account.clone();
        let since = ctx.now.saturating_sub(DAY).unwrap_or(Timestamp::MIN);
        let most = ctx.platform.backups_per_day;
        let work = move |tx: &mut ourkv_store::Tx<'_>| {
            let instance = locked(tx, &account, &request.instance)?;
            is_redis(&instance)?;
            if instance.status() != Some(Status::Normal) {
                return Err(NotNow::WrongState.into());
            }
            if tx.unfinished_backup(&instance.id)?.is_some() {
                return Err(Refusal::JobExists.into());
            }
            if tx.events_since(&instance.id, EventKind::BackupAsked, since)? >= most {
                return Err(Refusal::TooMany.into());
            }
            order.manual(tx, &instance, request.retention_days)
        };
        let job = ctx.write(work).await?;
        ctx.nudge();
        Ok(Response { job: job.to_string() })
    }
}
