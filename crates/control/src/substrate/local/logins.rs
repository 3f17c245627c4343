//! The logins of a memcached: written anew before every start, as their realm is the name of the
//! machine, and for a new password.
//!
//! An engine that runs looks them up at every login, so what it finds is whole at any time: the old
//! or the new.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::Unit;
use super::confine::{Cell, Confiner, Streams, give};
use super::private;
use super::swap::ignore_missing;
use crate::engine::memcached::{
    FRESH_LOGINS, LOGIN_SETTINGS, LOGINS, UNFINISHED_LOGINS, login_settings, login_tool,
};

const TOOL: &str = "saslpasswd2";
/// It is in a directory that a service's PATH may lack.
const PLACES: &[&str] = &["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Writes who may log in into the directory of an engine. Without a password nobody may.
pub(super) fn write(unit: &Unit, confiner: &Confiner, cell: Cell<'_>) -> io::Result<()> {
    let (logins, fresh) = (cell.directory.join(LOGINS), cell.directory.join(FRESH_LOGINS));
    for left in [&fresh, &cell.directory.join(UNFINISHED_LOGINS)] {
        std::fs::remove_file(left).or_else(ignore_missing)?;
    }
    let settings = cell.directory.join(LOGIN_SETTINGS);
    let mut settings = private().write(true).create(true).truncate(true).open(settings)?;
    settings.write_all(login_settings().as_bytes())?;
    give(&settings, cell.user)?;
    let Some(password) = &unit.secrets.password else {
        return std::fs::remove_file(&logins).or_else(ignore_missing);
    };
    let launch = login_tool(unit);
    let (input, output, error) = (Stdio::piped(), Stdio::null(), Stdio::null());
    let streams = Streams { input, output, error };
    let mut child = confiner.spawn(&tool()?, &launch, Cell { port: None, ..cell }, streams)?;
    let told = child
        .stdin
        .take()
        .map_or(Ok(()), |mut input| input.write_all(format!("{}\n", password.expose()).as_bytes()));
    // Also where it did not listen.
    let ended = child.wait()?;
    told?;
    if !ended.success() {
        return Err(io::Error::other("saslpasswd2 failed"));
    }
    let written = private().read(true).open(&fresh)?;
    written.set_permissions(PermissionsExt::from_mode(0o600))?;
    std::fs::rename(fresh, logins)
}

fn tool() -> io::Result<PathBuf> {
    let found = PLACES.iter().map(|place| Path::new(place).join(TOOL)).find(|path| path.is_file());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "saslpasswd2 is not installed"))
}
