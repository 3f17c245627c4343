//! How a backup stands in its row.

use jiff::Timestamp;
use ourkv_domain::backup::{Backup, BackupState, Taken};

use crate::column::{Row, Value, columns};
use crate::error::StoreError;

/// What a row says of a backup whatever became of it.
pub(crate) fn columns_of(backup: &Backup) -> [(&'static str, Value); 17] {
    let Backup {
        id,
        job,
        instance,
        account,
        region,
        node,
        instance_type,
        node_type,
        version,
        class,
        capacity_mb,
        mode,
        last,
        retention_days,
        requested_at,
        state: _,
        verified_at,
        trial_note,
    } = backup;
    columns! {
        id: id, job: job, instance: instance, account: account, region: region, node: node,
        instance_type: instance_type, node_type: node_type, version: version, class: class,
        capacity_mb: capacity_mb, mode: mode, last: last, retention_days: retention_days,
        requested_at: requested_at, verified_at: verified_at, trial_note: trial_note,
    }
}

/// What a row says of a backup's state: each state has all columns, most of them empty.
pub(crate) fn columns_of_state(backup: &Backup) -> [(&'static str, Value); 13] {
    let (started, ended) = span(&backup.state);
    let (mut stage, mut percent, mut reason, mut taken) = (None, None, None, None);
    let word = match &backup.state {
        BackupState::Queued => "Queued",
        BackupState::Running { stage: at, percent: done, .. } => {
            (stage, percent) = (Some(*at), Some(u16::from(*done)));
            "Running"
        }
        BackupState::Success(good) => {
            taken = Some(good);
            "Success"
        }
        BackupState::Failed { reason: why, .. } => {
            reason = Some(why);
            "Failed"
        }
        BackupState::Removing => "Removing",
    };
    columns! {
        state: word, stage: stage, percent: percent, started_at: started, ended_at: ended,
        reason: reason, bytes: taken.map(|taken| taken.bytes),
        keys: taken.map(|taken| taken.keys), expiring: taken.map(|taken| taken.expiring),
        digest: taken.map(|taken| &taken.digest), expires_at: backup.expires(),
        engine: taken.map(|taken| taken.engine), listed_at: backup.listed_at(),
    }
}

fn span(state: &BackupState) -> (Option<Timestamp>, Option<Timestamp>) {
    match state {
        BackupState::Queued | BackupState::Removing => (None, None),
        BackupState::Running { started, .. } => (Some(*started), None),
        BackupState::Success(taken) => (Some(taken.started), Some(taken.ended)),
        BackupState::Failed { started, ended, .. } => (*started, Some(*ended)),
    }
}

pub(crate) fn read(mut row: Row) -> Result<Backup, StoreError> {
    Ok(Backup {
        id: row.take("id")?,
        job: row.take("job")?,
        instance: row.take("instance")?,
        account: row.take("account")?,
        region: row.take("region")?,
        node: row.take("node")?,
        instance_type: row.take("instance_type")?,
        node_type: row.take("node_type")?,
        version: row.take("version")?,
        class: row.take("class")?,
        capacity_mb: row.take("capacity_mb")?,
        mode: row.take("mode")?,
        last: row.take("last")?,
        retention_days: row.take("retention_days")?,
        requested_at: row.take("requested_at")?,
        state: read_state(&mut row)?,
        verified_at: row.take("verified_at")?,
        trial_note: row.take("trial_note")?,
    })
}

fn read_state(row: &mut Row) -> Result<BackupState, StoreError> {
    let word: String = row.take("state")?;
    Ok(match word.as_str() {
        "Queued" => BackupState::Queued,
        "Running" => BackupState::Running {
            stage: row.take("stage")?,
            percent: u8::try_from(row.take::<u16>("percent")?)
                .map_err(|_| row.inconsistent("percent"))?,
            started: row.take("started_at")?,
        },
        "Success" => BackupState::Success(read_taken(row)?),
        "Failed" => BackupState::Failed {
            started: row.take("started_at")?,
            ended: row.take("ended_at")?,
            reason: row.take("reason")?,
        },
        "Removing" => BackupState::Removing,
        _ => return Err(row.inconsistent("state")),
    })
}

fn read_taken(row: &mut Row) -> Result<Taken, StoreError> {
    Ok(Taken {
        started: row.take("started_at")?,
        ended: row.take("ended_at")?,
        bytes: row.take("bytes")?,
        keys: row.take("keys")?,
        expiring: row.take("expiring")?,
        digest: row.take("digest")?,
        expires: row.take("expires_at")?,
        engine: row.take("engine")?,
    })
}
