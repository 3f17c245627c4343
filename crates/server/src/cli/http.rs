//! One HTTP request to an endpoint, for `ourkv call` and `ourkv doctor`.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use ourkv_wire::SignedRequest;
use tokio::net::TcpStream;

/// How long a whole exchange may take.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The longest answer that is read, bytes.
const LONGEST: usize = 64 << 20;

/// Where an API is.
#[derive(Debug)]
pub(super) struct Endpoint(String);

impl Endpoint {
    /// Takes `http://HOST:PORT`, or `HOST:PORT` as SDKs write it.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        if text.starts_with("https://") {
            bail!("{text}: only http:// is spoken; give the address that `ourkv serve` listens on");
        }
        let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let uri: Uri = format!("http://{authority}/")
            .parse()
            .with_context(|| format!("{text} is not http://HOST:PORT"))?;
        match uri.authority() {
            Some(_) if uri.path() == "/" && uri.query().is_none() => Ok(Self(authority.to_owned())),
            _ => bail!("{text} is not http://HOST:PORT"),
        }
    }

    /// The host, and the port unless it is the default.
    pub(super) fn authority(&self) -> &str {
        &self.0
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let has_port = self.0.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port {
            TcpStream::connect(&self.0).await
        } else {
            TcpStream::connect(format!("{}:80", self.0)).await
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Sends a signed request.
pub(super) async fn send(endpoint: &Endpoint, signed: SignedRequest) -> anyhow::Result<Answer> {
    let mut request = Request::builder().method(signed.method).uri(&signed.path_and_query);
    for (name, value) in &signed.headers {
        request = request.header(name, value);
    }
    exchange(endpoint, request.body(Full::from(signed.body))?).await
}

/// Fetches a path.
pub(super) async fn get(endpoint: &Endpoint, path: &str) -> anyhow::Result<Answer> {
    let request = Request::get(path).header("host", endpoint.authority());
    exchange(endpoint, request.body(Full::default())?).await
}

async fn exchange(endpoint: &Endpoint, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    let answer = async {
        let stream = endpoint.connect().await.context("is `ourkv serve` running?")?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        connection.abort();
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        anyhow::Ok(Answer { status, body })
    };
    match tokio::time::timeout(TIMEOUT, answer).await {
        Ok(answer) => answer.with_context(|| endpoint.to_string()),
        Err(_) => bail!("{endpoint} did not answer within {} s", TIMEOUT.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        assert_eq!(Endpoint::parse("http://127.0.0.1:1/").unwrap().authority(), "127.0.0.1:1");
        assert_eq!(Endpoint::parse("localhost:1").unwrap().authority(), "localhost:1");
        for text in ["https://a", "http://a/b", "", "http://a b"] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
