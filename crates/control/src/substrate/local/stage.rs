//! Data beside the data in force: `next/` in the instance's directory, which becomes the
//! directory of the master.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use ourkv_domain::instance::InstanceType;

use super::mark::{Form, Mark};
use super::sink::{pour, write, write_durably};
use super::{Inner, Trouble, Unit, blocking, machine};
use crate::engine::redis_conf;
use crate::substrate::{Loaded, Staging};

const STAGING: &str = "staging data";

impl Inner {
    /// Writes data to where the instance's master will find it, and marks it when it is whole and
    /// durable. For an instance that never ran the disk gets it [later](super::deferred).
    pub(super) async fn stage(&self, unit: &Unit, staging: Staging) -> Result<(), Trouble> {
        if unit.instance_type == InstanceType::Memcache {
            let answer = "a cache takes no data".into();
            return Err(Trouble::Unexpected { doing: STAGING, answer });
        }
        let Staging { serial, engine, bytes } = staging;
        let level = self.choose_for_data(unit, engine)?.level();
        let form = Form::fit(redis_conf::keeps_data(unit), level);
        let alone = self.next(unit).lock_owned().await;
        let next = self.layout.next(unit);
        let place = next.clone();
        let file = blocking(move || make_room(&place, form).map_err(machine(STAGING))).await?;
        let run = if self.never_ran(unit).await { Mark::this_run() } else { None };
        let write = if run.is_some() { write } else { write_durably };
        let mark = Mark { serial, engine, form, pending: true, over: false, run };
        let alone = pour(bytes, move |chunks| {
            write(&file, chunks).map_err(machine(STAGING))?;
            Ok(alone)
        })
        .await?;
        blocking(move || {
            let _alone = alone;
            finish(&next, &mark).map_err(machine(STAGING))
        })
        .await
    }

    /// Has a throw-away engine load what is staged.
    pub(super) async fn prove_staged(&self, unit: &Unit, serial: i64) -> Result<Loaded, Trouble> {
        let next = self.layout.next(unit);
        let mark = self.staged(unit)?.filter(|mark| mark.serial == serial);
        let Some(mark) = mark else {
            return Err(not_staged("proving data", serial));
        };
        let binary = self.choose_for_data(unit, mark.engine)?.clone();
        self.trials.load_file(binary, unit.capacity_mb, mark.form.file(&next)).await
    }

    /// The mark of what is staged; none where that is half done, or was set aside.
    pub(super) fn staged(&self, unit: &Unit) -> Result<Option<Mark>, Trouble> {
        let in_force = self.mark(unit)?.map_or(0, |mark| mark.serial);
        let staged = Mark::read(&self.layout.next(unit));
        let staged = staged.map_err(machine("reading which data is staged"))?;
        Ok(staged.filter(|mark| mark.serial > in_force))
    }
}

/// What is asked for is not there.
pub(super) fn not_staged(doing: &'static str, serial: i64) -> Trouble {
    Trouble::Unexpected { doing, answer: format!("data {serial} is not staged") }
}

/// An empty directory, and the file in it that the data goes to.
fn make_room(next: &Path, form: Form) -> io::Result<File> {
    remove(next)?;
    let file = form.file(next);
    let parent = file.parent().unwrap_or(next);
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

/// Removes a directory, if there is one.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn finish(next: &Path, mark: &Mark) -> io::Result<()> {
    sync_parent(&mark.form.file(next))?;
    if let Some((path, text)) = mark.form.index(next) {
        let mut index = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        index.write_all(text.as_bytes())?;
        index.sync_all()?;
        sync_parent(&path)?;
    }
    mark.write(next)?;
    sync_parent(next)
}

/// Forces the name of a file to the disk.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
