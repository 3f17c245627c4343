//! `ourkv env`: what SDKs, the vendor's CLI and Terraform read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;
use clap::Args;

use super::{Context, output};
use crate::config::Config;
use crate::opening::{Credentials, DataDir, credentials};

/// Print the exports that SDKs, the vendor's CLI and Terraform read
///
/// Use it as: eval "$(ourkv env)". They hold the secret of the root account's key.
#[derive(Debug, Args)]
pub(super) struct Env {
    /// Region to put into the exports
    #[arg(long, default_value = "cn-hongkong", value_name = "REGION")]
    region: String,
}

impl Env {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let dir = DataDir::open(&context.config.data_dir)?;
        let key = own_key(&dir)?;
        let url = endpoint(&context.config);
        let host = url.strip_prefix("http://").unwrap_or(&url);
        let exports = [
            (credentials::ID, key.id.as_str()),
            (credentials::SECRET, key.secret.expose()),
            ("ALIBABA_CLOUD_REGION_ID", &self.region),
            ("ALICLOUD_ACCESS_KEY", key.id.as_str()),
            ("ALICLOUD_SECRET_KEY", key.secret.expose()),
            ("ALICLOUD_REGION", &self.region),
            ("KVSTORE_ENDPOINT", host),
            ("OURKV_ENDPOINT", &url),
        ];
        let lines = exports.map(|(name, value)| format!("export {name}={}", quoted(value)));
        output::print(&lines.join("\n"))
    }
}

/// The key in the credentials file of the directory.
pub(super) fn own_key(dir: &DataDir) -> anyhow::Result<Credentials> {
    let path = dir.credentials();
    let key = Credentials::read(dir).with_context(|| path.display().to_string())?;
    key.with_context(|| {
        format!("there is no {}; start `ourkv serve` once, or see `ourkv key`", path.display())
    })
}

/// Where the server answers: where it last listened, else where it is told to.
pub(super) fn endpoint(config: &Config) -> String {
    let last = DataDir::open(&config.data_dir).ok().and_then(|dir| dir.last_endpoint());
    last.unwrap_or_else(|| url_of(config.listen))
}

/// The URL of an address; one that stands for all addresses is reached on loopback.
pub(crate) fn url_of(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

/// A value as a POSIX shell takes it.
fn quoted(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_the_shell() {
        assert_eq!(quoted("LTAI5t"), "LTAI5t");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn every_address_is_reached_on_loopback() {
        assert_eq!(url_of("0.0.0.0:2015".parse().unwrap()), "http://127.0.0.1:2015");
        assert_eq!(url_of("[::]:1".parse().unwrap()), "http://[::1]:1");
        assert_eq!(url_of("127.0.0.2:1".parse().unwrap()), "http://127.0.0.2:1");
    }
}
