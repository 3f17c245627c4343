//! Whether an engine answers: its admin login, its link, its tenant's login.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ourkv_domain::secret::Secret;
use rustix::event::Timespec;
use tokio::net::{TcpStream, UnixStream};

use super::mark::Mark;
use super::member::Running;
use super::swap::settle;
use super::{Inner, Kind, Member, Trouble, Unit, blocking, host_address};
use crate::engine::memcached::{Answer, Client};
use crate::engine::redis_admin::{Admin, AdminError, Pong, dial};
use crate::engine::redis_conf::settings;
use crate::engine::tenant::{self, Entry};

const LOGIN: &str = "logging in as the tenant";
/// How long an engine may be silent after its start. Reading its data is not silence.
const ANSWER: Duration = Duration::from_secs(30);
/// How long the first synchronisation of a replica may take.
const LINK: Duration = Duration::from_mins(1);
/// How long an answer may take of an engine that runs.
const PROMPT: Duration = Duration::from_secs(5);
/// How often an engine's socket is tried until it is there, how long in this haste, and how often
/// after that. Starts take turns for the first second, so few threads are in haste at a time.
const TRIED_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
const SPRINT: Duration = Duration::from_secs(1);
const LATER_TRIED_EVERY: Duration = Duration::from_millis(20);

impl Inner {
    /// Returns when a member's engine answers its admin login with the limits and parameters
    /// that were asked for.
    pub(super) async fn answers(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
    ) -> Result<(), Trouble> {
        tokio::select! {
            () = running.process.ended() => Err(self.ended(unit, member)),
            answered = async {
                match running.binary.kind {
                    Kind::Memcached => self.memcached_answers(unit, running).await,
                    Kind::Redis | Kind::Valkey => self.redis_answers(unit, member, running).await,
                }
            } => match answered {
                Err(_) if running.process.is_over() => Err(self.ended(unit, member)),
                answered => answered,
            },
        }
    }

    /// Returns when the replica follows the master; at once where there is none.
    pub(super) async fn link(&self, unit: &Unit) -> Result<(), Trouble> {
        let Some(replica) = unit.replica() else {
            return Ok(());
        };
        let running = self.must_run(unit, replica).await?;
        let mut admin = self.admin(unit, replica, &running).await?;
        prompt("asking the replica", admin.ping()).await?;
        let linked = async {
            let mut pause = Duration::from_millis(2);
            while !prompt("asking the replica for its link", admin.is_linked()).await? {
                tokio::time::sleep(pause).await;
                pause = (pause * 5 / 4).min(Duration::from_millis(100));
            }
            Ok(())
        };
        tokio::select! {
            () = running.process.ended() => Err(self.ended(unit, replica)),
            linked = tokio::time::timeout(LINK, linked) => {
                linked.unwrap_or(Err(silent("linking the replica", LINK)))
            }
        }
    }

    /// Logs in at the instance's address as its tenant does, once it is proven that the
    /// instance's own engine listens there: a stranger gets to see no password.
    pub(super) async fn login(&self, unit: &Unit) -> Result<(), Trouble> {
        let master = unit.lead.master;
        let running = self.must_run(unit, master).await?;
        // Without it on this machine, the address would lead to a stranger.
        host_address::hold(*unit.address.ip(), self.serves).await?;
        match self.enter(unit, &running).await? {
            // All connections that were bought are in use: it serves those.
            Entry::AsPromised | Entry::Full => return Ok(()),
            // It reads its login database at each login, and that may be damaged.
            Entry::Otherwise(_) if running.binary.kind == Kind::Memcached => {
                self.rewrite_logins(unit, master).await?;
            }
            Entry::Otherwise(answer) => {
                return Err(Trouble::Unexpected { doing: LOGIN, answer });
            }
        }
        match self.enter(unit, &running).await? {
            Entry::AsPromised | Entry::Full => Ok(()),
            Entry::Otherwise(answer) => Err(Trouble::Unexpected { doing: LOGIN, answer }),
        }
    }

    /// What a tenant finds at the address.
    async fn enter(&self, unit: &Unit, running: &Running) -> Result<Entry, Trouble> {
        let entry = async {
            let Some(stream) = running.connect(unit.address).await? else {
                return Err(nobody_listens(LOGIN));
            };
            match running.binary.kind {
                Kind::Memcached => self.enter_memcached(unit, running, stream).await,
                Kind::Redis | Kind::Valkey => {
                    let (id, secrets) = (unit.id.as_str(), &unit.secrets);
                    let entry = tenant::enter(stream, id, secrets, &running.binary).await;
                    entry.map_err(|error| unexpected(LOGIN, &error))
                }
            }
        };
        tokio::time::timeout(PROMPT, entry).await.unwrap_or_else(|_| Err(silent(LOGIN, PROMPT)))
    }

    /// Logs in with the wanted password, else with a former one that still may be good; each time
    /// over a connection of its own.
    async fn enter_memcached(
        &self,
        unit: &Unit,
        running: &Running,
        stream: TcpStream,
    ) -> Result<Entry, Trouble> {
        let user = unit.id.as_str();
        let first = enter_memcached(stream, user, unit.secrets.password.as_ref()).await;
        let first = first.map_err(super::machine(LOGIN))?;
        if matches!(first, Entry::AsPromised | Entry::Full) {
            return Ok(first);
        }
        for former in unit.secrets.accepted().skip(1) {
            let stream = running.connect(unit.address).await?;
            let stream = stream.ok_or_else(|| nobody_listens(LOGIN))?;
            let entry = enter_memcached(stream, user, Some(former)).await;
            if entry.map_err(super::machine(LOGIN))? == Entry::AsPromised {
                return Ok(Entry::AsPromised);
            }
        }
        Ok(first)
    }

    pub(super) async fn must_run(&self, unit: &Unit, member: Member) -> Result<Running, Trouble> {
        let running = self.look(unit, member).await?;
        running.ok_or_else(|| self.ended(unit, member))
    }

    async fn redis_answers(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
    ) -> Result<(), Trouble> {
        let mut admin = self.admin(unit, member, running).await?;
        let mut pause = Duration::from_millis(1);
        loop {
            let pong = tokio::time::timeout(ANSWER, admin.ping()).await;
            match pong.map_err(|_| silent("waiting for its first answer", ANSWER))? {
                Ok(Pong::Ready | Pong::Busy) => break,
                Ok(Pong::Loading) => tokio::time::sleep(pause).await,
                Err(error) => {
                    if error.is_broken() {
                        // It is about to end, which says more than the end of a connection.
                        let _ = tokio::time::timeout(PROMPT, running.process.ended()).await;
                    }
                    return Err(unexpected("logging in as administrator", &error));
                }
            }
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        if let Some(mark) = self.has_to_append(unit, member)? {
            self.turn_to_appending(unit, member, mark, &mut admin).await?;
        }
        let wanted = settings(unit, &running.binary);
        let unmet = prompt("reading its settings back", admin.first_unmet(&wanted)).await?;
        match unmet {
            None => Ok(()),
            Some((setting, answer)) => Err(Trouble::Unexpected {
                doing: "reading its settings back",
                answer: format!("{} is {answer}, not {}", setting.name, setting.value),
            }),
        }
    }

    /// Has an engine that loaded a dump append to a file from here on. Until that file is whole
    /// the dump stays what it starts from.
    async fn turn_to_appending(
        &self,
        unit: &Unit,
        member: Member,
        mark: Mark,
        admin: &mut Admin,
    ) -> Result<(), Trouble> {
        const TURNING: &str = "turning to the file that it appends to";
        prompt(TURNING, admin.append()).await?;
        loop {
            let told = prompt(TURNING, admin.info("persistence")).await?;
            if !told.is_writing() {
                if told.field("aof_last_bgrewrite_status") == Some("ok") {
                    break;
                }
                let answer = "it cannot write that file".into();
                return Err(Trouble::Unexpected { doing: TURNING, answer });
            }
            tokio::time::sleep(LATER_TRIED_EVERY).await;
        }
        let directory = self.layout.member(unit, member);
        blocking(move || settle(&directory, &mark, true).map_err(super::machine(TURNING))).await
    }

    /// An admin connection to a running engine, as soon as its socket is there.
    pub(super) async fn admin(
        &self,
        unit: &Unit,
        member: Member,
        running: &Running,
    ) -> Result<Admin, Trouble> {
        const CONNECTING: &str = "connecting as administrator";
        let directory = self.layout.member(unit, member);
        let pid = running.process.pid();
        let dialled = move || match dial(&directory, pid) {
            Ok(stream) => Ok(Some(stream)),
            Err(AdminError::Unreachable(_)) => Ok(None),
            Err(error) => Err(unexpected(CONNECTING, &error)),
        };
        let stream = persistently(running, CONNECTING, dialled).await;
        if running.process.is_over() {
            return Err(self.ended(unit, member));
        }
        let stream = UnixStream::from_std(stream?).map_err(super::machine(CONNECTING))?;
        let admin = Admin::over(stream, &unit.secrets, &running.binary).await;
        admin.map_err(|error| unexpected(CONNECTING, &error))
    }

    /// It is ready when the instance's address is its own: it opens that last. Nothing is said
    /// on a connection before.
    async fn memcached_answers(&self, unit: &Unit, running: &Running) -> Result<(), Trouble> {
        const ASKING: &str = "asking for its version";
        let (listener, address) = (running.clone(), unit.address);
        let listens = move || Ok(listener.listens_on(address).then_some(()));
        let listening = persistently(running, "waiting for it to listen", listens).await;
        if running.process.is_over() {
            return Err(self.ended(unit, Member::First));
        }
        listening?;
        let version = async {
            match running.connect(unit.address).await? {
                Some(stream) => {
                    Client::over(stream).version().await.map_err(super::machine(ASKING))
                }
                None => Err(self.ended(unit, Member::First)),
            }
        };
        match tokio::time::timeout(ANSWER, version).await {
            Ok(Ok(Answer::Ok)) => Ok(()),
            Ok(Ok(answer)) => {
                Err(Trouble::Unexpected { doing: ASKING, answer: format!("{answer:?}") })
            }
            Ok(Err(trouble)) => Err(trouble),
            Err(_) => Err(silent("waiting for its first answer", ANSWER)),
        }
    }
}

/// Asks an engine again and again until there is an answer. An engine needs milliseconds, so at
/// first a thread waits for nothing else, and wakes at once when the engine ends; one that takes
/// longer is asked now and then, and costs neither a thread nor the processor.
async fn persistently<T: Send + 'static>(
    running: &Running,
    doing: &'static str,
    ask: impl Fn() -> Result<Option<T>, Trouble> + Send + Sync + 'static,
) -> Result<T, Trouble> {
    let (ask, process) = (Arc::new(ask), Arc::clone(&running.process));
    let until = Instant::now() + ANSWER;
    let (sprint, asked) = (Instant::now() + SPRINT, Arc::clone(&ask));
    let mut answer = blocking(move || {
        loop {
            let answer = asked()?;
            if answer.is_some() || Instant::now() > sprint || process.ends_within(TRIED_EVERY) {
                return Ok(answer);
            }
        }
    })
    .await?;
    while answer.is_none() {
        if running.process.is_over() {
            return Err(Trouble::Unexpected { doing, answer: "it ended".into() });
        }
        if Instant::now() > until {
            return Err(silent(doing, ANSWER));
        }
        tokio::time::sleep(LATER_TRIED_EVERY).await;
        let asked = Arc::clone(&ask);
        answer = blocking(move || asked()).await?;
    }
    answer.ok_or_else(|| silent(doing, ANSWER))
}

/// What an engine answers to a login, or to one who does not log in.
async fn enter_memcached(
    stream: TcpStream,
    user: &str,
    password: Option<&Secret>,
) -> std::io::Result<Entry> {
    let mut client = Client::over(stream);
    let answer = match password {
        Some(password) => match client.log_in(user, password).await? {
            Answer::Ok => client.no_op().await?,
            refused => refused,
        },
        None => client.no_op().await?,
    };
    if answer == Answer::Full {
        return Ok(Entry::Full);
    }
    let promised = if password.is_some() { Answer::Ok } else { Answer::NotLoggedIn };
    Ok(if answer == promised { Entry::AsPromised } else { Entry::Otherwise(format!("{answer:?}")) })
}

fn nobody_listens(doing: &'static str) -> Trouble {
    let answer = "the engine does not listen on the instance's address".into();
    Trouble::Unexpected { doing, answer }
}

pub(super) async fn prompt<T>(
    doing: &'static str,
    question: impl Future<Output = Result<T, AdminError>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(PROMPT, question).await {
        Ok(answer) => answer.map_err(|error| unexpected(doing, &error)),
        Err(_) => Err(silent(doing, PROMPT)),
    }
}

pub(super) fn silent(doing: &'static str, time: Duration) -> Trouble {
    Trouble::Silent { doing, seconds: time.as_secs() }
}

pub(super) fn unexpected(doing: &'static str, error: &dyn std::error::Error) -> Trouble {
    Trouble::Unexpected { doing, answer: error.to_string() }
}
