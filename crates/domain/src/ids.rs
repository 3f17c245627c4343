//! Identifiers as types: mixing two kinds does not compile.
//!
//! Visible ids keep the vendor's forms (`r-…`, `vpc-…`, `vsw-…`). A value of one of these types
//! is well formed; whether the thing exists is the store's to say.

use serde::{Deserialize, Serialize};

/// The text is not a well-formed identifier of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {kind}")]
pub struct Malformed {
    /// The kind of identifier that was expected, as its type is named.
    pub kind: &'static str,
}

/// 1 to 64 letters, digits and `-_.(),`, the first a letter or digit: what every id here consists
/// of (the brackets and commas stand in multi-zone ids).
fn is_id_text(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.(),".contains(&b))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a well-formed text.
            pub fn parse(text: impl Into<String>) -> Result<Self, Malformed> {
                let text = text.into();
                if is_id_text(&text) { Ok(Self(text)) } else { Err(Malformed { kind: stringify!($name) }) }
            }

            /// The id as it stands on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Malformed;
            fn try_from(text: String) -> Result<Self, Malformed> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )+};
}

ids! {
    /// Names one half of an AccessKey pair; sent in the clear with each request.
    AccessKeyId,
    /// Owner of instances, networks and money: 16 decimal digits.
    AccountId,
    /// A discount that an operator issued to an account.
    CouponNo,
    /// `r-…` for Redis, `m-…` for Memcache; also the default login name of the instance.
    InstanceId,
    /// One machine that runs engines under one data directory.
    NodeId,
    /// A purchase, a renewal or an opening of an hourly meter; decimal.
    OrderId,
    /// A geographic region, e.g. `cn-hongkong`.
    RegionId,
    /// A virtual private cloud, `vpc-…`.
    VpcId,
    /// A subnet of a VPC in one zone, `vsw-…`.
    VSwitchId,
    /// A zone of a region, e.g. `cn-hongkong-b` or `cn-hangzhou-MAZ6(b,f)`.
    ZoneId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_vendors_forms() {
        for text in ["r-bp1zxszhcgatnx", "vpc-bp1oxxxxxxxxxxgzv26cf", "cn-hangzhou-MAZ6(b,f)"] {
            assert_eq!(InstanceId::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_what_could_break_out_of_a_path_or_a_line() {
        for text in ["", "..", "a/b", "a b", "a\nb", "é", &"x".repeat(65)] {
            assert!(InstanceId::parse(text).is_err(), "{text:?}");
        }
    }
}
