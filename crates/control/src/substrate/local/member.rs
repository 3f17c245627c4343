//! What is known of one engine, and how an engine from an earlier life is found again.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};

use super::adopt::Holder;
use super::confine::Limits;
use super::process::Process;
use super::silence::Account;
use super::{Inner, Member, Trouble, Unit, address, adopt, blocking, log, machine};
use crate::engine::redis_admin::Accounts;
use crate::engine::{Binary, Engines};

/// How long a process is waited for that holds a directory and is nothing yet: one that is being
/// made becomes an engine or is gone within milliseconds, also where its maker has ended.
const MADE_WITHIN: Duration = Duration::from_secs(1);
const LOOKED_EVERY: Duration = Duration::from_millis(1);

/// One engine's locks.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// Whose turn it is to start or to stop it. May be held for as long as it reads its data, so
    /// nobody who only looks, and nobody who ends it at once, waits for this.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    /// What is known of it. Held for instants.
    pub(super) known: Arc<tokio::sync::Mutex<Known>>,
}

/// What is known of one engine.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The engine that was last seen to run.
    pub(super) running: Option<Running>,
}

/// An engine that is proven to be the instance's own.
#[derive(Debug, Clone)]
pub(super) struct Running {
    /// Its process.
    pub(super) process: Arc<Process>,
    /// What it executes.
    pub(super) binary: Binary,
    /// How often it left the instance's address, plus one.
    stay: Arc<AtomicU64>,
    /// The stay during which it was seen to have the address; it has it until that is over.
    proven: Arc<AtomicU64>,
    /// What it said when it was made to answer nobody for a time, and until when.
    silenced: Arc<Mutex<Option<(Instant, Accounts)>>>,
    /// Since when it answers nobody without having been told so.
    pub(super) silence: Arc<Mutex<Account>>,
}

/// Where an engine runs.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its directory.
    pub(super) directory: PathBuf,
    /// The instance's nonce.
    pub(super) nonce: String,
}

impl Running {
    pub(super) fn new(process: Process, binary: Binary) -> Self {
        Self {
            process: Arc::new(process),
            binary,
            stay: Arc::new(AtomicU64::new(1)),
            proven: Arc::default(),
            silenced: Arc::default(),
            silence: Arc::default(),
        }
    }

    /// Whether it is this process that a client at the address reaches.
    pub(super) fn listens_on(&self, address: SocketAddrV4) -> bool {
        let stay = self.stay.load(Ordering::Acquire);
        if self.proven.load(Ordering::Acquire) != stay {
            if !address::is_listened_on_by(address, self.process.pid()) {
                return false;
            }
            self.proven.store(stay, Ordering::Release);
        }
        self.stay.load(Ordering::Acquire) == stay && !self.process.is_over()
    }

    /// From here on it has to be looked at anew whether it has the address.
    pub(super) fn left_address(&self) {
        self.stay.fetch_add(1, Ordering::AcqRel);
    }

    /// It answers nobody for that time, this control plane included, and this is how it stands.
    pub(super) fn silence(&self, limit: Duration, accounts: Accounts) {
        let mut silenced = self.silenced.lock().unwrap_or_else(PoisonError::into_inner);
        *silenced = Some((Instant::now() + limit, accounts));
    }

    /// How it stands, while it answers nobody.
    pub(super) fn silenced(&self) -> Option<Accounts> {
        let silenced = self.silenced.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        silenced.as_ref().filter(|(until, _)| now < *until).map(|(_, accounts)| accounts.clone())
    }

    /// A connection to the address, which is this engine's: `None` where it does not listen there.
    /// Nothing is sent. It comes from the address itself, which the whitelist has no say about; of
    /// all who can do that on this machine only ourkv and its engines are let in. It listens until it ends, so where it has not ended after the connection
    /// was made, nobody else can have taken that.
    pub(super) async fn connect(
        &self,
        address: SocketAddrV4,
    ) -> Result<Option<TcpStream>, Trouble> {
        let listener = self.clone();
        if !blocking(move || Ok(listener.listens_on(address))).await? {
            return Ok(None);
        }
        let stream = connect_from_itself(address).await;
        if self.process.is_over() {
            return Ok(None);
        }
        stream.map(Some).map_err(machine("connecting to the engine"))
    }
}

async fn connect_from_itself(address: SocketAddrV4) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((*address.ip(), 0).into())?;
    socket.connect(address.into()).await
}

impl Inner {
    /// The engine of a member, if one runs. Waits for nobody who starts or stops it.
    pub(super) async fn look(
        &self,
        unit: &Unit,
        member: Member,
    ) -> Result<Option<Running>, Trouble> {
        let slot = self.slot(unit, member);
        let mut known = slot.known.lock().await;
        self.running(&mut known, unit, member).await
    }

    /// The engine of a member, if one runs; adopts one that outlived an earlier control plane.
    pub(super) async fn running(
        &self,
        known: &mut Known,
        unit: &Unit,
        member: Member,
    ) -> Result<Option<Running>, Trouble> {
        known.running.take_if(|running| running.process.is_over());
        if known.running.is_none() {
            let (place, engines) = (self.place(unit, member), self.engines.clone());
            let found = blocking(move || find(&place, &engines)).await?;
            if let Some(running) = found {
                tracing::info!(instance = %unit.id, %member, pid = running.process.pid(), "adopted");
                running.process.miss(true);
                self.bound(unit, &running);
                self.watch(unit, &running);
                known.running = Some(running);
            }
        }
        Ok(known.running.clone())
    }

    /// Puts bounds on an engine. One that runs without does not run worse.
    pub(super) fn bound(&self, unit: &Unit, running: &Running) {
        if !self.confiner.confines() {
            return;
        }
        let user = self.confiner.user_at(*unit.address.ip());
        let bounded = Limits::of_engine(unit).put_on(running.process.pid(), user);
        if let Err(error) = bounded
            && !running.process.is_over()
        {
            tracing::warn!(instance = %unit.id, %error, "an engine runs without all its bounds");
        }
    }
}

fn find(place: &Place, engines: &Engines) -> Result<Option<Running>, Trouble> {
    let until = Instant::now() + MADE_WITHIN;
    let found = loop {
        // The lock is free when nothing runs here, which spares the search.
        if !log::is_taken(&place.directory).map_err(machine("looking for the engine"))? {
            return Ok(None);
        }
        match adopt::holder(&place.directory, &place.nonce, engines) {
            Holder::Engine(found) => break found,
            // Who takes it for nothing ends it once it serves, to have another one lead.
            Holder::Unknown if Instant::now() < until => std::thread::sleep(LOOKED_EVERY),
            Holder::Child | Holder::Unknown => return Ok(None),
        }
    };
    if let Err(error) = found.manifest.write(&place.directory, false) {
        // It will be searched for once more next time.
        tracing::warn!(%error, "cannot write an engine's manifest");
    }
    Ok(Some(Running::new(found.process, found.binary)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;

    use super::*;
    use crate::engine::Kind;

    fn running(pid: u32) -> Running {
        let version = (7, 0, 15);
        let path = "/nowhere/redis-server".into();
        let binary = Binary { path, kind: Kind::Redis, version, from_distribution: true };
        Running::new(Process::hold(pid).unwrap(), binary)
    }

    fn listen(ip: [u8; 4]) -> (TcpListener, SocketAddrV4) {
        let listener = TcpListener::bind((std::net::Ipv4Addr::from(ip), 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        (listener, SocketAddrV4::new(ip.into(), port))
    }

    #[tokio::test]
    async fn connects_to_itself_and_to_nobody_else() {
        let (listener, address) = listen([127, 201, 0, 11]);
        let own = running(std::process::id());
        assert!(own.connect(address).await.unwrap().is_some());
        listener.accept().unwrap();
        let other = running(std::os::unix::process::parent_id());
        assert!(other.connect(address).await.unwrap().is_none());
        assert!(listener.accept().is_err(), "somebody spoke to a stranger");
    }

    #[test]
    fn an_engine_that_left_its_address_is_looked_for_anew() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        let (listener, address) = listen([127, 201, 0, 13]);
        let engine = running(std::process::id());
        assert!(engine.listens_on(address));
        drop(listener);
        assert!(engine.listens_on(address), "it is looked at once");
        engine.left_address();
        assert!(!engine.listens_on(address));
    }

    #[tokio::test]
    async fn who_takes_the_address_of_an_engine_that_ended_is_not_it() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let engine = running(child.id());
        // It was seen to have the address, and has ended since.
        engine.proven.store(1, Ordering::Release);
        child.kill().unwrap();
        child.wait().unwrap();
        let (_stranger, address) = listen([127, 201, 0, 12]);
        assert!(engine.connect(address).await.unwrap().is_none());
    }
}
