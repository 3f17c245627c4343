//! The data directory: is it closed to others, does its key fit, does its store open.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use ourkv_control::substrate::local::try_writing;
use ourkv_store::{Filter, Tx};

use super::Finding;
use crate::cli::Context;
use crate::opening::{Credentials, DataDir, Opened, Room};

/// What to do about a disk that takes nothing.
const MEND: &str = "mend the disk or the file system: see Operations, When a disk fails";

pub(super) async fn check(context: &Context) -> Vec<Finding> {
    let path = &context.config.data_dir;
    let dir = match DataDir::open(path) {
        Ok(dir) if dir.is_furnished() => dir,
        _ => {
            if let Err(error) = std::fs::read_dir(path)
                && error.kind() != ErrorKind::NotFound
            {
                let found = format!("{}: {error}", path.display());
                return vec![Finding::problem("disk", found, MEND)];
            }
            let found = format!("{} was not used yet", path.display());
            return vec![Finding::ok("data directory", found)];
        }
    };
    vec![permissions(&dir), room(&dir), disk(&dir), store(context).await, credentials(&dir)]
}

fn permissions(dir: &DataDir) -> Finding {
    const CHECK: &str = "data directory";
    let path = dir.path().display();
    match dir.path().metadata().map(|metadata| metadata.permissions().mode() & 0o777) {
        Ok(0o700) => Finding::ok(CHECK, format!("{path} is closed to others")),
        Ok(mode) => {
            let found = format!("{path} has mode {mode:o}");
            Finding::problem(CHECK, found, format!("chmod 700 {path}"))
        }
        Err(error) => {
            Finding::problem(CHECK, format!("{path}: {error}"), "run as the owner of the directory")
        }
    }
}

/// What is full stops everything.
fn room(dir: &DataDir) -> Finding {
    const CHECK: &str = "room";
    match Room::of(dir.path()) {
        Ok(room) if room.is_little() => {
            Finding::warning(CHECK, room.to_string(), "make room: a full disk stops writes")
        }
        Ok(room) => Finding::ok(CHECK, room.to_string()),
        Err(error) => Finding::warning(CHECK, error.to_string(), "see the text of the error"),
    }
}

/// Whether everything takes what is written to it. Directories of instances may be on disks of
/// their own.
fn disk(dir: &DataDir) -> Finding {
    const CHECK: &str = "disk";
    let engines = dir.path().join("engines");
    let listed = std::fs::read_dir(&engines).map(|entries| {
        entries.filter_map(Result::ok).map(|entry| entry.path()).collect::<Vec<_>>()
    });
    let places = [vec![dir.path().to_owned()], listed.unwrap_or_default()].concat();
    let failing: Vec<_> = places
        .iter()
        .filter_map(|place| {
            // What was removed meanwhile is no fault.
            let error =
                try_writing(place).err().filter(|error| error.kind() != ErrorKind::NotFound);
            Some(format!("{}: {}", place.display(), error?))
        })
        .collect();
    if failing.is_empty() {
        return Finding::ok(CHECK, "it takes what is written");
    }
    Finding::problem(CHECK, failing.join(", "), MEND)
}

/// Opening proves the key file, its mode and that it fits; reading proves the rows.
async fn store(context: &Context) -> Finding {
    const CHECK: &str = "store";
    let opened = match Opened::existing(&context.config).await {
        Ok(opened) => opened,
        Err(error) => {
            return Finding::problem(CHECK, error.to_string(), "see the text of the error");
        }
    };
    let read = |tx: &mut Tx<'_>| {
        let instances = tx.instances(&Filter::default(), None)?.len();
        tx.access_keys()?;
        anyhow::Ok((tx.accounts()?.len(), instances))
    };
    match opened.store.read(read).await {
        Ok((accounts, instances)) => {
            Finding::ok(CHECK, format!("{accounts} accounts, {instances} instances"))
        }
        Err(error) => {
            let advice = "stop the server, then `ourkv doctor --rebuild`";
            Finding::problem(CHECK, format!("{error:#}"), advice)
        }
    }
}

fn credentials(dir: &DataDir) -> Finding {
    const CHECK: &str = "credentials";
    match Credentials::read(dir) {
        Ok(Some(key)) => Finding::ok(CHECK, key.id.to_string()),
        Ok(None) => {
            let advice = "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET for \
                          `ourkv call`; `ourkv key create` makes a key";
            Finding::warning(CHECK, "there is no file `credentials`", advice)
        }
        Err(error) => Finding::warning(CHECK, error.to_string(), "see README, section Keys"),
    }
}
