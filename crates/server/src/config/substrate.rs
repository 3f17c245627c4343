//! The key `substrate`: where engines run.

use serde::Deserialize;

/// Where engines run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Substrate {
    /// As processes of this machine.
    #[default]
    Local,
}

/// Not a place where engines can run.
#[derive(Debug, thiserror::Error)]
pub enum NoSubstrate {
    /// It is part of the design and not of this version.
    #[error("this version runs engines on the local machine only; use `local`")]
    Kubernetes,
    /// Nobody has heard of it.
    #[error("must be `local`")]
    Unknown,
}

impl TryFrom<String> for Substrate {
    type Error = NoSubstrate;

    fn try_from(text: String) -> Result<Self, NoSubstrate> {
        match text.as_str() {
            "local" => Ok(Self::Local),
            "kubernetes" => Err(NoSubstrate::Kubernetes),
            _ => Err(NoSubstrate::Unknown),
        }
    }
}
