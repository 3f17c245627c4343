//! The section `network`: names and addresses of instances.

use ourkv_domain::network::HostAddresses;
use ourkv_domain::network::block::LoopbackBlock;
use ourkv_domain::network::domain::DEFAULT_SUFFIX;
use serde::Deserialize;
use strum::{Display, EnumString};

/// Names and addresses of instances.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// What the names of endpoints end in.
    #[serde(deserialize_with = "suffix")]
    pub domain_suffix: String,
    /// The /16 of 127.0.0.0/8 that instances are put into; without one, the node's id picks it.
    #[serde(deserialize_with = "block")]
    pub address_block: Option<LoopbackBlock>,
    /// Whether addresses of vSwitches outside 127.0.0.0/8 are added to this machine, so that they
    /// really answer. Off unless it is asked for: an address may belong to somebody else on the
    /// machine's network, and would be taken over silently. Takes `CAP_NET_ADMIN`.
    #[serde(deserialize_with = "host_addresses")]
    pub host_addresses: HostAddresses,
    /// Whether whitelists are put in force by the machine's packet filter.
    #[serde(deserialize_with = "whitelist")]
    pub whitelist: Whitelist,
}

/// Whether whitelists are put in force by the machine's packet filter, which takes `nft` and
/// `CAP_NET_ADMIN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Display, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Whitelist {
    /// Where that is possible.
    #[default]
    Auto,
    /// Yes: nothing is served where it is not possible.
    Enforce,
    /// No: they are kept and shown, and whoever reaches an address may try a password.
    Off,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            domain_suffix: DEFAULT_SUFFIX.into(),
            address_block: None,
            host_addresses: HostAddresses::default(),
            whitelist: Whitelist::default(),
        }
    }
}

/// A host name: labels of letters, digits and hyphens.
fn suffix<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?.to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if text.len() <= 180 && text.split('.').all(label) {
        Ok(text)
    } else {
        Err(serde::de::Error::custom("must be a domain name such as rds.aliyuncs.com"))
    }
}

fn block<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<LoopbackBlock>, D::Error> {
    let text = String::deserialize(deserializer)?;
    LoopbackBlock::parse(&text).map(Some).map_err(serde::de::Error::custom)
}

fn host_addresses<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<HostAddresses, D::Error> {
    let on = bool::deserialize(deserializer)?;
    Ok(if on { HostAddresses::Any } else { HostAddresses::LoopbackOnly })
}

fn whitelist<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Whitelist, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("must be `auto`, `enforce` or `off`"))
}
