//! The steps that put whitelists in force, each with a failpoint before and after it.

use strum::VariantArray;

use crate::failpoint::steps;

steps! {
    /// One thing that is done about the packet filter.
    pub enum Step;
    /// Gives the kernel the rules, in place of those that it has.
    Apply = "guard_apply",
}

/// The names of all failpoints, for a test that walks them.
pub fn failpoint_names() -> Vec<&'static str> {
    Step::VARIANTS.iter().flat_map(|step| step.failpoints()).collect()
}
