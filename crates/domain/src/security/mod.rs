//! Who may reach an instance: its whitelist.
//!
//! A whitelist consists of named groups of IPv4 addresses and blocks; whoever stands in any of them
//! is let in. The group `default` is always there and begins as `127.0.0.1`: nobody from outside,
//! and on the machine itself whoever does not bind another address.
//!
//! The vendor says that `127.0.0.1` is ignored beside other entries. Here it means that address and
//! nothing else, in whatever company, because clients on the machine really have it.

mod entry;
mod group;
mod list;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use strum::{EnumString, IntoStaticStr};

pub use entry::{Entry, NoEntry};
pub use group::{GroupAttribute, GroupName, NoGroup};
pub use list::{AddressList, MOST_ENTRIES, NoList};

/// The entries that all groups of an instance may have together: what one owner sets must not make
/// the rules of a machine slow for the others.
pub const MOST_IN_ALL: usize = 10_000;

/// What ModifySecurityIps does with the entries that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, EnumString, IntoStaticStr)]
pub enum Mode {
    /// They take the place of those of the group.
    #[default]
    Cover,
    /// They are added; what is there already stays as it is.
    Append,
    /// They are taken away; what is not there need not be. A group that has none left goes, and
    /// the default one begins anew.
    Delete,
}

/// What is to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of which group; one that is not there is made.
    pub group: GroupName,
    /// What the group is marked with from then on; `None` leaves that as it is.
    pub attribute: Option<GroupAttribute>,
    /// What is done with the entries.
    pub mode: Mode,
    /// The entries.
    pub list: AddressList,
}

/// The group would have more than [`MOST_ENTRIES`] entries, or all of them more than
/// [`MOST_IN_ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the whitelist would have too many entries")]
pub struct TooMany;

/// A group of a whitelist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it is marked with.
    pub attribute: GroupAttribute,
    /// Who is let in.
    pub list: AddressList,
}

/// All groups of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whitelist(BTreeMap<GroupName, Group>);

impl Default for Whitelist {
    fn default() -> Self {
        Self::of([])
    }
}

impl Group {
    fn beginning() -> Self {
        let entries = "127.0.0.1".parse().into_iter().collect();
        let list = AddressList::of(entries).expect("a literal address is an entry");
        Self { attribute: GroupAttribute::default(), list }
    }
}

impl Whitelist {
    /// The whitelist of these groups, and of the default one as it begins if that is not among
    /// them.
    pub fn of(groups: impl IntoIterator<Item = (GroupName, Group)>) -> Self {
        let mut all: BTreeMap<_, _> = groups.into_iter().collect();
        all.entry(GroupName::default()).or_insert_with(Group::beginning);
        Self(all)
    }

    /// Its groups, the default one first: clients that look for no other take the first one.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupName, &Group)> {
        let of = |default| self.0.iter().filter(move |(name, _)| name.is_default() == default);
        of(true).chain(of(false))
    }

    /// Changes a group.
    pub fn change(&mut self, change: Change) -> Result<(), TooMany> {
        let Change { group: name, attribute, mode, list } = change;
        let before = self.0.get(&name);
        let entries = before.map(|group| group.list.entries()).unwrap_or_default();
        let entries = merged(entries, list.entries(), mode);
        let others: usize = self.0.values().map(|group| group.list.entries().len()).sum();
        let others = others - before.map_or(0, |group| group.list.entries().len());
        if entries.len() > MOST_ENTRIES || others + entries.len() > MOST_IN_ALL {
            return Err(TooMany);
        }
        let attribute =
            attribute.or_else(|| before.map(|group| group.attribute.clone())).unwrap_or_default();
        match AddressList::of(entries) {
            Some(list) => self.0.insert(name, Group { attribute, list }),
            None if name.is_default() => self.0.insert(name, Group::beginning()),
            None => self.0.remove(&name),
        };
        Ok(())
    }

    /// Whether a client with this address is let in.
    pub fn allows(&self, client: Ipv4Addr) -> bool {
        let mut entries = self.0.values().flat_map(|group| group.list.entries());
        entries.any(|entry| entry.net().contains(&client))
    }

    /// Everyone who is let in, as blocks of which none overlap, in order.
    pub fn nets(&self) -> Vec<Ipv4Net> {
        let entries = self.0.values().flat_map(|group| group.list.entries());
        Ipv4Net::aggregate(&entries.map(|entry| entry.net()).collect())
    }
}

fn merged(before: &[Entry], given: &[Entry], mode: Mode) -> Vec<Entry> {
    let nets = |entries: &[Entry]| {
        entries.iter().map(|entry| entry.net()).collect::<std::collections::HashSet<_>>()
    };
    match mode {
        Mode::Cover => given.to_vec(),
        Mode::Append => {
            let known = nets(before);
            let new = given.iter().filter(|entry| !known.contains(&entry.net()));
            before.iter().chain(new).copied().collect()
        }
        Mode::Delete => {
            let gone = nets(given);
            before.iter().filter(|entry| !gone.contains(&entry.net())).copied().collect()
        }
    }
}
