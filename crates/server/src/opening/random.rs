//! Randomness of the operating system: the seed of everything that is minted.

use rand::TryRng;
use rand::rngs::SysRng;

use super::OpenError;

/// Random bytes from the operating system.
pub(super) fn system_random() -> Result<[u8; 32], OpenError> {
    let mut bytes = [0; 32];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| OpenError::NoRandomness(error.to_string()))?;
    Ok(bytes)
}
