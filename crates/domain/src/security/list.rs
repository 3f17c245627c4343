//! A list of entries, as callers write it.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use super::entry::Entry;

/// The entries that a group may have (ModifySecurityIps page, row SecurityIps).
pub const MOST_ENTRIES: usize = 1000;

/// One or more entries, none of them twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressList(Vec<Entry>);

/// Why a text is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoList {
    /// An entry is neither an address nor a block; also one that is empty.
    #[error("a list consists of IPv4 addresses and blocks, joined by commas")]
    Malformed,
    /// Two entries mean the same addresses.
    #[error("an entry stands twice in the list")]
    Twice,
    /// More than [`MOST_ENTRIES`].
    #[error("a list has {MOST_ENTRIES} entries at most")]
    TooLong,
}

impl AddressList {
    /// The list of these entries; `None` where there are none.
    pub(super) fn of(entries: Vec<Entry>) -> Option<Self> {
        (!entries.is_empty()).then_some(Self(entries))
    }

    /// Its entries, in the order in which they were written.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }
}

/// Entries joined by commas, without blanks.
impl FromStr for AddressList {
    type Err = NoList;

    fn from_str(text: &str) -> Result<Self, NoList> {
        if text.split(',').nth(MOST_ENTRIES).is_some() {
            return Err(NoList::TooLong);
        }
        let entries: Result<Vec<Entry>, _> = text.split(',').map(str::parse).collect();
        let entries = entries.map_err(|_| NoList::Malformed)?;
        let mut known = HashSet::new();
        if entries.iter().all(|entry| known.insert(entry.net())) {
            Ok(Self(entries))
        } else {
            Err(NoList::Twice)
        }
    }
}

impl fmt::Display for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        self.0.iter().try_for_each(|entry| {
            write!(f, "{separator}{entry}")?;
            separator = ",";
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, NoList> {
        text.parse::<AddressList>().map(|list| list.to_string())
    }

    #[test]
    fn keeps_order_and_spelling() {
        for text in ["127.0.0.1", "10.0.0.9,10.0.0.0/8,0.0.0.0/0,10.1.2.3/16"] {
            assert_eq!(parse(text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_what_is_no_list() {
        for text in [
            "",
            ",",
            "10.0.0.1,",
            ",10.0.0.1",
            "10.0.0.1,,10.0.0.2",
            "10.0.0.1, 10.0.0.2",
            "10.0.0.1;10.0.0.2",
            "10.0.0.1 10.0.0.2",
            "10.0.0.1，10.0.0.2",
            "10.0.0.1,::1",
        ] {
            assert_eq!(parse(text), Err(NoList::Malformed), "{text:?}");
        }
    }

    #[test]
    fn refuses_the_same_addresses_twice_and_takes_overlapping_blocks() {
        for text in ["10.0.0.1,10.0.0.1", "10.0.0.1/32,10.0.0.1", "10.0.0.5/24,10.0.0.9/24"] {
            assert_eq!(parse(text), Err(NoList::Twice), "{text:?}");
        }
        assert!(parse("10.0.0.0/8,10.0.0.0/9,10.0.0.0").is_ok());
    }

    #[test]
    fn refuses_more_entries_than_a_group_may_have() {
        let list = |count: usize| {
            let entries = (0..count).map(|n| format!("10.0.{}.{}", n / 256, n % 256));
            parse(&entries.collect::<Vec<_>>().join(","))
        };
        assert!(list(MOST_ENTRIES).is_ok());
        assert_eq!(list(MOST_ENTRIES + 1), Err(NoList::TooLong));
        assert_eq!(parse(&",".repeat(1_000_000)), Err(NoList::TooLong));
    }
}
