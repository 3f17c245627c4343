//! Manifests: what the store knows of one instance, signed, to be kept beside its data.
//!
//! A manifest is made of rows as they are, secrets sealed as they are, so a store that is lost can
//! be made again of manifests and the key alone. It is believed only with a signature of that key:
//! a text that is cut off, changed or another's is refused as a whole.
//! Which rows those are is told in `part.rs`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ourkv_domain::ids::{InstanceId, NodeId};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use crate::column::{Row, ToValue, Value, values};
use crate::error::StoreError;
use crate::part::PARTS;
use crate::schema;
use crate::seal::Sealer;
use crate::tx::Tx;

/// How manifests are written; another way gets another number.
const FORMAT: i64 = 1;

/// What never changes about an instance while its generation stays the same.
const FROZEN: &[&str] = &[
    "account",
    "node",
    "nonce",
    "created_at",
    "region",
    "zone",
    "class",
    "instance_type",
    "node_type",
    "version",
    "capacity_mb",
    "bandwidth_mbps",
    "connections",
    "qps",
    "network",
    "vpc",
    "vswitch",
    "private_ip",
    "serving_ip",
    "port",
    "domain",
];

/// A manifest, as it is written.
#[derive(Debug, Clone)]
pub struct Manifest {
    id: InstanceId,
    node: NodeId,
    nonce: String,
    written_at: Timestamp,
    rows: BTreeMap<String, Vec<Map<String, Json>>>,
    text: Vec<u8>,
}

/// Names what a manifest says, but for what changes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gist([u8; 32]);

/// Why a text is no manifest that can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is cut off, or nothing of the kind.
    #[error("it is torn: not a whole manifest")]
    Torn,
    /// It was changed, or written under another key.
    #[error("it is forged or of another place: not signed with this key file")]
    Forged,
    /// A later program wrote it.
    #[error("a later version of ourkv wrote it")]
    Later,
}

/// How the store stands to a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// Nothing speaks against its row.
    Agrees,
    /// It does not know the instance.
    Unknown,
    /// Its row is older than the manifest.
    Older,
    /// Its row says something else in these columns, which never change.
    Altered(Vec<&'static str>),
}

impl Manifest {
    /// Reads a manifest and checks its signature.
    pub(crate) fn open(text: &[u8], sealer: &Sealer) -> Result<Self, ManifestError> {
        let mut whole: Json = serde_json::from_slice(text).map_err(|_| ManifestError::Torn)?;
        let mac = whole["mac"].as_str().and_then(|mac| STANDARD.decode(mac).ok());
        let mac = mac.ok_or(ManifestError::Torn)?;
        let body = whole["manifest"].take();
        // What was signed is the text that this program makes of the same values.
        let signed = serde_json::to_vec(&body).map_err(|_| ManifestError::Torn)?;
        if !sealer.signed(&signed, &mac) {
            return Err(ManifestError::Forged);
        }
        let number = |name: &str| body[name].as_i64().unwrap_or(i64::MAX);
        if number("format") > FORMAT || number("schema") > schema::version() {
            return Err(ManifestError::Later);
        }
        Self::read(&body, text.to_vec()).ok_or(ManifestError::Torn)
    }

    /// The text that is to be written.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whose it is.
    pub fn instance(&self) -> &InstanceId {
        &self.id
    }

    /// The machine that has the instance.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The nonce of the instance.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// When it was made.
    pub fn written_at(&self) -> Timestamp {
        self.written_at
    }

    /// What tells it from another one that is worth writing.
    pub fn gist(&self) -> Gist {
        gist(&self.rows)
    }

    /// Whether it knows of changes that the other one does not.
    pub fn is_later_than(&self, other: &Self) -> bool {
        is_later(self.row(), other.row())
    }

    pub(crate) fn rows(&self, table: &str) -> &[Map<String, Json>] {
        self.rows.get(table).map_or(&[], Vec::as_slice)
    }

    fn row(&self) -> Option<&Map<String, Json>> {
        self.rows("instances").first()
    }

    fn made(
        rows: &BTreeMap<String, Vec<Map<String, Json>>>,
        sealer: &Sealer,
        now: Timestamp,
    ) -> Option<Self> {
        let body = json!({
            "format": FORMAT,
            "schema": schema::version(),
            "written_at": now.as_millisecond(),
            "rows": rows,
        });
        let signed = serde_json::to_vec(&body).ok()?;
        let mac = STANDARD.encode(sealer.sign(&signed));
        let text = format!("{}\n", json!({ "manifest": body, "mac": mac }));
        Self::read(&body, text.into_bytes())
    }

    fn read(body: &Json, text: Vec<u8>) -> Option<Self> {
        let mut rows = BTreeMap::new();
        for (table, list) in body["rows"].as_object()? {
            let list = list.as_array()?.iter().map(|row| row.as_object().cloned());
            rows.insert(table.clone(), list.collect::<Option<Vec<_>>>()?);
        }
        let row = rows.get("instances")?.first()?;
        let text_of = |name: &str| row.get(name).and_then(Json::as_str);
        Some(Self {
            id: InstanceId::parse(text_of("id")?).ok()?,
            node: NodeId::parse(text_of("node")?).ok()?,
            nonce: text_of("nonce")?.to_owned(),
            written_at: Timestamp::from_millisecond(body["written_at"].as_i64()?).ok()?,
            rows,
            text,
        })
    }
}

impl Tx<'_> {
    /// The manifest of an instance; `None` where there is none of that id.
    pub fn manifest(
        &mut self,
        id: &InstanceId,
        now: Timestamp,
    ) -> Result<Option<Manifest>, StoreError> {
        self.manifest_unless(id, None, now)
    }

    /// The same; `None` also where it would tell what is known already, which costs neither
    /// writing nor signing it.
    pub fn manifest_unless(
        &mut self,
        id: &InstanceId,
        known: Option<Gist>,
        now: Timestamp,
    ) -> Result<Option<Manifest>, StoreError> {
        let mut rows = BTreeMap::new();
        for part in PARTS {
            let sql = format!("SELECT * FROM {} WHERE {}", part.table, part.rows);
            let found = self.select(part.table, &sql, &values![id])?;
            rows.insert(part.table.to_owned(), found.into_iter().map(written).collect());
        }
        if known.is_some_and(|known| known == gist(&rows)) {
            return Ok(None);
        }
        Ok(Manifest::made(&rows, self.sealer(), now))
    }

    /// How the store stands to a manifest.
    pub fn compare(&mut self, manifest: &Manifest) -> Result<Agreement, StoreError> {
        let sql = "SELECT * FROM instances WHERE id = $1";
        let Some(row) = self.select_one("instances", sql, &values![manifest.id])? else {
            return Ok(Agreement::Unknown);
        };
        let (ours, theirs) = (written(row), manifest.row());
        if is_later(theirs, Some(&ours)) {
            return Ok(Agreement::Older);
        }
        let says = |row: Option<&Map<String, Json>>, name: &str| {
            row.and_then(|row| row.get(name).cloned())
        };
        if says(theirs, "generation") != says(Some(&ours), "generation") {
            return Ok(Agreement::Agrees);
        }
        let differs = |name: &&&str| says(theirs, name) != says(Some(&ours), name);
        let altered: Vec<_> = FROZEN.iter().filter(differs).copied().collect();
        Ok(if altered.is_empty() { Agreement::Agrees } else { Agreement::Altered(altered) })
    }
}

/// What tells these rows from others that are worth writing.
fn gist(rows: &BTreeMap<String, Vec<Map<String, Json>>>) -> Gist {
    let mut digest = Sha256::new();
    for part in PARTS {
        for row in rows.get(part.table).into_iter().flatten() {
            digest.update(part.table);
            for (name, value) in row.iter().filter(|(name, _)| !part.is_changing(name)) {
                // Of the phase it counts only whether the instance ever answered.
                let value =
                    if name == "phase" { json!(value == "Creating") } else { value.clone() };
                digest.update(format!("\n{name}={value}"));
            }
        }
    }
    Gist(digest.finalize().into())
}

/// Whether one row of an instance knows of changes that the other does not: each of these numbers
/// only grows.
fn is_later(one: Option<&Map<String, Json>>, other: Option<&Map<String, Json>>) -> bool {
    let number = |row: Option<&Map<String, Json>>, name: &str| {
        row.and_then(|row| row.get(name)).and_then(Json::as_i64).unwrap_or(0)
    };
    let grows = ["generation", "epoch", "datasets"];
    grows.iter().any(|name| number(one, name) > number(other, name))
}

fn written(row: Row) -> Map<String, Json> {
    row.into_columns().into_iter().map(|(name, value)| (name, json_of(value))).collect()
}

fn json_of(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(number) => number.into(),
        Value::Text(text) => text.into(),
        Value::Blob(bytes) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// The value that [`json_of`] wrote.
pub(crate) fn value_of(json: &Json) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Null),
        Json::Number(number) => number.as_i64().map(Value::Int),
        Json::String(text) => Some(text.to_value()),
        Json::Object(object) => {
            let text = object.get("base64")?.as_str()?;
            STANDARD.decode(text).ok().map(Value::Blob)
        }
        Json::Bool(_) | Json::Array(_) => None,
    }
}
