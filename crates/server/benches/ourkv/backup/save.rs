//! (g) From the call of an SDK until the backup is listed as Success; the floor is BGSAVE of the same
//! data until the engine says that it is done.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::{Cast, ROUNDS};
use crate::bare::Bare;
use crate::ground::until;
use crate::pong;
use crate::sample::Sample;
use crate::server::Created;
use crate::table::{Row, Table, Target};

/// Between two looks at whether it is done: nothing beside the seconds that it takes.
const LOOK: Duration = Duration::from_millis(5);

/// A backup that was listed.
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) url: String,
}

/// Takes the figures, and returns the last backup of the single instance.
pub(super) fn measure(cast: &Cast<'_>, table: &mut Table) -> anyhow::Result<Listed> {
    // What filling left to be done, such as the rewriting of an append-only file, is waited for by
    // a first round, which does not count.
    let mut kept = round(cast)?.0;
    let (mut bare, mut alone, mut pair) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        remove(cast, &cast.alone, &kept)?;
        bare.push(save(&cast.bare)?);
        let taken = round(cast)?;
        kept = taken.0;
        alone.push(taken.1);
        pair.push(taken.2);
    }
    let floor = Sample::of_ms(&bare);
    let ours = |name, times: &[Duration]| {
        Row::new(name, "ms", Sample::of_ms(times)).over(&floor).target(Target::RatioAtMost(1.2))
    };
    table.add(Row::new("(g) bare BGSAVE", "ms", floor.clone()));
    table.add(ours("(g) CreateBackup to Success, standalone", &alone));
    table.add(ours("(g) CreateBackup to Success, pair", &pair));
    Ok(kept)
}

/// One backup of each instance. Only that of the single one is kept.
fn round(cast: &Cast<'_>) -> anyhow::Result<(Listed, Duration, Duration)> {
    let (alone, took_alone) = back_up(cast, &cast.alone)?;
    let (pair, took_pair) = back_up(cast, &cast.pair)?;
    remove(cast, &cast.pair, &pair)?;
    Ok((alone, took_alone, took_pair))
}

/// BGSAVE, as the engine does it alone.
pub(super) fn save(bare: &Bare) -> anyhow::Result<Duration> {
    let mut server = pong::connect(bare.address(), None)?;
    // The end is noticed at this rate, which is also what ourkv sets while it takes a backup.
    let () = redis::cmd("CONFIG").arg(&["SET", "hz", "100"]).query(&mut server)?;
    let began = Instant::now();
    let () = redis::cmd("BGSAVE").query(&mut server)?;
    let info = until("BGSAVE is done", LOOK, || {
        let info: String = redis::cmd("INFO").arg("persistence").query(&mut server)?;
        Ok(info.contains("rdb_bgsave_in_progress:0").then_some(info))
    })?;
    let took = began.elapsed();
    ensure!(info.contains("rdb_last_bgsave_status:ok"), "BGSAVE failed: {info}");
    Ok(took)
}

/// A backup, as a client of the API sees it.
pub(super) fn back_up(cast: &Cast<'_>, of: &Created) -> anyhow::Result<(Listed, Duration)> {
    let mut client = cast.client()?;
    let began = Instant::now();
    let answer = client.call("CreateBackup", &[("InstanceId", &of.id)])?;
    let job = answer["BackupJobID"].as_str().context("no BackupJobID")?;
    let listed = until("a backup is listed", LOOK, || {
        let wanted = [
            ("InstanceId", &*of.id),
            ("BackupJobId", job),
            ("StartTime", "2000-01-01T00:00Z"),
            ("EndTime", "2100-01-01T00:00Z"),
        ];
        let found = client.call("DescribeBackups", &wanted)?;
        let backup = &found["Backups"]["Backup"][0];
        match backup["BackupStatus"].as_str() {
            None => Ok(None),
            Some("Success") => Ok(Some(Listed {
                id: backup["BackupId"].to_string(),
                url: backup["BackupDownloadURL"].as_str().context("no URL")?.to_owned(),
            })),
            Some(other) => bail!("the backup is {other}: {}", cast.server.log()),
        }
    })?;
    Ok((listed, began.elapsed()))
}

/// Deletes a backup: the disk need not hold all of them.
pub(super) fn remove(cast: &Cast<'_>, of: &Created, backup: &Listed) -> anyhow::Result<()> {
    let which = [("InstanceId", &*of.id), ("BackupId", &*backup.id)];
    cast.client()?.call("DeleteBackup", &which)?;
    Ok(())
}
