//! Who listens on an address.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::substrate::Trouble;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Refuses an address that somebody listens on. Nothing is listened on meanwhile: no client sees
/// this test.
pub(super) fn must_be_free(address: SocketAddrV4) -> Result<(), Trouble> {
    match bind(address) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::ADDRINUSE) => {
            Err(Trouble::AddressInUse { address, holder: holder(address) })
        }
        Err(error) => {
            Err(Trouble::Machine { doing: "taking the instance's address", source: error.into() })
        }
    }
}

/// Whether this process has the socket that listens on exactly this address.
pub(super) fn is_listened_on_by(address: SocketAddrV4, pid: u32) -> bool {
    let listener = find("/proc/net/tcp", |listener| listener.at == Some(address));
    let inode = listener.ok().flatten().map(|listener| listener.inode);
    let process = i32::try_from(pid).ok().and_then(|pid| procfs::process::Process::new(pid).ok());
    match (inode, process) {
        (Some(inode), Some(process)) => has_socket(&process, inode),
        _ => false,
    }
}

/// Whether anyone listens on exactly this address, at any port.
pub(super) fn is_listened_on(ip: Ipv4Addr) -> io::Result<bool> {
    let is_there = |listener: &Listener| listener.at.is_some_and(|at| *at.ip() == ip);
    Ok(find("/proc/net/tcp", is_there)?.is_some())
}

fn bind(address: SocketAddrV4) -> rustix::io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        flags,
        Some(ipproto::TCP),
    )?;
    // As engines do, so that connections of an earlier engine do not stand in the way.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)
}

/// The process that listens on an address or on all addresses with its port, as `name, process
/// 123`; `None` where it belongs to another user and cannot be told.
fn holder(address: SocketAddrV4) -> Option<String> {
    let stands_in_the_way = |listener: &Listener| match listener.at {
        Some(at) => {
            at.port() == address.port() && [*address.ip(), Ipv4Addr::UNSPECIFIED].contains(at.ip())
        }
        None => listener.port == address.port(),
    };
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .find_map(|table| find(table, stands_in_the_way).ok().flatten())?
        .inode;
    let mut processes = procfs::process::all_processes().ok()?.filter_map(Result::ok);
    let process = processes.find(|process| has_socket(process, inode))?;
    let name = process.stat().ok()?.comm;
    let name: String = name.chars().filter(char::is_ascii_graphic).collect();
    Some(format!("{name}, process {}", process.pid()))
}

fn has_socket(process: &procfs::process::Process, inode: u64) -> bool {
    let socket = procfs::process::FDTarget::Socket(inode);
    process.fd().is_ok_and(|fds| fds.filter_map(Result::ok).any(|fd| fd.target == socket))
}

/// A socket that listens.
#[derive(Debug, PartialEq, Eq)]
struct Listener {
    /// Its address, where that is an IPv4 one.
    at: Option<SocketAddrV4>,
    port: u16,
    inode: u64,
}

/// The first listening socket of a table that is wanted. All of them stand before all others, which
/// may be very many.
fn find(table: &str, wanted: impl Fn(&Listener) -> bool) -> io::Result<Option<Listener>> {
    let (mut table, mut line) = (BufReader::new(File::open(table)?), String::new());
    table.read_line(&mut line)?;
    loop {
        line.clear();
        table.read_line(&mut line)?;
        match listener(&line) {
            Some(listener) if !wanted(&listener) => {}
            found => return Ok(found),
        }
    }
}

/// Reads a line such as
/// `0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 …`;
/// `None` when the socket does not listen. Addresses are words in the machine's byte order.
fn listener(line: &str) -> Option<Listener> {
    let mut words = line.split_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    if words.nth(1)? != LISTEN {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    let ip = u32::from_str_radix(address, 16).ok().map(|word| Ipv4Addr::from(word.to_ne_bytes()));
    let inode = words.nth(5)?.parse().ok()?;
    Some(Listener { at: ip.map(|ip| SocketAddrV4::new(ip, port)), port, inode })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn listen(ip: [u8; 4]) -> (TcpListener, SocketAddrV4) {
        let listener = TcpListener::bind((Ipv4Addr::from(ip), 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, SocketAddrV4::new(Ipv4Addr::from(ip), port))
    }

    #[test]
    fn tells_whose_the_listening_socket_is() {
        let (_listener, address) = listen([127, 201, 0, 1]);
        assert!(is_listened_on_by(address, std::process::id()));
        assert!(!is_listened_on_by(address, 1));
    }

    #[test]
    fn names_who_holds_an_address() {
        let (_listener, address) = listen([127, 201, 0, 2]);
        let Err(Trouble::AddressInUse { holder: Some(holder), .. }) = must_be_free(address) else {
            panic!("a held address counts as free");
        };
        assert!(holder.ends_with(&format!("process {}", std::process::id())), "{holder}");
    }

    #[test]
    fn a_listener_on_all_addresses_stands_in_the_way_of_each() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = SocketAddrV4::new(Ipv4Addr::new(127, 201, 0, 3), port);
        assert!(matches!(
            must_be_free(address),
            Err(Trouble::AddressInUse { holder: Some(_), .. })
        ));
        assert!(!is_listened_on_by(address, std::process::id()));
    }

    #[test]
    fn an_address_is_free_again_at_once() {
        let (listener, address) = listen([127, 201, 0, 4]);
        drop(listener);
        must_be_free(address).unwrap();
    }

    #[test]
    fn reads_nothing_from_a_socket_that_does_not_listen() {
        let line = "0: 0100007F:18EB 0100007F:9C40 01 0:0 0:0 0 0 0 12345 1";
        assert_eq!(listener(line), None);
        assert_eq!(listener(""), None);
    }
}
