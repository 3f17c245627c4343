//! `GET /backups/<id>?Expires=…&Signature=…`: fetches a backup, as the engine wrote it.
//!
//! The link is all that is asked for, so it is in no log. What is sent was opened and is checked on
//! the way: an answer of the announced length is the whole backup, and anything that goes wrong in
//! between ends the connection before that length. The memory that it takes is a few chunks,
//! whatever the size; a client that takes nothing loses the connection.

use std::net::SocketAddr;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{Response, StatusCode, header};
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::{self, BoxStream};
use ourkv_control::substrate::Trouble;
use ourkv_domain::backup::{Backup, BackupId, BackupState, Taken};
use ourkv_domain::ids::InstanceId;
use ourkv_store::StoreError;

use super::Gateway;
use super::download_slots::Slot;
use crate::links::Pass;

const REQUEST_ID: &str = "x-acs-request-id";
const RETRY_AFTER_SECONDS: u64 = 5;

/// Why there is nothing to be downloaded.
enum Refused {
    /// Expired, forged, or not a link at all; which of them is nobody's business.
    Link,
    /// The backup was deleted, has expired or can't be read any more.
    Gone(Option<Trouble>),
    /// Too many others are downloading.
    Busy,
    /// It may work later.
    Later(Box<dyn std::error::Error + Send + Sync>),
}

/// Answers one request.
pub(super) async fn answer(
    State(gateway): State<Gateway>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response<Body> {
    let request = gateway.request_id();
    let pass = Pass::read(&query.unwrap_or_default());
    match gateway.download(&id, pass, &request, peer).await {
        Ok(response) => response,
        Err(refused) => refused.answer(&request, peer),
    }
}

impl Gateway {
    async fn download(
        &self,
        id: &str,
        pass: Option<Pass>,
        request: &str,
        peer: SocketAddr,
    ) -> Result<Response<Body>, Refused> {
        let platform = &self.0.platform;
        let id: BackupId = id.parse().map_err(|_| Refused::Link)?;
        let pass = pass.ok_or(Refused::Link)?;
        let now = platform.clock.now();
        if !platform.backup_links.admits(id, pass.expires, &pass.signature, now) {
            return Err(Refused::Link);
        }
        let found = platform.store.look_up(move |tx| tx.backup(id)).await;
        let found = found.map_err(|error: StoreError| Refused::Later(Box::new(error)))?;
        let backup = found.ok_or(Refused::Gone(None))?;
        let BackupState::Success(taken) = &backup.state else {
            return Err(Refused::Gone(None));
        };
        let slot = self.0.downloads.take(&backup.account).ok_or(Refused::Busy)?;
        let stream = self.0.archive.open(&backup).await?.stream;
        let progress = Progress::new(request, &backup, taken, peer);
        let sending = Sending { stream, held: None, progress, _slot: slot };
        let body = Body::from_stream(stream::try_unfold(sending, Sending::next));
        Ok(begin(request, &backup, taken, body))
    }
}

/// The head of an answer that goes on with the backup.
fn begin(request: &str, backup: &Backup, taken: &Taken, body: Body) -> Response<Body> {
    let name = format!("attachment; filename=\"{}-{}.rdb\"", backup.instance, backup.id);
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, taken.bytes)
        .header(header::CONTENT_DISPOSITION, name)
        .header(header::ETAG, format!("\"{}\"", taken.digest))
        .header(header::ACCEPT_RANGES, "none")
        .header(header::CACHE_CONTROL, "private, no-store")
        .header(REQUEST_ID, request)
        .body(body);
    response.expect("ids and digests are letters, digits and hyphens, which headers may hold")
}

/// A backup on its way.
struct Sending {
    stream: BoxStream<'static, Result<Bytes, Trouble>>,
    /// The latest piece. It is sent once the next one is there, so that the last one is sent only
    /// after the whole was found to be in order.
    held: Option<Bytes>,
    progress: Progress,
    _slot: Slot,
}

impl Sending {
    /// The next piece. An error, and an end that comes too early, cut the connection off.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Trouble> {
        let read = match self.held.take() {
            Some(piece) => Ok(Some(piece)),
            None => self.stream.try_next().await,
        };
        let ready = match read {
            Ok(None) => return Ok(None),
            Ok(Some(piece)) => self.stream.try_next().await.map(|next| (piece, next)),
            Err(trouble) => Err(trouble),
        };
        match ready {
            Ok((piece, next)) => {
                self.held = next;
                self.progress.sent += i64::try_from(piece.len()).unwrap_or(i64::MAX);
                Ok(Some((piece, self)))
            }
            Err(trouble) => {
                self.progress.trouble = Some(trouble.to_string());
                Err(trouble)
            }
        }
    }
}

/// How far a download got; it is written down when it ends, however it does.
struct Progress {
    request: String,
    backup: BackupId,
    instance: InstanceId,
    peer: SocketAddr,
    began: Instant,
    length: i64,
    sent: i64,
    trouble: Option<String>,
}

impl Progress {
    fn new(request: &str, backup: &Backup, taken: &Taken, peer: SocketAddr) -> Self {
        Self {
            request: request.to_owned(),
            backup: backup.id,
            instance: backup.instance.clone(),
            peer,
            began: Instant::now(),
            length: taken.bytes,
            sent: 0,
            trouble: None,
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Self { request, backup, instance, peer, length, sent, trouble, .. } = self;
        let outcome = match trouble {
            Some(_) => "failed",
            None if sent == length => "sent",
            None => "cut",
        };
        count(outcome);
        metrics::counter!("ourkv_download_bytes_total").increment((*sent).unsigned_abs());
        let duration_ms = self.began.elapsed().as_secs_f64() * 1e3;
        match trouble {
            None => tracing::info!(
                request.id = %request, backup.id = %backup, instance.id = %instance, source = %peer,
                outcome, sent, length, duration_ms, "backup downloaded"
            ),
            Some(error) => tracing::error!(
                request.id = %request, backup.id = %backup, instance.id = %instance, source = %peer,
                outcome, sent, length, duration_ms, error, "a download broke off"
            ),
        }
    }
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Dataset { .. } => Self::Gone(Some(trouble)),
            other => Self::Later(Box::new(other)),
        }
    }
}

impl Refused {
    fn answer(self, request: &str, peer: SocketAddr) -> Response<Body> {
        let (status, outcome, text) = match &self {
            Self::Link => (StatusCode::FORBIDDEN, "refused", "The link is not valid any more.\n"),
            Self::Gone(_) => (StatusCode::NOT_FOUND, "gone", "The backup is gone.\n"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many downloads.\n"),
            Self::Later(_) => (StatusCode::SERVICE_UNAVAILABLE, "failed", "Try again later.\n"),
        };
        count(outcome);
        let error = match &self {
            Self::Later(error) => Some(error.to_string()),
            Self::Gone(trouble) => trouble.as_ref().map(ToString::to_string),
            Self::Link | Self::Busy => None,
        };
        let status_code = status.as_u16();
        tracing::info!(
            request.id = request, status = status_code, source = %peer, outcome, error,
            "download refused"
        );
        let mut response = Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
            .header(header::CACHE_CONTROL, "no-store")
            .header(REQUEST_ID, request);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response = response.header(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        let response = response.body(Body::from(text));
        response.expect("a status, fixed headers, a UUID and a text make a response")
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("ourkv_downloads_total", "outcome" => outcome).increment(1);
}
