//! Which user an engine runs as: a number that follows from its address, so nothing has to be kept
//! and no two instances of a machine share one.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Addresses and trials are numbered by 24 bits, in a row of these.
const ROW: u32 = 1 << 24;

/// Trials of one process that have different users.
const TURNS: u32 = 1 << 10;

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

/// The user of a trial of a process: one of its own, in turn.
pub(super) fn of_trial(first: u32, process: u32, number: u64) -> u32 {
    let turn = u32::try_from(number % u64::from(TURNS)).unwrap_or(0);
    first + 5 * ROW + process.wrapping_mul(TURNS).wrapping_add(turn) % ROW
}

/// Has this thread, and what it starts from now on, be that user and in no other group; there is no
/// way back. Whoever asks for this of the process that is to be made (`CommandExt::uid`) has all
/// memory of this one copied on the way, page by page as this one goes on writing, which costs a
/// machine more than all else that is done for an engine. But to signal one thread is to signal its
/// process: until it ends, who runs as that user already could end all of this program. So it is
/// for those only whom Landlock keeps from signalling.
pub(super) fn become_user(user: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

/// Ends whatever runs as one of these users, wherever it went to: nobody else is that user. One who
/// may signal only his own signals all that he may, at one instant, so nothing escapes by forking.
pub(super) fn end_all(user: u32) -> io::Result<()> {
    let mut everything = Command::new("/bin/sh");
    everything.args(["-c", "kill -KILL -1"]).env_clear().current_dir("/").process_group(0);
    everything.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It fails where there is nothing to end.
    everything.uid(user).gid(user).status().map(drop)
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
