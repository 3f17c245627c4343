//! What the substrate sees of one instance.

use super::World;
use super::apply::within;
use super::report::Failure;
use crate::substrate::{Seen, Unit};

/// Looks at an instance, and at nothing else.
pub(super) async fn observe(world: &World, unit: &Unit) -> Result<Seen, Failure> {
    Ok(within(world.settings.step_limit, "looking at the engines", world.substrate.observe(unit))
        .await?)
}
