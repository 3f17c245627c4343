//! RestoreInstance: replaces the data of an instance by those of one of its backups.
//!
//! The status is `BackupRecovering` at once and `Normal` when it is done. Until the new data were
//! seen to load, the engine serves the old ones; if they don't, it keeps them. Password,
//! whitelist and parameters stay what they are.
//!
//! Point-in-time and partial restores (`RestoreType` 1, `RestoreTime`, `TimeShift`, `FilterKey`)
//! belong to editions that ourkv does not run. Leaving such a wish out would overwrite more than
//! was asked for, so it is refused.

use async_trait::async_trait;
use ourkv_domain::backup::{BackupId, BackupState};
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{Restore, Status};
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::{NoBackup, NoBackups, NotNow, backup_id, is_redis, lock_own};
use crate::actions::instance::{NoInstance, instance_id, locked};
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, refusals};

/// Parameters that ask for less than the whole backup.
const PARTIAL: [&str; 3] = ["RestoreTime", "TimeShift", "FilterKey"];

/// The action.
pub struct RestoreInstance;

/// Its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    instance: InstanceId,
    backup: BackupId,
}

/// The answer: nothing but the `RequestId`.
#[derive(Debug, Serialize)]
pub struct Response {}

refusals! {
    /// What it refuses.
    pub enum Refusal {
        /// To a point in time.
        PointInTime = 400 "InvalidRestoreType.ValueNotSupported"
            "The specified value of RestoreType is not supported.",
        /// Only a part of the backup.
        Partial = 400 "UnsupportedParameter"
            "RestoreTime, TimeShift and FilterKey are not supported: a backup is restored as a whole.",
        /// A backup of the data that would be replaced is not finished.
        JobExists = 403 "BackupJobExists" "A backup job of the instance already exists.",
    }
}

#[async_trait]
impl Endpoint for RestoreInstance {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "RestoreInstance",
        summary: "Replaces the data of an instance by those of one of its backups.",
        effect: Effect::Write,
        parameters: &[
            Parameter::required("InstanceId", "The instance."),
            Parameter::required("BackupId", "The backup; one of the same instance."),
            Parameter::optional("RestoreType", "0 (default): from a backup."),
        ],
        faults: &[
            NoInstance::FAULTS,
            NoBackups::FAULTS,
            NoBackup::FAULTS,
            NotNow::FAULTS,
            Refusal::FAULTS,
        ],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        let instance = instance_id(params)?;
        match params.get("RestoreType") {
            None | Some("0") => {}
            Some("1") => return Err(Refusal::PointInTime.into()),
            Some(_) => return Err(Fault::malformed("RestoreType")),
        }
        if PARTIAL.iter().any(|name| params.get(name).is_some()) {
            return Err(Refusal::Partial.into());
        }
        Ok(Request { instance, backup: backup_id(params)? })
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        let account = ctx.caller.account.clone();
        let now = ctx.now;
        let Request { instance: id, backup } = request;
        let work = move |tx: &mut ourkv_store::Tx<'_>| {
            let instance = locked(tx, &account, &id)?;
            is_redis(&instance)?;
            let found = lock_own(tx, &account, &id, backup)?.ok_or(NoBackup::NotFound)?;
            if !matches!(found.state, BackupState::Success(_)) {
                return Err(NoBackup::WrongState.into());
            }
            if instance.status() != Some(Status::Normal) {
                return Err(NotNow::WrongState.into());
            }
            if tx.unfinished_backup(&id)?.is_some() {
                return Err(Refusal::JobExists.into());
            }
            let serial = tx.begin_restore(&id, backup, now)?.ok_or(NotNow::WrongState)?;
            let restore = Restore { serial, backup, requested_at: now };
            tx.append_event(&restore.begun(&id))?;
            Ok(())
        };
        ctx.write(work).await?;
        ctx.nudge();
        Ok(Response {})
    }
}
