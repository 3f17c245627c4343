//! The steps of the reconciler, each with a failpoint before and after it.
//!
//! [`Step::run`] is the only way to perform one, so a step without failpoints can't be written.

use strum::VariantArray;

use crate::failpoint::steps;
use crate::substrate::{Member, Stop};

steps! {
    /// One thing that is done about an instance.
    pub enum Step;
    /// Makes the place for its data.
    Prepare = "prepare",
    /// Opens the backup that is to be restored.
    Fetch = "fetch",
    /// Puts what it holds beside the data in force.
    Stage = "stage",
    /// Loads what was staged into an engine on trial.
    ProveStaged = "prove_staged",
    /// Exchanges the data in force for those staged.
    Swap = "swap",
    /// Remembers that a login to the restored data worked.
    RecordRestored = "record_restored",
    /// Remembers that the old data stay.
    GiveUpRestore = "give_up_restore",
    /// Removes data that were staged or set aside.
    Tidy = "tidy",
    /// Starts the first engine.
    StartFirst = "start_first",
    /// Starts the second engine.
    StartSecond = "start_second",
    /// Waits until the replica follows the master.
    Link = "link",
    /// Ends an engine at once and makes sure that it is gone.
    Fence = "fence",
    /// Asks the engines of a pair what they have.
    Elect = "elect",
    /// Remembers who is the master.
    TakeOver = "take_over",
    /// Writes down beside the data who is the master.
    Declare = "declare",
    /// Has an engine take writes at the address.
    Promote = "promote",
    /// Holds back writes until the replica has all that were made.
    Halt = "halt",
    /// Has the former master follow.
    Demote = "demote",
    /// Remembers that a planned switch is not done.
    GiveUpSwitch = "give_up_switch",
    /// Remembers that a planned switch is done: a login to the new master worked.
    RecordSwitched = "record_switched",
    /// Has the engines take the tenant's wanted password beside the former ones.
    AdmitPassword = "admit_password",
    /// Remembers that the wanted password gets in.
    RecordPasswordAdmitted = "record_password_admitted",
    /// Has the engines refuse the former passwords.
    DismissPasswords = "dismiss_passwords",
    /// Remembers that no former password gets in.
    RecordPasswordReset = "record_password_reset",
    /// Writes into the journal what was seen or done.
    Journal = "journal",
    /// Logs in as the tenant would.
    Login = "login",
    /// Remembers that the login worked.
    RecordNormal = "record_normal",
    /// Remembers what is wrong with it.
    RecordTrouble = "record_trouble",
    /// Lets the first engine write its data and stops it.
    StopFirst = "stop_first",
    /// Lets the second engine write its data and stops it.
    StopSecond = "stop_second",
    /// Remembers that nothing of it runs.
    RecordInactive = "record_inactive",
    /// Stops the first engine for good.
    DiscardFirst = "discard_first",
    /// Stops the second engine for good.
    DiscardSecond = "discard_second",
    /// Writes down beside its data what the store knows of it.
    KeepManifest = "keep_manifest",
    /// Removes what is kept of it.
    Remove = "remove",
    /// Forgets it and gives back its address, its share of the zone and its meter.
    Forget = "forget",
}

impl Step {
    /// The step that starts a member.
    pub fn start(member: Member) -> Self {
        match member {
            Member::First => Self::StartFirst,
            Member::Second => Self::StartSecond,
        }
    }

    /// The step that stops a member.
    pub fn stop(member: Member, how: Stop) -> Self {
        match (member, how) {
            (Member::First, Stop::Keep) => Self::StopFirst,
            (Member::Second, Stop::Keep) => Self::StopSecond,
            (Member::First, Stop::Discard) => Self::DiscardFirst,
            (Member::Second, Stop::Discard) => Self::DiscardSecond,
        }
    }
}

/// The names of all failpoints, for a test that walks them.
pub fn failpoint_names() -> Vec<&'static str> {
    Step::VARIANTS.iter().flat_map(|step| step.failpoints()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::substrate::Trouble;

    #[test]
    fn every_step_has_two_failpoints_of_its_own() {
        let names = failpoint_names();
        let distinct: HashSet<_> = names.iter().collect();
        assert_eq!(names.len(), 2 * Step::VARIANTS.len());
        assert_eq!(distinct.len(), names.len());
        for step in Step::VARIANTS {
            assert_eq!(step.failpoints()[0], format!("{}.before", step.name()));
        }
    }

    #[tokio::test]
    async fn gives_back_what_the_work_gave() {
        let done: Result<i32, Trouble> = Step::Login.run(async { Ok(7) }).await;
        assert_eq!(done.unwrap(), 7);
        let failed: Result<(), Trouble> =
            Step::Login.run(async { Err(Trouble::Silent { doing: "x", seconds: 1 }) }).await;
        assert!(matches!(failed, Err(Trouble::Silent { .. })));
    }
}
