//! What a run comes to.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;

use super::fault::Fault;
use super::ledger::Waits;
use crate::ground::say;
use crate::sample::Sample;
use crate::table::{Row, Table};

/// Acknowledged writes that are not there, or are again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Losses {
    pub(super) plain: u64,
    pub(super) waited: u64,
    pub(super) resurrected: u64,
}

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Report {
    waits: BTreeMap<Fault, Vec<Waits>>,
    losses: BTreeMap<Fault, Losses>,
    acknowledged: (u64, u64),
    lives: u64,
    violations: Vec<String>,
}

impl Report {
    /// A fault is over: how long clients waited, and what was lost.
    pub(super) fn survived(&mut self, fault: Fault, waits: Waits, losses: Losses) {
        self.waits.entry(fault).or_default().push(waits);
        let sum = self.losses.entry(fault).or_default();
        sum.plain += losses.plain;
        sum.waited += losses.waited;
        sum.resurrected += losses.resurrected;
        // An engine puts off writing its file while the disk is busy, for two seconds at most: where
        // both end at once, what neither had written yet is lost, and counted.
        if losses.waited > 0 && fault != Fault::KillBoth {
            self.violated(format!("{fault}: {} writes with WAIT 1 were lost", losses.waited));
        }
        let harmless = fault.is_silent() || fault == Fault::Switch;
        if harmless && losses.plain + losses.resurrected > 0 {
            self.violated(format!("{fault} lost writes: {losses:?}"));
        }
    }

    /// A pair is gone; how many writes its clients were told to be done.
    pub(super) fn lived(&mut self, (plain, waited): (u64, u64)) {
        self.lives += 1;
        self.acknowledged.0 += plain;
        self.acknowledged.1 += waited;
    }

    /// Something must not have happened.
    pub(super) fn violated(&mut self, what: String) {
        say(&format!("VIOLATION: {what}"));
        self.violations.push(what);
    }

    /// One line.
    pub(super) fn progress(&self) -> String {
        let faults: usize = self.waits.values().map(Vec::len).sum();
        format!("{} pairs, {faults} faults, {} violations", self.lives, self.violations.len())
    }

    /// Prints all of it.
    pub(super) fn print(&self) -> anyhow::Result<()> {
        let mut table = Table::default();
        for (fault, waits) in &self.waits {
            let row = |what: &str, of: fn(&Waits) -> &Duration| {
                Row::new(format!("{fault}: {what}"), "ms", Sample::of_ms(waits.iter().map(of)))
            };
            table.add(row("to the next acknowledged write", |waits| &waits.first));
            table.add(row("longest time without one", |waits| &waits.longest));
        }
        table.print()?;
        for (fault, Losses { plain, waited, resurrected }) in &self.losses {
            say(&format!(
                "{fault}: lost {plain} acknowledged writes, {waited} of those with WAIT 1, and \
                 {resurrected} removals"
            ));
        }
        let (plain, waited) = self.acknowledged;
        say(&format!("{plain} writes acknowledged, {waited} with WAIT 1; {}", self.progress()));
        Ok(())
    }

    /// An error where something was violated, or nothing was tried.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        if self.waits.is_empty() {
            bail!("not a single fault was survived");
        }
        match self.violations.len() {
            0 => Ok(()),
            count => bail!("{count} violations, see above"),
        }
    }
}
