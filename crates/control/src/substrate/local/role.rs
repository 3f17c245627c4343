//! The decision about who is the master, written down beside the data: `role.json` in the
//! instance's directory.
//!
//! It is replaced as a whole and forced to the disk before anybody acts on it. So a store that is
//! away, or was put back to an earlier state, never brings an old master back: the later of two
//! decisions holds. A file that cannot be read is no decision, and the store's holds.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::private::replace;
use super::{Inner, Member, Trouble, Unit, machine};
use crate::substrate::Lead;

const ROLE: &str = "role.json";
const DECLARING: &str = "writing the master down";

/// The file's text.
#[derive(Debug, Serialize, Deserialize)]
struct Role {
    /// The nonce of the instance.
    nonce: String,
    epoch: i64,
    master: String,
}

impl Inner {
    /// The last decision that was written down; that of every new instance where there is none.
    pub(super) fn declared(&self, unit: &Unit) -> Result<Lead, Trouble> {
        let lead = read(&self.layout.instance(unit), &unit.nonce);
        lead.map_err(machine("reading who is the master"))
    }

    /// The unit with the decision in force.
    pub(super) fn in_force(&self, unit: &Unit) -> Result<Unit, Trouble> {
        let mut unit = unit.clone();
        if unit.is_pair() {
            unit.lead = unit.lead.or_later(self.declared(&unit)?);
        }
        Ok(unit)
    }

    /// Writes the unit's lead down, unless that or a later one stands there.
    pub(super) fn declare(&self, unit: &Unit) -> Result<(), Trouble> {
        let (lead, before) = (unit.lead, self.declared(unit)?);
        if lead == before {
            return Ok(());
        }
        if lead.epoch <= before.epoch {
            let answer = format!(
                "decision {} for the {} engine comes after decision {} for the {} one",
                lead.epoch, lead.master, before.epoch, before.master
            );
            return Err(Trouble::Unexpected { doing: DECLARING, answer });
        }
        write(&self.layout.instance(unit), &unit.nonce, lead).map_err(machine(DECLARING))
    }
}

fn read(directory: &Path, nonce: &str) -> io::Result<Lead> {
    let text = match std::fs::read(directory.join(ROLE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lead::default()),
        Err(error) => return Err(error),
    };
    let role = serde_json::from_slice::<Role>(&text).ok().filter(|role| role.nonce == nonce);
    let lead = role.and_then(|role| {
        let master: Member = role.master.parse().ok()?;
        Some(Lead { master, epoch: role.epoch })
    });
    if lead.is_none() {
        tracing::warn!(file = ROLE, "a decision about the master cannot be read");
    }
    Ok(lead.unwrap_or_default())
}

fn write(directory: &Path, nonce: &str, lead: Lead) -> io::Result<()> {
    let role = Role { nonce: nonce.to_owned(), epoch: lead.epoch, master: lead.master.to_string() };
    replace(directory, ROLE, &serde_json::to_vec(&role)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_torn_or_anothers_is_no_decision() {
        let directory = tempfile::tempdir().unwrap();
        let read = |nonce: &str| read(directory.path(), nonce).unwrap();
        assert_eq!(read("n0nce"), Lead::default());
        let lead = Lead { master: Member::Second, epoch: 7 };
        write(directory.path(), "n0nce", lead).unwrap();
        assert_eq!(read("n0nce"), lead);
        assert_eq!(read("other"), Lead::default());
        let path = directory.path().join(ROLE);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read("n0nce"), Lead::default(), "cut at {length}");
        }
    }

    #[test]
    fn a_disk_that_does_not_answer_is_no_missing_decision() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(ROLE)).unwrap();
        read(directory.path(), "n0nce").unwrap_err();
    }
}
