//! `ourkv call`: signs a call as an SDK would and sends it.

use std::fs;
use std::io::{self, Read};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::AccessKeyId;
use ourkv_domain::secret::Secret;
use ourkv_wire::{Format, HmacAlgorithm, Outgoing, Params, SignedRequest, Signer};
use serde_json::Value;

use super::http::{self, Endpoint};
use super::{Context, env, output};
use crate::actions;
use crate::opening::{Credentials, DataDir, SystemClock, credentials};

/// The version of the API.
const VERSION: &str = "2015-01-01";

/// Call an action of the API and print its answer
///
/// Signs with the key in `ALIBABA_CLOUD_ACCESS_KEY_ID` and `ALIBABA_CLOUD_ACCESS_KEY_SECRET` if
/// both are set, else with the one in the data directory. The exit code is 1 when the API answers an error;
/// its code and message then go to standard error.
#[derive(Debug, Args)]
pub(super) struct Call {
    /// The action, such as DescribeInstances; `ourkv actions` lists them
    action: String,
    /// Parameters; Name=@FILE reads the value from a file and Name=@- from standard input, less
    /// one line end, so that a secret need not be an argument
    #[arg(value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Print only the part of the answer at this path, a text without its quotes
    #[arg(long, value_name = "A.B.0.C")]
    query: Option<String>,
    /// Where the API is [default: where the server of the data directory listens]
    #[arg(long, value_name = "URL", env = "OURKV_ENDPOINT")]
    endpoint: Option<String>,
    /// How to sign
    #[arg(long, value_enum, default_value_t)]
    sign: Sign,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Sign {
    /// As SDKs of the older generation do
    V1,
    /// As current SDKs do
    #[default]
    V3,
}

impl Call {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        if actions::find(&self.action).is_none() {
            output::say(&format!("ourkv: this version knows no action {}", self.action));
        }
        let params = parameters(&self.parameters, &mut io::stdin().lock())?;
        let key = key(context)?;
        let endpoint = self.endpoint.clone().unwrap_or_else(|| env::endpoint(&context.config));
        let endpoint = Endpoint::parse(&endpoint)?;
        let request = self.signed(&key, &params, &endpoint);
        let answer = http::send(&endpoint, request).await?;
        let body: Value = serde_json::from_slice(&answer.body)
            .with_context(|| format!("{endpoint} answered {} without JSON", answer.status))?;
        if !answer.status.is_success() {
            let text = |name: &str| body[name].as_str().unwrap_or("-").to_owned();
            let (code, message) = (text("Code"), text("Message"));
            bail!("{code}: {message} (status {}, {})", answer.status.as_u16(), text("RequestId"));
        }
        match &self.query {
            None => output::print(&serde_json::to_string_pretty(&body)?),
            Some(path) => {
                let found = find(&body, path);
                let found = found.with_context(|| format!("the answer has nothing at {path}"))?;
                output::print(&match found {
                    Value::String(text) => text.clone(),
                    other => serde_json::to_string_pretty(other)?,
                })
            }
        }
    }

    fn signed(&self, key: &Credentials, params: &Params, endpoint: &Endpoint) -> SignedRequest {
        let nonce = uuid::Uuid::new_v4().to_string();
        let call = Outgoing {
            action: &self.action,
            version: VERSION,
            params,
            format: Format::Json,
            timestamp: SystemClock.now(),
            nonce: &nonce,
            host: endpoint.authority(),
        };
        let signer = Signer::new(key.id.as_str(), key.secret.expose());
        match self.sign {
            Sign::V1 => signer.sign_v1_form(&call, HmacAlgorithm::Sha1),
            Sign::V3 => signer.sign_v3(&call),
        }
    }
}

/// The key of the environment, else that of the data directory.
fn key(context: &Context) -> anyhow::Result<Credentials> {
    let environment = &context.environment;
    match (environment.get(credentials::ID), environment.get(credentials::SECRET)) {
        (Some(id), Some(secret)) => {
            let id = AccessKeyId::parse(id).context(credentials::ID)?;
            Ok(Credentials { id, secret: Secret::from(secret) })
        }
        (None, None) => env::own_key(&DataDir::open(&context.config.data_dir)?),
        _ => bail!("set both {} and {}, or neither", credentials::ID, credentials::SECRET),
    }
}

fn parameters(arguments: &[String], stdin: &mut impl Read) -> anyhow::Result<Params> {
    let mut params = Params::new();
    for argument in arguments {
        let Some((name, value)) = argument.split_once('=') else {
            bail!("{argument} is not of the form NAME=VALUE");
        };
        let value = match value.strip_prefix('@') {
            None => value.to_owned(),
            Some(source) => read_value(source, stdin)?,
        };
        params.insert(name, value);
    }
    Ok(params)
}

/// What a file holds, or standard input for `-`, less one line end.
pub(super) fn read_value(source: &str, stdin: &mut impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    if source == "-" {
        stdin.read_to_string(&mut text).context("standard input")?;
    } else {
        text = fs::read_to_string(source).with_context(|| source.to_owned())?;
    }
    Ok(without_line_end(&text).to_owned())
}

fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// The value at a path of field names and list indexes, counted from 0.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, step| match value {
        Value::Array(list) => list.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(arguments: &[&str], stdin: &str) -> anyhow::Result<Params> {
        let arguments: Vec<_> = arguments.iter().map(|text| (*text).to_owned()).collect();
        parameters(&arguments, &mut stdin.as_bytes())
    }

    #[test]
    fn a_value_may_hold_anything_after_the_first_equals_sign() {
        let params = read(&["Config={\"a\":\"b=c\"}", "Empty="], "").unwrap();
        assert_eq!(params.get_raw("Config"), Some("{\"a\":\"b=c\"}"));
        assert_eq!(params.get_raw("Empty"), Some(""));
        assert!(read(&["NoValue"], "").is_err());
    }

    #[test]
    fn a_value_is_read_from_a_file_or_from_standard_input() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "from file\n").unwrap();
        let argument = format!("A=@{}", file.path().display());
        let params = read(&[&argument, "B=@-"], "from stdin\r\n").unwrap();
        assert_eq!(params.get("A"), Some("from file"));
        assert_eq!(params.get("B"), Some("from stdin"));
        assert!(read(&["A=@/does/not/exist"], "").is_err());
    }

    #[test]
    fn a_path_goes_through_fields_and_lists() {
        let value = json!({"a": {"b": [{"c": 1}, {"c": "two"}]}});
        assert_eq!(find(&value, "a.b.1.c"), Some(&json!("two")));
        assert_eq!(find(&value, "a.b.2.c"), None);
        assert_eq!(find(&value, "a.x"), None);
    }
}
