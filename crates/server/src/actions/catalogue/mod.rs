//! What can be bought, and where.

mod describe_regions;
mod describe_zones;

pub use describe_regions::DescribeRegions;
pub use describe_zones::DescribeZones;

use ourkv_wire::Params;

/// The language of names (`AcceptLanguage`; the documented default is Chinese).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `zh-CN`.
    Chinese,
    /// `en-US`.
    English,
}

impl Language {
    /// Anything that is not English is answered in Chinese, like the vendor does.
    fn asked_for(params: &Params) -> Self {
        match params.get("AcceptLanguage") {
            Some(tag) if tag.to_ascii_lowercase().starts_with("en") => Self::English,
            _ => Self::Chinese,
        }
    }
}
