//! A relay in front of PostgreSQL, which loses connections the way networks and failovers do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// What PostgreSQL says once a transaction is committed.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

/// The relay. Dropping it cuts everything.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: String,
    away: AtomicBool,
    /// So many answers to COMMIT are lost, with their connections.
    losing: AtomicU32,
    lost: AtomicU32,
    connections: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// A relay to the server of a URL of the form `postgres://user@host:port/name`.
    pub(crate) fn before(url: &str) -> (Self, String) {
        let (user, rest) = url.split_once('@').unwrap();
        let (target, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            away: AtomicBool::new(false),
            losing: AtomicU32::new(0),
            lost: AtomicU32::new(0),
            connections: Mutex::default(),
        });
        let relaying = Arc::clone(&shared);
        std::thread::spawn(move || relaying.accept(&listener));
        (Self { address, shared }, format!("{user}@{address}/{name}"))
    }

    /// Cuts all connections; there are no others until [`Self::come_back`].
    pub(crate) fn go_away(&self) {
        self.shared.away.store(true, Ordering::SeqCst);
        self.shared.cut();
    }

    pub(crate) fn come_back(&self) {
        self.shared.away.store(false, Ordering::SeqCst);
    }

    /// Lets so many transactions be committed whose client is not told.
    pub(crate) fn lose_commits(&self, count: u32) {
        self.shared.losing.store(count, Ordering::SeqCst);
    }

    /// How many were.
    pub(crate) fn lost_commits(&self) -> u32 {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.go_away();
        // So that the thread sees it.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().map_while(Result::ok) {
            if self.away.load(Ordering::SeqCst) {
                if Arc::strong_count(self) == 1 {
                    return;
                }
                continue;
            }
            let Ok(server) = TcpStream::connect(&self.target) else { continue };
            let ends = [client.try_clone().unwrap(), server.try_clone().unwrap()];
            self.connections.lock().unwrap().extend(ends);
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pass_on(from, to, |_| true));
            let shared = Arc::clone(self);
            std::thread::spawn(move || pass_on(server, client, |bytes| shared.lets_pass(bytes)));
        }
    }

    fn lets_pass(&self, bytes: &[u8]) -> bool {
        if !bytes.windows(COMMITTED.len()).any(|part| part == COMMITTED) {
            return true;
        }
        let one_less = |left: u32| left.checked_sub(1);
        let lost = self.losing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        self.lost.fetch_add(u32::from(lost), Ordering::SeqCst);
        !lost
    }

    fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, lets_pass: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !lets_pass(&buffer[..read]) || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
