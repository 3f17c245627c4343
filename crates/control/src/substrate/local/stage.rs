//! Data beside the data in force: `next/` in the instance's directory, which becomes the
//! directory of the first engine.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use ourkv_domain::instance::InstanceType;

use super::ahead::Ahead;
use super::mark::{Form, Mark};
use super::member::Place;
use super::sink::{pour, write_durably, write_durably_and_feed};
use super::{Inner, Trouble, Unit, ahead, blocking, machine};
use crate::engine::Engines;
use crate::engine::redis_conf;
use crate::substrate::{Loaded, Staging};

const STAGING: &str = "staging data";
const UNFINISHED: &str = "staged.rdb.new";

impl Inner {
    /// Writes data to where the instance's first engine will find it, and marks it when it is
    /// whole and durable.
    pub(super) async fn stage(&self, unit: &Unit, staging: Staging) -> Result<(), Trouble> {
        if unit.instance_type == InstanceType::Memcache {
            let answer = "a cache takes no data".into();
            return Err(Trouble::Unexpected { doing: STAGING, answer });
        }
        let Staging { serial, engine, bytes } = staging;
        let binary = self.choose_for_data(unit, engine)?.clone();
        let form = Form::fit(redis_conf::keeps_data(unit), binary.level());
        let alone = self.next(unit).lock_owned().await;
        let next = self.layout.next(unit);
        let (place, engines) = (self.next_place(unit), self.engines.clone());
        let file =
            blocking(move || make_room(&place, form, &engines).map_err(machine(STAGING))).await?;
        let mark = Mark { serial, engine, form, pending: true, over: false };
        let ahead = self.start_ahead(unit, &binary).await;
        let feeder = ahead.as_ref().map(Ahead::feeder);
        let alone = pour(bytes, move |chunks| {
            match feeder {
                Some(feeder) => write_durably_and_feed(&file, chunks, feeder),
                None => write_durably(&file, chunks, drop),
            }
            .map_err(machine(STAGING))?;
            Ok(alone)
        })
        .await?;
        blocking(move || {
            let _alone = alone;
            finish(&next, &mark).map_err(machine(STAGING))
        })
        .await?;
        if let Some(ahead) = ahead {
            ahead.keep();
        }
        Ok(())
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

/// An empty directory, and the file in it that the data goes to at first.
fn make_room(place: &Place, form: Form, engines: &Engines) -> io::Result<File> {
    let next = &place.directory;
    ahead::end_any(place, engines)?;
    remove(next)?;
    let parent = form.file(next).parent().map_or_else(|| next.clone(), Path::to_path_buf);
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(next.join(UNFINISHED))
}

/// Removes a directory, if there is one.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn finish(next: &Path, mark: &Mark) -> io::Result<()> {
    let file = mark.form.file(next);
    std::fs::rename(next.join(UNFINISHED), &file)?;
    sync_parent(&file)?;
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
