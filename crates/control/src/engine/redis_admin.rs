//! ourkv's own connection to a Redis engine, over the socket in the member's directory.
//!
//! Guarantees: the process behind the socket is the expected one before anything is sent to it,
//! so no secret reaches a stranger; every call is bounded in time by its caller.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use ourkv_domain::instance::Secrets;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisConnectionInfo, RedisError,
    ServerErrorKind,
};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio_util::task::AbortOnDropHandle;

use super::info::{Info, Keyspace};
use super::redis_conf::{ADMIN_SOCKET, Setting};
use super::rename::{self, Names};
use super::{Binary, acl};

mod passwords;
mod roles;

pub use roles::{Accounts, Post};

/// Why there is no answer on an admin connection.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens yet, or no longer.
    #[error(transparent)]
    Unreachable(#[from] std::io::Error),
    /// Someone else listens. Nothing was sent.
    #[error("the admin socket belongs to another process")]
    Foreign,
    /// The engine answered with an error, or the connection broke.
    #[error(transparent)]
    Refused(#[from] RedisError),
}

impl AdminError {
    /// Whether the other end went away.
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_io_error() || error.is_connection_dropped(),
            Self::Unreachable(_) | Self::Foreign => false,
        }
    }
}

/// What an engine that runs answers to a PING.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pong {
    /// It serves.
    Ready,
    /// It reads its data and will serve.
    Loading,
    /// It runs a long script and will go on.
    Busy,
}

/// Connects to the socket in a member's directory and proves who is behind it. Does not wait.
///
/// The path goes through an open directory, as the path of a socket may not be longer than 108
/// bytes and a data directory may.
pub fn dial(directory: &Path, pid: u32) -> Result<UnixStream, AdminError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory =
        rustix::fs::open(directory, flags, Mode::empty()).map_err(std::io::Error::from)?;
    let path = format!("/proc/self/fd/{}/{ADMIN_SOCKET}", directory.as_raw_fd());
    let stream = connect(&path)?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).map_err(std::io::Error::from)?;
    if u32::try_from(peer.pid.as_raw_nonzero().get()) != Ok(pid) {
        return Err(AdminError::Foreign);
    }
    Ok(stream)
}

/// Connects at once or not at all: an engine that hangs accepts nobody, and when its queue is full
/// a connect that waits would wait for as long as it hangs.
fn connect(path: &str) -> std::io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// An admin connection. It has no debug form, as it holds secrets.
pub struct Admin {
    connection: MultiplexedConnection,
    /// The ways to log in, the likeliest last; none where nobody has to.
    logins: Vec<Cmd>,
    names: Names,
    _driver: AbortOnDropHandle<()>,
}

impl Admin {
    /// Takes a connection whose other end is proven; logs in with the first call.
    pub async fn over(
        stream: tokio::net::UnixStream,
        secrets: &Secrets,
        binary: &Binary,
    ) -> Result<Self, AdminError> {
        let login = |words: &[&str]| redis::cmd("AUTH").arg(words).to_owned();
        let logins = if binary.has_acl() {
            vec![login(&[acl::ADMIN, secrets.admin.expose()])]
        } else {
            // Which one it has is not known while its tenant's is being replaced.
            let passwords = rename::passwords(secrets);
            passwords.into_iter().rev().map(|password| login(&[password.expose()])).collect()
        };
        Self::with(stream, logins, Names::on(binary, secrets)).await
    }

    /// The same of an engine that asks nobody for a login.
    pub async fn over_open(stream: tokio::net::UnixStream) -> Result<Self, AdminError> {
        Self::with(stream, Vec::new(), Names::Plain).await
    }

    async fn with(
        stream: tokio::net::UnixStream,
        logins: Vec<Cmd>,
        names: Names,
    ) -> Result<Self, AdminError> {
        // The caller bounds the time, and a busy engine is not a dead one.
        let patient = AsyncConnectionConfig::new().set_response_timeout(None);
        let nothing_to_send = RedisConnectionInfo::default().set_skip_set_lib_name();
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&nothing_to_send, stream, patient).await?;
        Ok(Self {
            connection,
            logins,
            names,
            _driver: AbortOnDropHandle::new(tokio::spawn(driver)),
        })
    }

    /// Logs in and asks for a PONG.
    pub async fn ping(&mut self) -> Result<Pong, AdminError> {
        loop {
            let mut both = Pipeline::new();
            if let Some(login) = self.logins.last() {
                both.add_command(login.clone()).ignore();
            }
            both.cmd("PING").ignore();
            return match both.query_async::<()>(&mut self.connection).await {
                Ok(()) => Ok(Pong::Ready),
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::BusyLoading) => {
                    Ok(Pong::Loading)
                }
                Err(error) if has_code(&error, "BUSY") => Ok(Pong::Busy),
                // Its disk fails: it answers all that changes nothing, only not this.
                Err(error) if has_code(&error, "MISCONF") => Ok(Pong::Ready),
                Err(error) if self.logins.len() > 1 && is_wrong_password(&error) => {
                    self.logins.pop();
                    continue;
                }
                Err(error) => Err(error.into()),
            };
        }
    }

    /// The first setting that the engine does not confirm, with its answer.
    pub async fn first_unmet<'a>(
        &mut self,
        settings: &'a [Setting],
    ) -> Result<Option<(&'a Setting, String)>, AdminError> {
        let config = self.names.of("config");
        let mut questions = Pipeline::new();
        for setting in settings {
            questions.cmd(&config).arg("GET").arg(setting.name);
        }
        let answers: Vec<Vec<String>> = questions.query_async(&mut self.connection).await?;
        let unmet = settings.iter().zip(answers).find_map(|(setting, answer)| {
            let value = answer.into_iter().nth(1).unwrap_or_else(|| "unknown".into());
            (!setting.is_met_by(&value)).then_some((setting, value))
        });
        Ok(unmet)
    }

    /// Whether it follows a master over a live link.
    pub async fn is_linked(&mut self) -> Result<bool, AdminError> {
        Ok(self.info("replication").await?.field("master_link_status") == Some("up"))
    }

    /// A section of what it tells about itself.
    pub async fn info(&mut self, section: &str) -> Result<Info, AdminError> {
        let answer = redis::cmd("INFO").arg(section).query_async(&mut self.connection).await?;
        Ok(Info::of(answer))
    }

    /// Has it fork and save, and tells what the fork has. The two questions come with one write
    /// and nobody else gets a turn between them. (In a transaction, 7.0 only plans to save.)
    /// `None` where it is not free to save.
    pub async fn begin_save(&mut self) -> Result<Option<Keyspace>, AdminError> {
        let mut both = Pipeline::new();
        both.cmd("INFO").arg("keyspace").cmd(&self.names.of("bgsave")).ignore();
        let begun: Result<(String,), RedisError> = both.query_async(&mut self.connection).await;
        match begun {
            Ok((info,)) => Ok(Some(Info::of(info).keyspace())),
            Err(error) if is_busy(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Has it append to a file from here on; it writes what it has in the background first.
    pub async fn append(&mut self) -> Result<(), AdminError> {
        let mut order = redis::cmd(&self.names.of("config"));
        order.arg("SET").arg("appendonly").arg("yes");
        Ok(order.query_async::<()>(&mut self.connection).await?)
    }

    /// Asks it to write its data and end. The answer is the end of the connection; an engine that
    /// cannot end right away says so and goes on.
    pub async fn shut_down(&mut self) {
        self.shut_down_with("NOSAVE").await;
    }

    /// The same, with a dump of what it has.
    pub async fn shut_down_with_dump(&mut self) {
        self.shut_down_with("SAVE").await;
    }

    async fn shut_down_with(&mut self, how: &str) {
        let mut order = redis::cmd(&self.names.of("shutdown"));
        let _: Result<(), RedisError> = order.arg(how).query_async(&mut self.connection).await;
    }
}

/// Whether an engine answered with an error of this code. An error of a pipeline has none itself.
fn has_code(error: &RedisError, code: &str) -> bool {
    let answers = error.clone().into_server_errors();
    answers.is_some_and(|answers| answers.iter().any(|(_, answer)| answer.code() == code))
}

/// Whether an engine refused a password, in the words of versions before 6.0.
fn is_wrong_password(error: &RedisError) -> bool {
    let answers = error.clone().into_server_errors();
    let refused =
        |details: Option<&str>| details.is_some_and(|text| text.contains("invalid password"));
    answers.is_some_and(|answers| answers.iter().any(|(_, answer)| refused(answer.details())))
}

/// Whether an engine refuses to save because a child of it writes already: the words differ from
/// version to version.
fn is_busy(error: &RedisError) -> bool {
    let said = error.to_string();
    ["in progress", "active", "can't BGSAVE", "Can't BGSAVE"].iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_accepts_nobody_keeps_nobody_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let address = SocketAddrUnix::new(directory.path().join(ADMIN_SOCKET)).unwrap();
        let flags = SocketFlags::CLOEXEC;
        let hung = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let hung = hung.unwrap();
        rustix::net::bind(&hung, &address).unwrap();
        rustix::net::listen(&hung, 1).unwrap();
        let mut queued = Vec::new();
        let refused = loop {
            match dial(directory.path(), std::process::id()) {
                Ok(stream) => queued.push(stream),
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, AdminError::Unreachable(_)), "{refused}");
        assert!(!queued.is_empty());
    }
}
