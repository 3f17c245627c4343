//! The exchange of the data in force for what is staged.
//!
//! One rename exchanges two directories: there is no instant at which the master has neither. What is in force is told by its mark alone, so each step may be done again.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};

use super::mark::{Form, Mark};
use super::stage::{not_staged, remove, sync_parent};
use super::{Inner, Member, Seen, Trouble, Unit, blocking, log, machine};
use crate::engine::redis_conf;
use crate::engine::trial::DUMP;

const SWAPPING: &str = "putting the staged data in force";
const TIDYING: &str = "removing data that is over";

impl Inner {
    /// Exchanges directories unless that is done, and empties the replica's: it gets the data
    /// from its master.
    pub(super) async fn swap(&self, unit: &Unit, serial: i64) -> Result<(), Trouble> {
        let alone = self.next(unit).lock_owned().await;
        let placed = self.placed(unit)?.filter(|(_, mark)| mark.serial == serial);
        let in_force = placed.is_some();
        let mut turns = Vec::new();
        for &member in unit.members() {
            turns.push(self.slot(unit, member).turn.lock_owned().await);
            if self.look(unit, member).await?.is_some() {
                if in_force {
                    return Ok(());
                }
                let answer = "an engine still runs".into();
                return Err(Trouble::Unexpected { doing: SWAPPING, answer });
            }
        }
        if placed.is_some_and(|(member, _)| member != unit.lead.master) {
            // It was put there before the master changed, who has it from there.
            return Ok(());
        }
        if !in_force && self.staged(unit)?.is_none_or(|mark| mark.serial != serial) {
            return Err(not_staged(SWAPPING, serial));
        }
        let (layout, unit) = (self.layout.clone(), unit.clone());
        blocking(move || {
            let _alone = (alone, turns);
            let prepared = layout.prepare(&unit);
            prepared.map_err(machine("making the instance's directory"))?;
            if !in_force {
                let master = layout.member(&unit, unit.lead.master);
                exchange(&layout.next(&unit), &master).map_err(machine(SWAPPING))?;
            }
            if let Some(replica) = unit.replica() {
                empty(&layout.member(&unit, replica)).map_err(machine(SWAPPING))?;
            }
            Ok(())
        })
        .await
    }

    /// Removes what lies beside the data in force, and the dump of an engine that keeps no data.
    pub(super) async fn tidy(&self, unit: &Unit) -> Result<(), Trouble> {
        let alone = self.next(unit).lock_owned().await;
        let mut turns = Vec::new();
        for &member in unit.members() {
            turns.push(self.slot(unit, member).turn.lock_owned().await);
        }
        let over = self.placed(unit)?.filter(|(member, mark)| is_over(unit, *member, mark));
        let over = over.map(|(member, mark)| (self.layout.member(unit, member), mark));
        let next = self.layout.next(unit);
        let volatile = !unit.is_pair();
        blocking(move || {
            let _alone = (alone, turns);
            if let Some((directory, mark)) = over {
                // First of all: a dump whose mark says that it is over is not loaded again.
                settle(&directory, &mark, volatile).map_err(machine(TIDYING))?;
            }
            remove(&next)
                .and_then(|()| sync_parent(&next))
                .or_else(ignore_missing)
                .map_err(machine(TIDYING))
        })
        .await
    }

    /// What is to be seen of an instance's data.
    pub(super) fn see_data(&self, unit: &Unit, seen: &mut Seen) -> Result<(), Trouble> {
        let placed = self.placed(unit)?;
        seen.dataset = placed.as_ref().map_or(0, |(_, mark)| mark.serial);
        seen.staged = self.staged(unit)?.map(|mark| mark.serial);
        let beside = self.layout.next(unit).try_exists();
        seen.untidy = beside.map_err(machine("looking for staged data"))?
            || placed.is_some_and(|(member, mark)| is_over(unit, member, &mark));
        Ok(())
    }

    /// Whether a member has more to do than to answer, before it serves.
    pub(super) fn is_unsettled(&self, unit: &Unit, member: Member) -> Result<bool, Trouble> {
        Ok(self.has_to_append(unit, member)?.is_some() || self.deferred(unit, member)?.is_some())
    }

    /// Whether a member has loaded a dump and has to turn to the file that it appends to.
    pub(super) fn has_to_append(
        &self,
        unit: &Unit,
        member: Member,
    ) -> Result<Option<Mark>, Trouble> {
        Ok(self.pending(unit, member)?.filter(|mark| awaits_append(unit, mark)))
    }
}

/// Whether the data is loaded from elsewhere, once the engine that loaded it serves. That of a
/// former master is.
fn is_over(unit: &Unit, member: Member, mark: &Mark) -> bool {
    mark.over || mark.pending && (member != unit.lead.master || !awaits_append(unit, mark))
}

fn awaits_append(unit: &Unit, mark: &Mark) -> bool {
    mark.pending && mark.form == Form::Dump && redis_conf::keeps_data(unit)
}

/// The data is not what an engine starts from any more. The dump goes with it where the engine
/// keeps no data, or keeps it elsewhere.
pub(super) fn settle(directory: &Path, mark: &Mark, drop_dump: bool) -> io::Result<()> {
    let over = mark.form == Form::Dump && (drop_dump || mark.over);
    Mark { pending: false, over, ..mark.clone() }.write(directory)?;
    if over {
        std::fs::remove_file(directory.join(DUMP)).or_else(ignore_missing)?;
        Mark { pending: false, over: false, run: None, ..mark.clone() }.write(directory)?;
    }
    Ok(())
}

pub(super) fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn exchange(next: &Path, member: &Path) -> io::Result<()> {
    rustix::fs::renameat_with(CWD, next, CWD, member, RenameFlags::EXCHANGE)?;
    sync_parent(member)
}

/// Removes what is in a directory. Nothing runs in it.
fn empty(directory: &Path) -> io::Result<()> {
    if log::is_taken(directory)? {
        return Err(io::Error::other("something still runs there"));
    }
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_whose_removal_was_cut_off_is_removed_the_next_time() {
        let directory = tempfile::tempdir().unwrap();
        let engine = "redis 5.0.7".parse().unwrap();
        let cut =
            Mark { serial: 2, engine, form: Form::Dump, pending: false, over: true, run: None };
        cut.write(directory.path()).unwrap();
        std::fs::write(directory.path().join(DUMP), "old data").unwrap();
        assert!(cut.has_the_dump(), "no save may take its place");
        settle(directory.path(), &cut, false).unwrap();
        assert!(!directory.path().join(DUMP).exists());
        assert!(!Mark::read(directory.path()).unwrap().unwrap().over);
    }
}
