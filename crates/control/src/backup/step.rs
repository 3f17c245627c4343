//! The steps of a backup's life, each with a failpoint before and after it.

use strum::VariantArray;

use crate::failpoint::steps;

steps! {
    /// One thing that is done about a backup.
    pub enum Step;
    /// Remembers that it is being taken.
    Begin = "backup_begin",
    /// Has the engine save.
    Save = "backup_save",
    /// Seals what the engine saves and puts it on the shelf.
    Store = "backup_store",
    /// Remembers that it succeeded.
    Succeed = "backup_succeed",
    /// Removes what an unfinished one left behind.
    Clear = "backup_clear",
    /// Remembers that it failed.
    Fail = "backup_fail",
    /// Loads it into an engine of its own.
    Prove = "backup_prove",
    /// Remembers what the trial load showed.
    RecordProof = "backup_record_proof",
    /// Removes it from the shelf.
    Remove = "backup_remove",
    /// Forgets it.
    Forget = "backup_forget",
}

/// The names of all failpoints, for a test that walks them.
pub fn failpoint_names() -> Vec<&'static str> {
    Step::VARIANTS.iter().flat_map(|step| step.failpoints()).collect()
}
