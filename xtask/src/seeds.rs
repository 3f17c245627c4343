//! What fuzzing begins with: the requests of official SDKs that were captured for tests, taken
//! apart for each target of `fuzz/`, the parameters of engines, and their answers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

const CAPTURES: &str = "crates/wire/tests/sdk-captures";
const PARAMETERS: &str = "crates/domain/data/parameters.json";

/// Answers of engines, in RESP and in memcached's binary protocol.
const REPLIES: [&[u8]; 8] = [
    b"+PONG\r\n",
    b"-NOAUTH Authentication required.\r\n",
    b"-ERR max number of clients reached\r\n",
    b":1000\r\n$-1\r\n",
    b"*2\r\n$9\r\nmaxmemory\r\n$10\r\n1073741824\r\n",
    b"%2\r\n+server\r\n$5\r\nredis\r\n+proto\r\n:3\r\n",
    b">2\r\n+message\r\n_\r\n,1.5\r\n#t\r\n(123\r\n=7\r\ntxt:abc\r\n~1\r\n+a\r\n|1\r\n+k\r\n+v\r\n",
    b"# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\nloading:0\r\nmaster_link_status:up\r\n",
];
const BINARY_REPLIES: [&[u8]; 4] = [
    b"\x81\x0b\0\0\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\0\x001.6.18",
    b"\x81\x21\0\0\0\0\0\0\0\0\0\x0d\0\0\0\0\0\0\0\0\0\0\0\0Authenticated",
    b"\x81\x0a\0\0\0\0\0\x20\0\0\0\x0d\0\0\0\0\0\0\0\0\0\0\0\0Auth failure.",
    b"ERROR Too many open connections\r\n",
];

/// Short texts that callers send beside those in the captures.
const TEXTS: [&str; 8] = [
    "18:00Z-19:00Z",
    "Monday,Wednesday,Sunday",
    "730",
    "redis 7.0.15",
    "-12.345678",
    "127.200.0.0/16",
    "100000001",
    "1000000000000001",
];

/// One request of an SDK, as its file describes it.
#[derive(Deserialize)]
struct Capture {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Capture {
    /// As the target `request` reads it.
    fn request(&self) -> Vec<u8> {
        let mut lines = vec![format!("{} {}", self.method, self.path)];
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        format!("{}\n\n{}", lines.join("\n"), self.body).into_bytes()
    }

    /// Names and values of the query and of a form.
    fn parameters(&self) -> Vec<(String, String)> {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        let pairs = form_urlencoded::parse(query.as_bytes());
        let body = form_urlencoded::parse(self.body.as_bytes());
        pairs.chain(body).map(|(name, value)| (name.into(), value.into())).collect()
    }
}

/// A parameter that a `Config` may set.
#[derive(Deserialize)]
struct Parameter {
    name: String,
    default: serde_json::Value,
}

/// Writes one directory of seeds for each target into `into`, and says how many there are.
pub(crate) fn write(root: &Path, into: &Path) -> Result<usize> {
    let mut seeds = BTreeSet::new();
    for path in captures(&root.join(CAPTURES))? {
        let text = fs::read_to_string(&path)?;
        let capture: Capture =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        seeds.insert(("request", capture.request()));
        let parameters = capture.parameters();
        let lines: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        seeds.insert(("signature", lines.join("\n").into_bytes()));
        for (name, value) in parameters {
            let target = if name == "Config" { "config" } else { "texts" };
            seeds.insert((target, value.into_bytes()));
        }
    }
    let parameters: Vec<Parameter> =
        serde_json::from_str(&fs::read_to_string(root.join(PARAMETERS))?)?;
    for Parameter { name, default } in parameters {
        let config = serde_json::json!({ name: default });
        seeds.insert(("config", config.to_string().into_bytes()));
    }
    seeds.extend(TEXTS.map(|text| ("texts", text.into())));
    seeds.extend(REPLIES.map(|reply| ("reply", reply.into())));
    seeds.extend(BINARY_REPLIES.map(|reply| ("memcached", reply.into())));
    seeds.insert(("link", b"Expires=60&Signature=00ff&via=proxy".into()));
    for (number, (target, seed)) in seeds.iter().enumerate() {
        let directory = into.join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("{number:04}")), seed)?;
    }
    Ok(seeds.len())
}

fn captures(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    if paths.is_empty() {
        bail!("no captures in {}", directory.display());
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let into = tempfile::tempdir().unwrap();
        assert!(write(root, into.path()).unwrap() > 100);
        let targets = fs::read_dir(root.join("fuzz/fuzz_targets")).unwrap();
        for target in targets.map(|target| target.unwrap().path()) {
            let seeds = into.path().join(target.file_stem().unwrap());
            assert!(seeds.is_dir(), "{}", seeds.display());
        }
    }
}
