//! The section `engines`: the installed engines.

use std::path::PathBuf;

use serde::Deserialize;

/// The installed engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engines {
    /// Holds `NAME-VERSION/redis-server` beside what the PATH offers; `make engines` fills it.
    pub dir: PathBuf,
}

/// The section as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) dir: Option<PathBuf>,
}
