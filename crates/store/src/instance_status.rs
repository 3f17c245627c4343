//! The `status` column, in SQL.
//!
//! It is made of intent, phase and whether a restore is pending, so that filters can ask for it.
//! Every statement that writes one of the three writes it, too, for whatever the others are at
//! that moment: with the expression made here, out of the domain's own rule.

use ourkv_domain::instance::{Intent, Phase, Status};
use strum::VariantArray;

use crate::instance::phase_word;

/// The status for an intent, a phase and whether a restore is pending, which are expressions of
/// SQL themselves: a column's name, a placeholder, a condition.
pub(crate) fn status_sql(intent: &str, phase: &str, restoring: &str) -> String {
    let phases = [
        Phase::Creating { trouble: None },
        Phase::Normal,
        Phase::Unavailable { reason: String::new() },
        Phase::Inactive,
    ];
    let of_intent = |wanted: &Intent| {
        let words = phases.iter().filter_map(|seen| {
            let word = word(*wanted, seen, restoring)?;
            Some(format!(" WHEN '{}' THEN {word}", phase_word(seen)))
        });
        let words: String = words.collect();
        // An instance that is gone for its owner has no status.
        (!words.is_empty()).then(|| format!(" WHEN '{wanted}' THEN CASE {phase}{words} END"))
    };
    let words: String = Intent::VARIANTS.iter().filter_map(of_intent).collect();
    format!("CASE {intent}{words} END")
}

fn word(intent: Intent, phase: &Phase, restoring: &str) -> Option<String> {
    let settled = Status::of(intent, phase, false)?;
    Some(match Status::of(intent, phase, true) {
        Some(recovering) if recovering != settled => {
            format!("CASE WHEN {restoring} THEN '{recovering}' ELSE '{settled}' END")
        }
        _ => format!("'{settled}'"),
    })
}
