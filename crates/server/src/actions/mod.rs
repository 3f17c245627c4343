//! The API, one file per action, and the one list of them.
//!
//! An action parses its parameters into domain types, decides and writes in one store
//! transaction, nudges the reconciler and answers. It knows no HTTP and can touch no machine:
//! [`Ctx`] holds nothing to do so with. [`ACTIONS`] drives routing, `ourkv call`, `ourkv actions`
//! and the coverage test; adding an action is a file and a line there.

pub mod account;
pub mod backup;
pub mod catalogue;
mod ctx;
mod failure;
pub mod instance;
mod parameter;
pub mod security;
mod time;

use async_trait::async_trait;
use ourkv_wire::{Fault, Params};
use serde::Serialize;
use serde_json::Value;

pub use ctx::{Caller, Ctx, Nudge, Platform};
pub use failure::Failure;
pub use parameter::Parameter;

pub(crate) use failure::refusals;

/// Every action that ourkv knows, by name.
pub static ACTIONS: &[&dyn Action] = &[
    &account::ResetAccountPassword,
    &backup::CreateBackup,
    &backup::DeleteBackup,
    &backup::DescribeBackupPolicy,
    &backup::DescribeBackupTasks,
    &backup::DescribeBackups,
    &backup::ModifyBackupPolicy,
    &backup::RestoreInstance,
    &instance::CreateInstance,
    &instance::DeleteInstance,
    &instance::DescribeInstanceAttribute,
    &instance::DescribeInstances,
    &instance::ModifyInstanceAttribute,
    &instance::SwitchInstanceHA,
    &catalogue::DescribeRegions,
    &catalogue::DescribeZones,
    &security::DescribeSecurityIps,
    &security::ModifySecurityIps,
];

/// The action of a name, as the API spells it.
pub fn find(name: &str) -> Option<&'static dyn Action> {
    ACTIONS.iter().copied().find(|action| action.descriptor().name == name)
}

/// What is said of an action: to the router, the documentation and the tests.
#[derive(Debug)]
pub struct Descriptor {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Whether it changes anything.
    pub effect: Effect,
    /// The parameters that it reads.
    pub parameters: &'static [Parameter],
    /// Every error of its own that it can answer.
    pub faults: &'static [&'static [Fault]],
}

/// Whether an action changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It only reads.
    Read,
    /// It changes intent; its audit line is part of its transaction.
    Write,
}

/// One action as its author writes it.
#[async_trait]
pub trait Endpoint: Send + Sync + 'static {
    /// What is said of it.
    const DESCRIPTOR: Descriptor;
    /// Its parameters, parsed.
    type Request: Send;
    /// Its answer, without the `RequestId`.
    type Response: Serialize + Send;

    /// Parses the parameters: all that can be told from the text alone.
    fn parse(params: &Params) -> Result<Self::Request, Fault>;

    /// Does it.
    async fn run(ctx: &Ctx, request: Self::Request) -> Result<Self::Response, Failure>;
}

/// One action as the gateway calls it.
#[async_trait]
pub trait Action: Send + Sync + 'static {
    /// What is said of it.
    fn descriptor(&self) -> &'static Descriptor;

    /// Parses, runs and serialises.
    async fn call(&self, ctx: &Ctx, params: &Params) -> Result<Value, Failure>;
}

#[async_trait]
impl<E: Endpoint> Action for E {
    fn descriptor(&self) -> &'static Descriptor {
        const { &E::DESCRIPTOR }
    }

    async fn call(&self, ctx: &Ctx, params: &Params) -> Result<Value, Failure> {
        let response = E::run(ctx, E::parse(params)?).await?;
        serde_json::to_value(response).map_err(Failure::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_within_each_folder_and_names_nothing_twice() {
        let mut names: Vec<_> = ACTIONS.iter().map(|action| action.descriptor().name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_parameter_is_described() {
        for action in ACTIONS {
            let descriptor = action.descriptor();
            assert!(descriptor.summary.ends_with('.'), "{}", descriptor.name);
            for parameter in descriptor.parameters {
                assert!(parameter.meaning.ends_with('.'), "{} {}", descriptor.name, parameter.name);
            }
        }
    }
}
