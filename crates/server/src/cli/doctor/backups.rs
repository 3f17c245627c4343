//! Backups: can they be kept, and is there a good one of each instance.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ourkv_control::backup::Limits;
use ourkv_domain::backup::Backup;
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{InstanceType, Intent};
use ourkv_store::{Filter, Tx};
use rustix::fs::{Access, access};

use super::Finding;
use crate::cli::Context;
use crate::config::{BackupPlace, Bucket};
use crate::opening::Opened;
use crate::shelf;

/// A backup is due once in a week at the latest, and then takes its time.
const OLD: SignedDuration = SignedDuration::from_hours(8 * 24);

/// What is in the store about backups.
struct Kept {
    backups: Vec<Backup>,
    /// Those that should have backups.
    instances: Vec<(InstanceId, Timestamp)>,
}

pub(super) async fn check(context: &Context) -> Vec<Finding> {
    let mut findings = vec![match &context.config.backup.place {
        BackupPlace::Folder(path) => folder(path),
        BackupPlace::Bucket(bucket) => self::bucket(context, bucket).await,
    }];
    // Whether the store can be read is another check.
    if let Ok(opened) = Opened::existing(&context.config).await
        && let Ok(kept) = opened.store.read(read).await
    {
        findings.push(newest(&kept, opened.clock.now()));
        findings.push(bare(&kept, opened.clock.now()));
    }
    findings
}

fn folder(path: &Path) -> Finding {
    const CHECK: &str = "backup folder";
    let shown = path.display();
    let rights = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    match path.try_exists() {
        Ok(false) => Finding::ok(CHECK, format!("{shown} is made by `ourkv serve`")),
        Ok(true) if path.is_dir() && access(path, rights).is_ok() => {
            Finding::ok(CHECK, format!("{shown} can be written"))
        }
        _ => Finding::problem(
            CHECK,
            format!("{shown} is no folder that this user can write"),
            "give the folder to the user of `ourkv serve`, or set backup.url to another one",
        ),
    }
}

/// Asks for something that is not there: whoever is told so got through, and may read.
async fn bucket(context: &Context, bucket: &Bucket) -> Finding {
    const CHECK: &str = "backup bucket";
    // Whoever looks wants to know now.
    let limits = Limits { request: Duration::from_secs(10), retries: 1, ..Limits::default() };
    let answer = match shelf::open(&context.config, limits).await {
        Ok(shelf) => shelf.check().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(()) => Finding::ok(CHECK, format!("{} answers", bucket.url)),
        Err(error) => Finding::problem(
            CHECK,
            format!("{}: {error}", bucket.url),
            "see backup.* in docs/configuration.md: endpoint, region, key, and may it read, write \
             and delete there?",
        ),
    }
}

fn read(tx: &mut Tx<'_>) -> anyhow::Result<Kept> {
    let instances = tx.instances(&Filter::default(), None)?.into_iter();
    let instances = instances
        .filter(|found| found.spec.instance_type == InstanceType::Redis)
        .filter(|found| found.intent != Intent::Delete)
        .map(|found| (found.id, found.created_at));
    Ok(Kept { instances: instances.collect(), backups: tx.all_backups(None)? })
}

fn newest(kept: &Kept, now: Timestamp) -> Finding {
    const CHECK: &str = "newest proven backup";
    let proven = kept.backups.iter().filter(|backup| backup.verified_at.is_some());
    let ended = proven.filter_map(|backup| Some((backup.state.taken()?.ended, backup)));
    match ended.max_by_key(|(ended, _)| *ended) {
        Some((ended, backup)) => {
            let hours = now.duration_since(ended).as_hours();
            Finding::ok(CHECK, format!("{} of {}, {hours} h ago", backup.id, backup.instance))
        }
        None => Finding::ok(CHECK, "none yet"),
    }
}

/// Instances that should have a proven backup by now and have none that is recent.
fn bare(kept: &Kept, now: Timestamp) -> Finding {
    const CHECK: &str = "instances with a backup";
    let recent = |at: Timestamp| now.duration_since(at) < OLD;
    let covered = |id: &InstanceId| {
        let own = kept.backups.iter().filter(|backup| backup.instance == *id);
        own.filter(|backup| backup.verified_at.is_some())
            .any(|backup| backup.state.taken().is_some_and(|taken| recent(taken.ended)))
    };
    let all = kept.instances.len();
    let old = kept.instances.iter().filter(|(_, created)| !recent(*created));
    let bare: Vec<_> = old.filter(|(id, _)| !covered(id)).map(|(id, _)| id.to_string()).collect();
    if bare.is_empty() {
        return Finding::ok(CHECK, format!("none of {all} lacks a recent proven one"));
    }
    Finding::warning(
        CHECK,
        format!("{} of {all} lack a recent proven one: {}", bare.len(), bare.join(", ")),
        "`ourkv backup ls INSTANCE` and `ourkv events INSTANCE` say why",
    )
}
