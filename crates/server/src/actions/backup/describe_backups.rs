//! DescribeBackups: the backups of an instance that began in a window, newest first, those that
//! failed among them; what waits or is under way is in DescribeBackupTasks.
//!
//! Also of a deleted instance, as long as it has any. Links open for a while and only where the
//! backup is within reach; both lead to the same place. `FailureReason` is ours. There is no
//! `RecoverConfigMode`: a backup holds data and nothing else.

use async_trait::async_trait;
use jiff::Timestamp;
use ourkv_domain::backup::{Backup, BackupId, BackupJobId, BackupState};
use ourkv_domain::ids::InstanceId;
use ourkv_store::{BackupFilter, Page};
use ourkv_wire::{Fault, Params};
use serde::Serialize;

use super::{Wanted, may_ask};
use crate::actions::instance::{NoInstance, instance_id};
use crate::actions::{
    Ctx, Descriptor, Effect, Endpoint, Failure, Parameter, Platform, refusals, time,
};

/// How many entries a page may have: the first three since ever, the others since later.
const PAGES: [i64; 5] = [30, 50, 100, 200, 300];

/// The action.
pub struct DescribeBackups;

/// Its parameters.
#[derive(Debug)]
pub struct Request {
    instance: InstanceId,
    filter: BackupFilter,
    nothing: bool,
    page: Page,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    backups: Backups,
    page_number: i64,
    page_size: i64,
    total_count: i64,
    /// Backups take nothing of a free allowance: there is none.
    free_size: i64,
    full_storage_size: i64,
    log_storage_size: i64,
}

#[derive(Debug, Serialize)]
struct Backups {
    #[serde(rename = "Backup")]
    backups: Vec<Entry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    backup_id: BackupId,
    #[serde(rename = "BackupJobID")]
    backup_job_id: BackupJobId,
    #[serde(rename = "BackupDBNames")]
    backup_db_names: &'static str,
    #[serde(rename = "BackupDownloadURL", skip_serializing_if = "Option::is_none")]
    backup_download_url: Option<String>,
    #[serde(rename = "BackupIntranetDownloadURL", skip_serializing_if = "Option::is_none")]
    backup_intranet_download_url: Option<String>,
    backup_start_time: String,
    backup_end_time: String,
    backup_method: &'static str,
    backup_mode: String,
    backup_type: &'static str,
    backup_status: &'static str,
    backup_size: i64,
    engine_version: String,
    node_instance_id: String,
    expect_expire_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
}

refusals! {
    /// What it refuses.
    pub enum Refusal {
        /// Not `YYYY-MM-DDThh:mmZ`.
        MalformedStart = 400 "InvalidStartTime.Malformed"
            "The Specified parameter \"StartTime\" is not valid.",
        /// Not `YYYY-MM-DDThh:mmZ`, or not after the start.
        MalformedEnd = 400 "InvalidEndTime.Malformed"
            "The Specified parameter \"EndTime\" is not valid.",
    }
}

#[async_trait]
impl Endpoint for DescribeBackups {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "DescribeBackups",
        summary: "Lists the backups of an instance.",
        effect: Effect::Read,
        parameters: &[
            Parameter::required("InstanceId", "The instance, which may be deleted."),
            Parameter::required("StartTime", "Only from then on, YYYY-MM-DDThh:mmZ."),
            Parameter::required("EndTime", "Only until then, YYYY-MM-DDThh:mmZ."),
            Parameter::optional("BackupId", "Only this one."),
            Parameter::optional("BackupJobId", "Only the one of this job."),
            Parameter::optional("NeedAof", "Nothing: there are no backups of logs."),
            Parameter::optional("PageNumber", "From 1 (default)."),
            Parameter::optional("PageSize", "30 (default), 50, 100, 200 or 300."),
        ],
        faults: &[NoInstance::FAULTS, Refusal::FAULTS],
    };
    type Request = Request;
    type Response = Response;

    fn parse(params: &Params) -> Result<Request, Fault> {
        let instance = instance_id(params)?;
        let from = time::parse_minutes(params.required("StartTime")?);
        let from = from.ok_or(Refusal::MalformedStart)?;
        let to = time::parse_minutes(params.required("EndTime")?);
        let to = to.filter(|to| *to > from).ok_or(Refusal::MalformedEnd)?;
        let id = Wanted::parse(params, "BackupId")?;
        let job = Wanted::parse(params, "BackupJobId")?;
        Ok(Request {
            instance,
            nothing: id == Wanted::Nothing || job == Wanted::Nothing,
            filter: BackupFilter { from: Some(from), to: Some(to), id: id.one(), job: job.one() },
            page: page(params)?,
        })
    }

    async fn run(ctx: &Ctx, request: Request) -> Result<Response, Failure> {
        let account = ctx.caller.account.clone();
        let Request { instance, filter, nothing, page } = request;
        let work = move |tx: &mut ourkv_store::Tx<'_>| {
            if !may_ask(tx, &account, &instance)? {
                return Err(NoInstance::NotFound.into());
            }
            let size = stored(&tx.all_backups(Some(&instance))?);
            let found =
                if nothing { (Vec::new(), 0) } else { tx.backups(&instance, &filter, page)? };
            Ok((found, size))
        };
        let ((found, total_count), full_storage_size) = ctx.read(work).await?;
        let entry = |backup: &Backup| Entry::of(backup, &ctx.platform, ctx.now);
        Ok(Response {
            backups: Backups { backups: found.iter().filter_map(entry).collect() },
            page_number: page.number,
            page_size: page.size,
            total_count,
            free_size: 0,
            full_storage_size,
            log_storage_size: 0,
        })
    }
}

fn page(params: &Params) -> Result<Page, Fault> {
    let number = params.parse_int("PageNumber")?.unwrap_or(1);
    let size = params.parse_int("PageSize")?.unwrap_or(PAGES[0]);
    if !(1..=i64::from(i32::MAX)).contains(&number) {
        return Err(Fault::malformed("PageNumber"));
    }
    if !PAGES.contains(&size) {
        return Err(Fault::malformed("PageSize"));
    }
    Ok(Page { number, size })
}

/// Bytes of all that can be restored.
fn stored(backups: &[Backup]) -> i64 {
    let sizes = backups.iter().filter_map(|backup| backup.state.taken()).map(|taken| taken.bytes);
    sizes.fold(0, i64::saturating_add)
}

impl Entry {
    /// `None` of what is not finished.
    fn of(backup: &Backup, platform: &Platform, now: Timestamp) -> Option<Self> {
        let (status, ended, bytes, reason) = match &backup.state {
            BackupState::Success(taken) => ("Success", taken.ended, taken.bytes, None),
            BackupState::Failed { ended, reason, .. } => {
                ("Failed", *ended, 0, Some(reason.clone()))
            }
            BackupState::Queued | BackupState::Running { .. } | BackupState::Removing => {
                return None;
            }
        };
        let opens = reason.is_none() && platform.reaches(backup);
        let link = opens.then(|| platform.backup_links.url(backup.id, now));
        Some(Self {
            backup_id: backup.id,
            backup_job_id: backup.job,
            backup_db_names: "all",
            backup_download_url: link.clone(),
            backup_intranet_download_url: link,
            backup_start_time: time::seconds(backup.listed_at()),
            backup_end_time: time::seconds(ended),
            backup_method: "Physical",
            backup_mode: backup.mode.to_string(),
            backup_type: "FullBackup",
            backup_status: status,
            backup_size: bytes,
            engine_version: backup.version.to_string(),
            node_instance_id: backup.instance.to_string(),
            expect_expire_time: time::seconds(backup.expires()?),
            failure_reason: reason,
        })
    }
}
