//! Which engine an instance runs on.

use ourkv_domain::backup::EngineStamp;
use ourkv_domain::instance::InstanceType;

use super::manifest::Manifest;
use super::mark::Mark;
use super::{Inner, Member, Trouble, Unit, machine};
use crate::engine::{Binary, Kind};

impl Inner {
    /// The engine for a member: its data needs the version that wrote it, or a newer one. A pair
    /// stays together, as a replica must not be older than its master.
    pub(super) fn choose(
        &self,
        unit: &Unit,
        member: Member,
        before: Option<&Manifest>,
    ) -> Result<&Binary, Trouble> {
        let others = unit.members().iter().filter(|other| **other != member);
        let others = others.filter_map(|other| Manifest::read(&self.layout.member(unit, *other)));
        let ran_on = before.cloned().into_iter().chain(others);
        let usual = match ran_on.max_by_key(|manifest| (manifest.kind, manifest.version)) {
            Some(ran_on) if unit.instance_type == InstanceType::Redis => {
                let next = self.engines.not_older_than(ran_on.kind, ran_on.version);
                next.ok_or_else(|| none(ran_on.kind, ran_on.version))?
            }
            _ => self.usual(unit)?,
        };
        match self.mark(unit)? {
            Some(mark) => self.reading(usual, mark.engine),
            None => Ok(usual),
        }
    }

    /// The engine that an instance would be started on if it had nothing but this data.
    pub(super) fn choose_for_data(
        &self,
        unit: &Unit,
        engine: EngineStamp,
    ) -> Result<&Binary, Trouble> {
        self.reading(self.usual(unit)?, engine)
    }

    /// The engine for a trial of this data: the one that wrote it, or else the next.
    pub(super) fn choose_for_trial(&self, engine: EngineStamp) -> Result<&Binary, Trouble> {
        let reading = self.engines.not_older_than(engine.kind.into(), engine.version);
        reading.ok_or_else(|| none(engine.kind.into(), engine.version))
    }

    /// Which data the instance has, and in whose directory it was put: the other engine has it
    /// from there.
    pub(super) fn placed(&self, unit: &Unit) -> Result<Option<(Member, Mark)>, Trouble> {
        let mut newest: Option<(Member, Mark)> = None;
        for &member in unit.members() {
            let Some(mark) = self.mark_of(unit, member)? else {
                continue;
            };
            if newest.as_ref().is_none_or(|(_, other)| other.serial < mark.serial) {
                newest = Some((member, mark));
            }
        }
        Ok(newest)
    }

    /// Which data the instance has.
    pub(super) fn mark(&self, unit: &Unit) -> Result<Option<Mark>, Trouble> {
        Ok(self.placed(unit)?.map(|(_, mark)| mark))
    }

    /// What was put into a member's directory.
    pub(super) fn mark_of(&self, unit: &Unit, member: Member) -> Result<Option<Mark>, Trouble> {
        let directory = self.layout.member(unit, member);
        Mark::read(&directory).map_err(machine("reading which data the instance has"))
    }

    /// What was put into the master's directory and is what it has to start from. A replica gets
    /// its data from its master, whatever lies in its directory.
    pub(super) fn pending(&self, unit: &Unit, member: Member) -> Result<Option<Mark>, Trouble> {
        if member != unit.lead.master {
            return Ok(None);
        }
        Ok(self.mark_of(unit, member)?.filter(|mark| mark.pending))
    }

    fn usual(&self, unit: &Unit) -> Result<&Binary, Trouble> {
        let serving = self.engines.serving(unit.instance_type, unit.version);
        serving.ok_or_else(|| Trouble::NoEngine {
            wanted: match unit.instance_type {
                InstanceType::Memcache => "Memcache".into(),
                InstanceType::Redis => format!("Redis {}", unit.version),
            },
        })
    }

    /// This engine if it reads what that one wrote, else the next one that does.
    fn reading<'a>(
        &'a self,
        usual: &'a Binary,
        engine: EngineStamp,
    ) -> Result<&'a Binary, Trouble> {
        if usual.reads(engine.kind.into(), engine.version) {
            Ok(usual)
        } else {
            self.choose_for_trial(engine)
        }
    }
}

fn none(kind: Kind, (major, minor, patch): crate::engine::Version) -> Trouble {
    Trouble::NoEngine { wanted: format!("{kind} {major}.{minor}.{patch}") }
}
