//! Data that the disk has later than the engine: that of an instance that never ran, so of a
//! clone. Its engine loads what was written while the disk takes it, and counts as started once
//! both are done.
//!
//! Until then the mark names the run of the machine that it is good for. A control plane that is
//! killed loses nothing, as the system has the data. A machine that ends in between may leave
//! anything, but also a mark that is none any more, so the data is put there once more.

use std::io;
use std::path::Path;

use super::manifest::Manifest;
use super::mark::{Form, Mark};
use super::{Inner, Member, Trouble, Unit, blocking, machine, private};

const FORCING: &str = "forcing restored data to the disk";

impl Inner {
    /// Whether nothing depends on what lies in the master's directory: it never ran there.
    pub(super) async fn never_ran(&self, unit: &Unit) -> bool {
        let master = unit.lead.master;
        let directory = self.layout.member(unit, master);
        matches!(self.look(unit, master).await, Ok(None))
            && matches!(self.mark(unit), Ok(None))
            && Manifest::read(&directory).is_none()
    }

    /// What the master starts from, where the disk has yet to get it.
    pub(super) fn deferred(&self, unit: &Unit, member: Member) -> Result<Option<Mark>, Trouble> {
        if member != unit.lead.master {
            return Ok(None);
        }
        Ok(self.mark_of(unit, member)?.filter(awaits_disk))
    }

    /// Waits until the disk has what the master starts from.
    pub(super) async fn force(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        let Some(mark) = self.deferred(unit, member)? else {
            return Ok(());
        };
        let directory = self.layout.member(unit, member);
        blocking(move || force(&directory, &mark).map_err(machine(FORCING))).await
    }
}

/// Whether the disk has yet to get what an engine starts from. A dump never has to be there: it
/// goes as soon as its engine serves, or has turned to a file that it appends to.
fn awaits_disk(mark: &Mark) -> bool {
    mark.run.is_some() && mark.form != Form::Dump
}

fn force(directory: &Path, mark: &Mark) -> io::Result<()> {
    let forced = match private().read(true).open(mark.form.file(directory)) {
        Ok(file) => file.sync_all(),
        // The engine has written all of it anew, and forces that to the disk itself.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    match forced {
        Ok(()) => Mark { run: None, ..mark.clone() }.write(directory),
        Err(error) => {
            // Asked again, the system might say that all is well.
            Mark::remove(directory)?;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deferred(form: Form) -> Mark {
        let engine = "redis 7.0.15".parse().unwrap();
        Mark { serial: 1, engine, form, pending: true, over: false, run: Mark::this_run() }
    }

    #[test]
    fn what_the_disk_has_is_good_for_every_run() {
        let directory = tempfile::tempdir().unwrap();
        let mark = deferred(Form::Preamble);
        assert!(awaits_disk(&mark) && !awaits_disk(&deferred(Form::Dump)));
        std::fs::write(mark.form.file(directory.path()), "data").unwrap();
        mark.write(directory.path()).unwrap();
        force(directory.path(), &mark).unwrap();
        let forced = Mark { run: None, ..mark };
        assert_eq!(Mark::read(directory.path()).unwrap(), Some(forced));
    }

    #[test]
    fn what_the_disk_does_not_take_is_not_marked() {
        let directory = tempfile::tempdir().unwrap();
        let mark = deferred(Form::Preamble);
        mark.write(directory.path()).unwrap();
        // A link to itself: opening it fails, and not because it is missing.
        let file = mark.form.file(directory.path());
        std::os::unix::fs::symlink(&file, &file).unwrap();
        force(directory.path(), &mark).unwrap_err();
        assert_eq!(Mark::read(directory.path()).unwrap(), None);
    }
}
