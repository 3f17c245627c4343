//! Which user an engine runs as: a number that follows from its address, so nothing has to be kept
//! and no two instances of a machine share one.

use std::net::Ipv4Addr;

/// Addresses and trials are numbered by 24 bits, in a row of these.
const ROW: u32 = 1 << 24;

/// How many ids are used from the first one on: a row each for addresses in 127.0.0.0/8, 10.0.0.0/8,
/// 172.0.0.0/8 and 192.0.0.0/8, one for all others, and one for trials.
pub const USERS: u32 = 6 * ROW;

/// Above what systemd gives to containers and what directories of users give by default, below what
/// the kernel's signed numbers end at.
pub const FIRST_USER: u32 = 0x7800_0000;

/// The last id to begin with: the ids stay below 2147483648, which many programs can't tell from
/// negative numbers.
pub const LAST_FIRST_USER: u32 = i32::MAX as u32 - USERS + 1;

/// The user of the engines at an address.
pub(super) fn at(first: u32, address: Ipv4Addr) -> u32 {
    let row = match address.octets()[0] {
        127 => 0,
        10 => 1,
        172 => 2,
        192 => 3,
        _ => 4,
    };
    first + row * ROW + u32::from(address) % ROW
}

/// The user of a trial of a process: one of eight in turn.
pub(super) fn of_trial(first: u32, process: u32, number: u64) -> u32 {
    let turn = u32::try_from(number % 8).unwrap_or(0);
    first + 5 * ROW + (process.wrapping_mul(8) + turn) % ROW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_addresses_of_a_machine_have_the_same_user() {
        let addresses = ["127.16.0.5", "127.16.1.5", "10.16.0.5", "172.16.0.5", "192.168.0.5"];
        let users = addresses.map(|text| at(FIRST_USER, text.parse().unwrap()));
        let different: std::collections::BTreeSet<_> = users.iter().collect();
        assert_eq!(different.len(), addresses.len());
        assert_eq!(users[0], FIRST_USER + 0x10_00_05);
    }

    #[test]
    fn all_users_are_in_the_range() {
        for first in [1, FIRST_USER, LAST_FIRST_USER] {
            let range = first..first + USERS;
            for address in [[0, 0, 0, 0], [127, 255, 255, 255], [255, 255, 255, 255]] {
                assert!(range.contains(&at(first, address.into())));
            }
            assert!(range.contains(&of_trial(first, u32::MAX, u64::MAX)));
        }
        assert_eq!(LAST_FIRST_USER + (USERS - 1), i32::MAX as u32);
    }
}
