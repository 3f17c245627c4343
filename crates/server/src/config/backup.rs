//! The section `backup`: where backups are kept, and what is done with them.
//!
//! The key of a bucket is secret: it is part of no error and of no printed text. Where the section
//! has none, that of the `AWS_*` variables holds, which other tools read, too.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use ourkv_domain::secret::Secret;
use serde::Deserialize;
use serde::de::{Error, IgnoredAny};

use super::Environment;

/// What is done with backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where they are kept.
    pub place: BackupPlace,
    /// Whether an instance that is paid by the hour is backed up once more before it is deleted.
    pub last: bool,
    /// Whether each backup is proven by loading it.
    pub prove: bool,
    /// How long a link to a backup can be followed, seconds.
    pub link_seconds: NonZeroU64,
    /// What links to backups begin with, where that is not where the API listens.
    pub public_url: Option<String>,
    /// Backups by hand that an instance may have begun within 24 hours.
    pub per_day: u32,
    /// Backups that this node takes at once.
    pub saves: NonZeroUsize,
}

/// Where backups are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupPlace {
    /// In a folder of this machine.
    Folder(PathBuf),
    /// In a bucket that is spoken to as S3 is.
    Bucket(Bucket),
}

/// A bucket, and how to get at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Where the object store is, if not at the vendor of S3.
    pub endpoint: Option<String>,
    /// The region of the bucket.
    pub region: Option<String>,
    /// Whether the object store may be spoken to in the clear.
    pub allow_http: bool,
    /// What to sign with; without one the machine's own role is asked for.
    pub key: Option<BucketKey>,
}

/// What requests to a bucket are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketKey {
    /// Names the key.
    pub id: Secret,
    /// Signs.
    pub secret: Secret,
    /// Goes with a key that ends by itself.
    pub token: Option<Secret>,
}

/// The section as it is read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    url: Option<Url>,
    endpoint: Option<HttpUrl>,
    region: Option<String>,
    allow_http: bool,
    access_key_id: Option<Hidden>,
    secret_access_key: Option<Hidden>,
    session_token: Option<Hidden>,
    #[serde(rename = "final")]
    last: bool,
    prove: bool,
    link_seconds: NonZeroU64,
    public_url: Option<HttpUrl>,
    per_day: u32,
    saves: NonZeroUsize,
}

/// A place, before what belongs to a bucket is added to it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
enum Url {
    Folder(PathBuf),
    Bucket(String),
}

/// Deliberately without the text, which may hold a key by mistake.
#[derive(Debug, thiserror::Error)]
#[error("must be the absolute path of a folder, or s3://BUCKET/PREFIX without a key in it")]
struct NoPlace;

/// `http://HOST:PORT/PATH` or the same with https, without what follows a path.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct HttpUrl(String);

#[derive(Debug, thiserror::Error)]
#[error("must be http://HOST:PORT or https://HOST:PORT, with a path at most")]
struct NotHttp;

/// Half of what a bucket needs.
#[derive(Debug, thiserror::Error)]
#[error("needs both an access key id and a secret access key, or neither")]
pub(super) struct HalfAKey;

/// A text that no error repeats, whatever stands there.
#[derive(Debug)]
struct Hidden(Secret);

impl Default for Raw {
    fn default() -> Self {
        Self {
            url: None,
            endpoint: None,
            region: None,
            allow_http: false,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            last: true,
            prove: true,
            link_seconds: NonZeroU64::MIN.saturating_add(3599),
            public_url: None,
            per_day: 20,
            saves: NonZeroUsize::MIN.saturating_add(1),
        }
    }
}

impl Raw {
    /// Adds what depends on the data directory and on variables that are not ours.
    pub(super) fn complete(self, dir: &Path, aws: &Environment) -> Result<Backup, HalfAKey> {
        let place = match self.url {
            None => BackupPlace::Folder(dir.join("backups")),
            Some(Url::Folder(path)) => BackupPlace::Folder(path),
            Some(Url::Bucket(url)) => {
                let of = |name: &str| aws.get(name).map(str::to_owned);
                let own = [self.access_key_id, self.secret_access_key, self.session_token];
                BackupPlace::Bucket(Bucket {
                    url,
                    endpoint: self.endpoint.map(|url| url.0).or_else(|| of("AWS_ENDPOINT_URL")),
                    region: self
                        .region
                        .or_else(|| of("AWS_REGION"))
                        .or_else(|| of("AWS_DEFAULT_REGION")),
                    allow_http: self.allow_http,
                    key: key(own.map(|text| text.map(|text| text.0)), aws)?,
                })
            }
        };
        Ok(Backup {
            place,
            last: self.last,
            prove: self.prove,
            link_seconds: self.link_seconds,
            public_url: self.public_url.map(|url| url.0),
            per_day: self.per_day,
            saves: self.saves,
        })
    }
}

/// The key of the section, else that of the environment; the two are never mixed.
fn key(own: [Option<Secret>; 3], aws: &Environment) -> Result<Option<BucketKey>, HalfAKey> {
    let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    let given = if own.iter().all(Option::is_none) {
        names.map(|name| aws.get(name).map(Secret::from))
    } else {
        own
    };
    match given {
        [None, None, _] => Ok(None),
        [Some(id), Some(secret), token] => Ok(Some(BucketKey { id, secret, token })),
        _ => Err(HalfAKey),
    }
}

impl Backup {
    /// How long a link to a backup can be followed.
    pub fn link_lifetime(&self) -> SignedDuration {
        SignedDuration::from_secs(i64::try_from(self.link_seconds.get()).unwrap_or(i64::MAX))
    }
}

impl TryFrom<String> for Url {
    type Error = NoPlace;

    fn try_from(text: String) -> Result<Self, NoPlace> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            let named = (3..=63).contains(&bucket.len()) && bucket.bytes().all(plain);
            let prefix = prefix.trim_end_matches('/');
            let parts = || prefix.split('/');
            let placed = prefix.is_empty()
                || parts().all(|part| !part.is_empty() && part.bytes().all(plain))
                    && parts().all(|part| part != "." && part != "..");
            return if named && placed {
                Ok(Self::Bucket(text.trim_end_matches('/').to_owned()))
            } else {
                Err(NoPlace)
            };
        }
        let path = PathBuf::from(text.strip_prefix("file://").unwrap_or(&text));
        if path.is_absolute() { Ok(Self::Folder(path)) } else { Err(NoPlace) }
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = NotHttp;

    fn try_from(text: String) -> Result<Self, NotHttp> {
        let uri: http::Uri = text.parse().map_err(|_| NotHttp)?;
        let http = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if !http || authority.is_empty() || authority.contains('@') || uri.query().is_some() {
            return Err(NotHttp);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(String),
            Other(IgnoredAny),
        }
        match Any::deserialize(deserializer)? {
            Any::Text(text) => Ok(Self(Secret::from(text))),
            Any::Other(_) => Err(D::Error::custom("must be a text")),
        }
    }
}
