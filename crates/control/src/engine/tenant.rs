//! Logging in to a Redis engine as its tenant does.

use ourkv_domain::instance::Secrets;
use ourkv_domain::secret::Secret;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, RedisConnectionInfo, RedisError};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::{Binary, full};

/// What a login attempt showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Every documented form of login got its PONG; or, without a password, nobody gets in.
    AsPromised,
    /// Its connections are all in use, so it takes no further one.
    Full,
    /// Something else; the engine's own words, without secrets.
    Otherwise(String),
}

/// Tries every form of login that the engine allows, on a connection whose other end is proven to
/// be the engine: `AUTH password`, and from 6.0 on
/// `AUTH instance-id password` and `AUTH instance-id:password`. Without a password an engine that
/// answers a PING to a stranger is not as promised.
pub async fn enter(
    mut stream: TcpStream,
    user: &str,
    secrets: &Secrets,
    binary: &Binary,
) -> Result<Entry, RedisError> {
    match full::is_full(&mut stream).await {
        Ok(true) => return Ok(Entry::Full),
        Ok(false) => {}
        Err(error) => return Err(error.into()),
    }
    // The caller bounds the time.
    let patient = AsyncConnectionConfig::new().set_response_timeout(None);
    let nothing_to_send = RedisConnectionInfo::default().set_skip_set_lib_name();
    let (mut connection, driver) =
        MultiplexedConnection::new_with_config(&nothing_to_send, stream, patient).await?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(driver));
    if secrets.password.is_none() {
        let answer = redis::cmd("PING").query_async::<String>(&mut connection).await;
        return Ok(match answer {
            Err(error) if error.code() == Some("NOAUTH") => Entry::AsPromised,
            Err(error) => return Err(error),
            Ok(_) => Entry::Otherwise("it lets strangers in".into()),
        });
    }
    let mut refusal = None;
    // Until the wanted one is proven to get in, a former one that does is what was promised.
    for password in secrets.accepted() {
        let mut logins = Pipeline::new();
        for form in forms(user, password, binary) {
            logins.cmd("AUTH").arg(form).ignore().cmd("PING");
        }
        match logins.query_async::<Vec<String>>(&mut connection).await {
            Ok(pongs) => {
                return Ok(match pongs.into_iter().find(|pong| pong != "PONG") {
                    None => Entry::AsPromised,
                    Some(other) => Entry::Otherwise(other),
                });
            }
            Err(error) if error.is_io_error() => return Err(error),
            Err(error) => {
                refusal.get_or_insert(error);
            }
        }
    }
    refusal.map_or_else(|| Ok(Entry::Otherwise("nobody gets in".into())), Err)
}

/// The forms in which a password is given to this engine, word by word.
pub fn forms(user: &str, password: &Secret, binary: &Binary) -> Vec<Vec<String>> {
    let password = password.expose();
    let mut forms = vec![vec![password.to_owned()]];
    if binary.has_acl() {
        forms.push(vec![user.to_owned(), password.to_owned()]);
        forms.push(vec![format!("{user}:{password}")]);
    }
    forms
}
