//! DescribeBackupTasks: how far backups of an instance are.
//!
//! Lists what waits or is under way, or the one job that was asked for, whatever became of it. A
//! finished job may have failed: DescribeBackups says so. `BackupJobs` is a bare list, unlike
//! those of other actions.

use async_trait::async_trait;
use ourkv_domain::backup::{Backup, BackupJobId, BackupMode, BackupStage, BackupState};
use ourkv_domain::ids::InstanceId;
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::{Wanted, may_ask};
use crate::actions::instance::{NoInstance, instance_id};
use crate::actions::parameter::word;
use crate::actions::{Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, time};

/// The action.
pub struct DescribeBackupTasks;

/// Its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    instance: InstanceId,
    job: Wanted<BackupJobId>,
    mode: Option<BackupMode>,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    instance_id: String,
    backup_jobs: Vec<Shown>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    #[serde(rename = "BackupJobID")]
    backup_job_id: BackupJobId,
    backup_progress_status: &'static str,
    job_mode: String,
    node_id: String,
    process: String,
    progress: String,
    start_time: String,
    task_action: &'static str,
}

#[async_trait]
impl Endpoint for DescribeBackupTasks {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "DescribeBackupTasks",
        summary: "Says how far backups of an instance are.",
        effect: Effect::Read,
        parameters: &[
            Parameter::required("InstanceId", "The instance."),
            Parameter::optional("BackupJobId", "Only this job, see CreateBackup."),
            Parameter::optional("JobMode", "Only Automated or Manual."),
        ],
        faults: &[NoInstance::FAULTS],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        Ok(Request {
            instance: instance_id(params)?,
            job: Wanted::parse(params, "BackupJobId")?,
            mode: word(params, "JobMode")?,
        })
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        let account = ctx.caller.account.clone();
        let Request { instance, job, mode } = request;
        let instance_id = instance.to_string();
        let work = move |tx: &mut ourkv_store::Tx<'_>| {
            if !may_ask(tx, &account, &instance)? {
                return Err(NoInstance::NotFound.into());
            }
            Ok(match job {
                Wanted::One(job) => tx.backup_of_job(&instance, job)?.into_iter().collect(),
                Wanted::Nothing => Vec::new(),
                Wanted::Anything => {
                    let mut all = tx.all_backups(Some(&instance))?;
                    all.retain(|backup| !backup.state.is_finished());
                    all
                }
            })
        };
        let backups: Vec<Backup> = ctx.look_up(work).await?;
        let asked = |backup: &&Backup| {
            backup.state != BackupState::Removing && mode.is_none_or(|mode| backup.mode == mode)
        };
        let backup_jobs = backups.iter().filter(asked).map(Shown::of).collect();
        Ok(Response { instance_id, backup_jobs })
    }
}

impl Shown {
    fn of(backup: &Backup) -> Self {
        let (status, percent) = match &backup.state {
            BackupState::Queued => ("NoStart", 0),
            BackupState::Running { stage: BackupStage::Saving, percent, .. } => {
                ("Preparing", *percent)
            }
            BackupState::Running { stage: BackupStage::Storing, percent: 100, .. } => {
                ("Checking", 100)
            }
            BackupState::Running { stage: BackupStage::Storing, percent, .. } => {
                ("Uploading", *percent)
            }
            BackupState::Success(_) | BackupState::Failed { .. } | BackupState::Removing => {
                ("Finished", 100)
            }
        };
        Self {
            backup_job_id: backup.job,
            backup_progress_status: status,
            job_mode: backup.mode.to_string(),
            node_id: backup.instance.to_string(),
            process: percent.to_string(),
            progress: format!("{percent}%"),
            start_time: time::seconds(backup.listed_at()),
            task_action: match backup.mode {
                BackupMode::Automated => "NormalBackupTask",
                BackupMode::Manual => "TempBackupTask",
            },
        }
    }
}
