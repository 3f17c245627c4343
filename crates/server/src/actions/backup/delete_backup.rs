//! DeleteBackup: removes a backup before its time.
//!
//! It is gone for its owner at once; its file is removed right after. One that is still being
//! taken, or that an instance is being restored or cloned from, is kept. Works for backups of a
//! deleted instance too.

use async_trait::async_trait;
use ourkv_domain::backup::{BackupId, BackupState};
use ourkv_domain::ids::InstanceId;
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::{NoBackup, backup_id, lock_own, may_ask};
use crate::actions::instance::{NoInstance, instance_id};
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter};

/// The action.
pub struct DeleteBackup;

/// Its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    instance: InstanceId,
    backup: BackupId,
}

/// The answer: nothing but the `RequestId`.
#[derive(Debug, Serialize)]
pub struct Response {}

#[async_trait]
impl Endpoint for DeleteBackup {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "DeleteBackup",
        summary: "Deletes a backup.",
        effect: Effect::Write,
        parameters: &[
            Parameter::required("InstanceId", "The instance that it was taken of."),
            Parameter::required("BackupId", "The backup."),
        ],
        faults: &[NoInstance::FAULTS, NoBackup::FAULTS],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        Ok(Request { instance: instance_id(params)?, backup: backup_id(params)? })
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        let account = ctx.caller.account.clone();
        let Request { instance, backup } = request;
        let work = move |tx: &mut ourkv_store::Tx<'_>| {
            if !may_ask(tx, &account, &instance)? {
                return Err(NoInstance::NotFound.into());
            }
            let found = lock_own(tx, &account, &instance, backup)?.ok_or(NoBackup::NotFound)?;
            match found.state {
                BackupState::Queued | BackupState::Running { .. } => {
                    return Err(NoBackup::WrongState.into());
                }
                BackupState::Success(_) | BackupState::Failed { .. } | BackupState::Removing => {}
            }
            if tx.backup_in_use(backup)? {
                return Err(NoBackup::WrongState.into());
            }
            tx.set_backup_state(backup, &BackupState::Removing)?;
            Ok(())
        };
        ctx.write(work).await?;
        ctx.nudge();
        Ok(Response {})
    }
}
