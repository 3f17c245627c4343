//! The `status` column, in SQL.
//!
//! It is made of intent, phase and what is pending, so that filters can ask for it. Every statement
//! that writes one of these writes it, too, for whatever the others are at that moment: with the
//! expression made here, out of the domain's own rule.

use std::fmt::Write as _;

use ourkv_domain::instance::{Intent, Pending, Phase, Status};
use strum::VariantArray;

use crate::instance::phase_word;

/// Whether a restore is pending.
pub(crate) const RESTORING: &str = "restore_serial IS NOT NULL";
/// Whether an exchange of roles is pending.
pub(crate) const SWITCHING: &str = "switch_to IS NOT NULL";

/// The status for an intent, a phase, whether a restore is pending and whether an exchange of roles
/// is, which are expressions of SQL themselves: a column's name, a placeholder, a condition.
pub(crate) fn status_sql(intent: &str, phase: &str, restoring: &str, switching: &str) -> String {
    let phases = [
        Phase::Creating { trouble: None },
        Phase::Normal,
        Phase::Unavailable { reason: String::new() },
        Phase::Inactive,
    ];
    let of_intent = |wanted: &Intent| {
        let words = phases.iter().filter_map(|seen| {
            let word = word(*wanted, seen, restoring, switching)?;
            Some(format!(" WHEN '{}' THEN {word}", phase_word(seen)))
        });
        let words: String = words.collect();
        // An instance that is gone for its owner has no status.
        (!words.is_empty()).then(|| format!(" WHEN '{wanted}' THEN CASE {phase}{words} END"))
    };
    let words: String = Intent::VARIANTS.iter().filter_map(of_intent).collect();
    format!("CASE {intent}{words} END")
}

fn word(intent: Intent, phase: &Phase, restoring: &str, switching: &str) -> Option<String> {
    let of = |pending| Status::of(intent, phase, pending);
    let settled = of(Pending::Nothing)?;
    // A restore is shown before a switch, as in the domain.
    let others = [(restoring, of(Pending::Restore)?), (switching, of(Pending::Switch)?)];
    let mut cases = String::new();
    for (condition, status) in others.iter().filter(|(_, status)| *status != settled) {
        // Writing into a string never fails.
        let _ = write!(cases, " WHEN {condition} THEN '{status}'");
    }
    Some(if cases.is_empty() {
        format!("'{settled}'")
    } else {
        format!("CASE{cases} ELSE '{settled}' END")
    })
}
